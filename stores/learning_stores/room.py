"""Room: how many learnings more a place may hold.

Counting reads every row of the place: 58 ms of an extraction with 40,000 learnings in a namespace, under the locks that others
wait for. So a count that found plenty of room is believed for a while.
"""

import time
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session

from learning_schemas.scope import USER_NAMESPACE
from learning_stores.place import Place

MAX_SCOPE, MAX_NAMESPACE = 10_000, 100_000
"""Live learnings and proposals of one store for a user or a session, and for a namespace that users share."""
PLENTY = 1_000
"""Room for so many, and for a tenth of what a place may hold, is plenty."""
BELIEVED_SECONDS = 15.0
KEPT = 10_000

_HELD = text("""
    SELECT (SELECT count(*) FROM (
                SELECT FROM learning.learning
                WHERE tenant = :tenant AND scope = :scope AND store = :store AND status = 'active' LIMIT :most) AS live)
         + (SELECT count(*) FROM (
                SELECT FROM learning.learning
                WHERE tenant = :tenant AND scope = :scope AND store = :store AND status = 'proposed' LIMIT :most) AS waiting)
""")

_Counted = dict[tuple[str, str, str], tuple[float, int]]
"""By tenant, scope and store: until when it is believed, and how much room there was."""

_COUNTED: WeakKeyDictionary[Engine | Connection, _Counted] = WeakKeyDictionary()


def room(session: Session, place: Place) -> int:
    """How many learnings more a place may hold.

    Writers that count at the same moment may go over it by what each adds, and by what all add in the seconds that a count with
    plenty of room is believed.
    """
    shared = place.namespace is not None and place.namespace != USER_NAMESPACE
    most = MAX_NAMESPACE if shared else MAX_SCOPE
    key = (place.tenant, place.scope, place.store)
    counted = _COUNTED.setdefault(session.get_bind(), {})
    believed_until, found = counted.get(key, (float("-inf"), 0))
    if time.monotonic() < believed_until:
        return found
    values = {"tenant": place.tenant, "scope": place.scope, "store": place.store, "most": most}
    found = most - int(session.scalar(_HELD, values) or 0)
    if found >= max(PLENTY, most // 10):
        if len(counted) >= KEPT:
            counted.clear()
        counted[key] = time.monotonic() + BELIEVED_SECONDS, found
    else:
        counted.pop(key, None)
    return found
