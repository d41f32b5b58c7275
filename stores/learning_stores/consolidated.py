"""Statements that say what several had said: they stand as long as each of these does, or on words of their own.

The evidence of all of them is copied to the one, so that taking some of it back leaves a statement that says too much. Then it is
retired, and those of its sources that still have evidence come back in its place.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.curator.retiring import CONSOLIDATED, MERGED

# What a row was made of, however many steps back: sources, and rows that were merged into it or moved with their entity.
_BEHIND = f"""
    behind (root, id, becomes, reason) AS (
        SELECT l.id, l.id, cast(NULL AS uuid), cast(NULL AS text) FROM learning.learning l
        WHERE l.tenant = :tenant AND l.id = ANY (:ids)
        UNION
        SELECT b.root, s.id, s.replaced_by, s.retired_reason
        FROM behind b JOIN learning.learning s ON s.tenant = :tenant AND s.replaced_by = b.id
        LEFT JOIN learning.change c ON c.tenant = s.tenant AND c.id = s.retired_by
        WHERE s.status = 'retired' AND s.retired_reason IN ('{MERGED}', '{CONSOLIDATED}') AND c.undone_at IS NULL
    )
"""  # noqa: S608 - made of constants

# Its own words are those that none of its sources has.
_FOUND = f"""
    WITH RECURSIVE {_BEHIND}
    SELECT b.root, b.id, b.becomes, b.reason, EXISTS (
               SELECT FROM learning.evidence v
               WHERE v.tenant = :tenant AND v.learning_id = b.id AND v.withdrawn_at IS NULL) AS stands,
           b.id = b.root AND EXISTS (
               SELECT FROM learning.evidence v
               WHERE v.tenant = :tenant AND v.learning_id = b.id AND v.withdrawn_at IS NULL AND v.origin <> 'curator'
                 AND NOT coalesce({{said}}, false) AND NOT EXISTS (
                     SELECT FROM behind o JOIN learning.evidence w ON w.tenant = :tenant AND w.learning_id = o.id
                     WHERE o.root = b.root AND o.id <> o.root AND w.origin = v.origin
                       AND w.extraction_id IS NOT DISTINCT FROM v.extraction_id AND w.event_id IS NOT DISTINCT FROM v.event_id
                       AND w.message IS NOT DISTINCT FROM v.message)) AS own_words
    FROM behind b WHERE EXISTS (SELECT FROM behind o WHERE o.root = b.root AND o.reason = '{CONSOLIDATED}')
"""  # noqa: S608 - a constant

_RETIRE = text("""
    UPDATE learning.learning l SET status = 'retired', retired_at = greatest(cast(:now AS timestamptz), l.live_from),
        retired_reason = :reason, retired_by = :by
    WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.status = 'active'
    RETURNING l.id
""")


def untenable(
    session: Session,
    tenant: str,
    ids: Collection[UUID],
    gone: Collection[UUID] = (),
    said: str = "false",
    values: Mapping[str, Any] | None = None,
) -> dict[UUID, set[UUID]]:
    """Those of these rows that say more than what still stands behind them, each with the rows that fall with it.

    Rows in `gone` count as without evidence; `said` is a condition on evidence `v` that is about to go, with its values.
    """
    found: dict[UUID, dict[UUID, list[Any]]] = defaultdict(lambda: defaultdict(list))
    own: set[UUID] = set()
    for row in session.execute(text(_FOUND.format(said=said)), {**(values or {}), "tenant": tenant, "ids": list(ids)}):
        if row.becomes is not None:
            found[row.root][row.becomes].append(row)
        elif row.own_words:
            own.add(row.id)
    lost: dict[UUID, set[UUID]] = {}
    for root, parts in found.items():
        if root not in own and (fallen := _fallen(root, parts, gone)):
            lost[root] = fallen
    return lost


def _fallen(row: UUID, parts: dict[UUID, list[Any]], gone: Collection[UUID]) -> set[UUID]:
    """The row and what falls with it; nothing where all that it says stands."""
    fallen: set[UUID] = set()
    for part in parts.get(row, ()):
        below = _fallen(part.id, parts, gone)
        if below or (part.reason == CONSOLIDATED and (not part.stands or part.id in gone)):
            fallen |= below | {part.id, row}
    return fallen


def dissolve(
    session: Session, tenant: str, ids: Collection[UUID], *, now: datetime | None, by: UUID, reason: str
) -> tuple[list[UUID], set[UUID]]:
    """Retire those of these locked rows that say too much now: these, and all whose sources are to come back."""
    lost = untenable(session, tenant, ids)
    if not lost:
        return [], set()
    values = {"tenant": tenant, "ids": sorted(lost), "now": now, "by": by, "reason": reason}
    retired = sorted(session.scalars(_RETIRE, values))
    return retired, {each for root in retired for each in lost[root]}
