"""Retention of retired learnings and of the changes that made or ended them, a bounded batch at a time. As the app.

A retired learning that one that stays names (as what it restores, or what took its place) stays with it.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.curator.retain_log import ROWS_AT_ONCE, Batch, older

LEARNINGS_AT_ONCE = 1_000
_FIRST = UUID(int=0)

_PAGE = text(f"""
    SELECT id, retired_at AS at FROM learning.learning
    WHERE tenant = :tenant AND status = 'retired' AND retired_at < :before
      AND (retired_at, id) > (cast(:after_at AS timestamptz), cast(:after_id AS uuid))
    ORDER BY retired_at, id LIMIT {LEARNINGS_AT_ONCE}
""")  # noqa: S608 - a number

# By id, as every writer of learnings locks them; what is retired stays so.
_LOCK = text("SELECT id FROM learning.learning WHERE tenant = :tenant AND id = ANY (:ids) ORDER BY id FOR UPDATE")

_NAMED = text("""
    SELECT l.id, l.replaced_by AS named FROM learning.learning l WHERE l.tenant = :tenant AND l.replaced_by = ANY (:ids)
    UNION ALL
    SELECT l.id, l.restores FROM learning.learning l WHERE l.tenant = :tenant AND l.restores = ANY (:ids)
    UNION ALL
    SELECT l.id, l.replaces FROM learning.learning l WHERE l.tenant = :tenant AND l.replaces = ANY (:ids)
""")

_REMOVE = text("DELETE FROM learning.learning WHERE tenant = :tenant AND id = ANY (:ids) AND status = 'retired'")

# The same page as of every table that is old by a moment of its own; what a learning or its evidence names stays.
_CHANGES = text(f"""
    WITH page AS MATERIALIZED (
        SELECT c.id, c.changed_at AS at FROM learning.change c
        WHERE c.tenant = :tenant AND c.changed_at < :before
          AND (c.changed_at, c.id) > (cast(:after_at AS timestamptz), cast(:after_id AS uuid))
        ORDER BY c.changed_at, c.id LIMIT {ROWS_AT_ONCE}),
    gone AS (
        DELETE FROM learning.change c USING page p
        WHERE c.tenant = :tenant AND c.id = p.id
          AND NOT EXISTS (SELECT FROM learning.learning l WHERE l.tenant = c.tenant AND l.made_by = c.id)
          AND NOT EXISTS (SELECT FROM learning.learning l WHERE l.tenant = c.tenant AND l.retired_by = c.id)
          AND NOT EXISTS (SELECT FROM learning.evidence v WHERE v.tenant = c.tenant AND v.extraction_id = c.id)
          AND NOT EXISTS (SELECT FROM learning.evidence v WHERE v.tenant = c.tenant AND v.copied_by = c.id)
        RETURNING true)
    SELECT (SELECT count(*) FROM gone) AS removed, (SELECT count(*) FROM page) AS looked_at, last.at, last.id
    FROM (SELECT id, at FROM page ORDER BY at DESC, id DESC LIMIT 1) AS last
""")  # noqa: S608 - a number


def remove_retired(session: Session, tenant: str, before: datetime, after: str | None) -> Batch:
    """Remove learnings that were retired before then, with their evidence and vectors. `after` is moment/id."""
    at, _, last_id = (after or f"-infinity/{_FIRST}").rpartition("/")
    values: dict[str, Any] = {"tenant": tenant, "before": before, "after_at": at, "after_id": last_id}
    rows = session.execute(_PAGE, values).all()
    if not rows:
        return Batch(removed=0, looked_at=0, after=None)
    ids = {row.id for row in rows}
    session.execute(_LOCK, {"tenant": tenant, "ids": sorted(ids)}).all()
    going = set(ids)
    naming = session.execute(_NAMED, {"tenant": tenant, "ids": sorted(ids)}).all()
    # What one that stays names stays, and then what that one names.
    while stays := {row.named for row in naming if row.named in going and row.id not in going}:
        going -= stays
    session.execute(_REMOVE, {"tenant": tenant, "ids": sorted(going)})
    last = f"{rows[-1].at.isoformat()}/{rows[-1].id}" if len(rows) == LEARNINGS_AT_ONCE else None
    return Batch(removed=len(going), looked_at=len(rows), after=last, kept=len(rows) - len(going))


def remove_changes(session: Session, tenant: str, before: datetime, after: str | None) -> Batch:
    """Remove changes made before then that no learning and no evidence names any more."""
    return older(session, _CHANGES, tenant, before, after)
