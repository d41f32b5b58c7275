"""Promotion: an insight becomes known in a wider namespace, by a person's word and with all that it stands on."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy.orm import Session

from learning_schemas.errors import InvalidArgument
from learning_schemas.results import Learning
from learning_schemas.scope import GLOBAL_NAMESPACE, USER_NAMESPACE, namespace_scope
from learning_stores.admission import AT_ONCE
from learning_stores.attempts import attempted
from learning_stores.correction import hold, holder
from learning_stores.insight import KIND
from learning_stores.learning_rows import copy_evidence
from learning_stores.library import Kept, get, kept
from learning_stores.operations import Put
from learning_stores.place import Place
from learning_stores.row_locks import Key, lock_keys
from learning_stores.writing import write


def promote(
    session: Session,
    tenant: str,
    learning_id: UUID,
    namespace: str,
    *,
    by: str,
    stores: Collection[str] | None = None,
) -> Learning:
    """State a live insight in a wider namespace: the learning there, with the evidence of both. The original stays live.

    An equal insight there gains the evidence. The learning there belongs to no user; its evidence still says whose words it
    is, so that it goes when they are forgotten. Raises `UnknownLearning`, `StaleLearning`, `InvalidArgument`.
    """

    def work() -> Learning:
        found = kept(session, tenant, learning_id, stores)
        _check(found, namespace)
        scope = namespace_scope(namespace, None)
        assert scope is not None  # not the namespace "user"
        # Of both places before any row: an equal insight may be promoted the other way at the same time.
        key = Key(KIND, None, found.content_key)
        lock_keys(session, tenant, found.learning.store, [found.scope, scope], [key])
        held = hold(session, tenant, found, status="active")
        place = Place(tenant=tenant, store=found.learning.store, scope=scope, namespace=namespace)
        stated = Put(
            kind=held.row.kind,
            content=held.row.content,
            content_key=held.row.content_key,
            citations=(held.citation(),),
            data=held.row.data,
            equal_by_key=True,
        )
        written = write(session, place, [stated], AT_ONCE, origin="human", action="promoted", by=by)
        copy_evidence(session, tenant, learning_id, holder(written))
        return get(session, tenant, holder(written))

    return attempted(session, work)


def _check(found: Kept, namespace: str) -> None:
    """Raise `InvalidArgument` where it is no insight, or the namespace no wider one."""
    learning = found.learning
    if learning.kind != KIND or learning.namespace is None:
        raise InvalidArgument(
            "learning_id", f"is a {learning.kind} of {learning.store}", "Only insights can be promoted: add it there"
        )
    if namespace == USER_NAMESPACE:
        raise InvalidArgument("namespace", 'is "user", which is wider than nothing', 'Name a team, or "global"')
    if namespace == learning.namespace:
        raise InvalidArgument("namespace", "is the one that it is in", "Name a wider one")
    if learning.namespace == GLOBAL_NAMESPACE:
        raise InvalidArgument(
            "namespace", 'is narrower than "global", where it is', "Everybody who reads global has it"
        )
