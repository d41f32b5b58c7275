"""Runs that changed what is remembered: what an operator looks for who wants to take one back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

SHOWN = 10

# Jobs that run for each store are those that change what is remembered.
_CHANGED = text("""
    SELECT id, job, tenant, store, finished_at, changed FROM learning.curator_run
    WHERE state = 'done' AND changed > 0 AND NOT dry_run AND tenant <> '' AND store <> ''
      AND (cast(:tenant AS text) IS NULL OR tenant = :tenant)
    ORDER BY finished_at DESC, id LIMIT :limit
""")


@dataclass(frozen=True, kw_only=True)
class ChangedRun:
    """One of them, and how many learnings or entities it changed."""

    id: UUID
    job: str
    tenant: str
    store: str
    finished_at: datetime
    changed: int


def changed_runs(session: Session, tenant: str | None = None, limit: int = SHOWN) -> Sequence[ChangedRun]:
    """The newest of them, of one tenant or of all. As the dispatcher."""
    return [ChangedRun(**row._mapping) for row in session.execute(_CHANGED, {"tenant": tenant, "limit": limit})]
