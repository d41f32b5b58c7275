"""Ending live learnings for the curator."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.operations import Provenance

MERGED, EXPIRED, PRUNED, CONTRADICTED = "merged", "expired", "pruned", "contradicted"
"""Why the curator ends a learning; of what is pruned the rule follows: `pruned: age`."""
CONSOLIDATED, DISPLACED = "consolidated", "displaced"
"""The same: one statement says what several said; two entities are one, of which another value of this is newer."""

EQUAL_BY_KEY = frozenset({"alias", "fact", "event", "relationship"})
"""Kinds of which two with one key say the same; of the others, they are two values of one thing."""

# The first condition keeps Postgres from joining all that the curator ever ended to each page of what is live.
BROUGHT_BACK = f"""(l.restores IS NOT NULL AND EXISTS (
        SELECT FROM learning.learning r
        WHERE r.tenant = l.tenant AND r.id = l.restores
          AND (r.retired_reason IN ('{MERGED}', '{CONTRADICTED}', '{CONSOLIDATED}')
               OR starts_with(r.retired_reason, '{PRUNED}'))))"""
"""Whether an undo brought learning `l` back after the curator had ended it."""

_NOW = text("SELECT clock_timestamp()")

# By id, as every writer of learnings locks them. Place and status are compared as values that no index has: one plan serves
# all places, and a place is not to be read as a whole for a few of its rows.
_LOCK = text("""
    SELECT id FROM learning.learning
    WHERE tenant = :tenant AND id = ANY (:ids) AND concat(store) = :store AND concat(scope) = :scope AND concat(status) = 'active'
    ORDER BY id FOR UPDATE
""")

_RETIRE = text("""
    UPDATE learning.learning l SET status = 'retired', retired_at = greatest(cast(:now AS timestamptz), l.live_from),
        retired_reason = w.reason, retired_by = :by, replaced_by = w.replaced_by,
        valid_to = CASE WHEN w.valid_to IS NULL THEN l.valid_to ELSE greatest(w.valid_to, l.valid_from) END
    FROM unnest(cast(:ids AS uuid[]), cast(:reasons AS text[]), cast(:replaced_by AS uuid[]), cast(:valid_to AS timestamptz[]))
        AS w (id, reason, replaced_by, valid_to)
    WHERE l.tenant = :tenant AND l.id = w.id AND l.status = 'active'
""")


def lock_live(session: Session, source: Provenance, ids: tuple[UUID, ...]) -> list[UUID]:
    """Those of these learnings of the place that are live, locked in order of their ids."""
    place = source.place
    values = {"tenant": place.tenant, "store": place.store, "scope": place.scope, "ids": list(ids)}
    return list(session.scalars(_LOCK, values))


def retire(
    session: Session,
    source: Provenance,
    ended: Mapping[UUID, tuple[str, UUID | None]],
    true_until: Mapping[UUID, datetime] | None = None,
) -> None:
    """End locked live learnings, each for a reason, and in favour of another where one takes its place.

    How long they were true is left as it is, but for those that `true_until` says it of.
    """
    now: datetime | None = session.scalar(_NOW)  # after the locks
    values = {
        "tenant": source.place.tenant,
        "ids": list(ended),
        "reasons": [reason for reason, _ in ended.values()],
        "replaced_by": [other for _, other in ended.values()],
        "valid_to": [(true_until or {}).get(learning) for learning in ended],
        "by": source.made_by,
        "now": now,
    }
    session.execute(_RETIRE, values)
