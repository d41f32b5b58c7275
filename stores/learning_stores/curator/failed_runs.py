"""Runs that failed and whose work nobody has done since: what an operator looks into."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

SHOWN = 20

_FAILED = text("""
    SELECT r.id, r.job, r.tenant, r.store, r.finished_at, r.error FROM learning.curator_run r
    WHERE r.state = 'failed' AND (cast(:tenant AS text) IS NULL OR r.tenant = :tenant) AND NOT EXISTS (
        SELECT FROM learning.curator_run d
        WHERE d.job = r.job AND d.tenant = r.tenant AND d.store = r.store AND d.state = 'done' AND NOT d.dry_run
          AND d.finished_at > r.finished_at)
    ORDER BY r.finished_at DESC, r.id LIMIT :limit
""")


@dataclass(frozen=True, kw_only=True)
class FailedRun:
    """One of them; `error` says the kind of error and where, without anybody's words."""

    id: UUID
    job: str
    tenant: str  # '' is the whole deployment
    store: str
    finished_at: datetime
    error: str | None


def failed_runs(session: Session, tenant: str | None = None, limit: int = SHOWN) -> Sequence[FailedRun]:
    """The newest of them, of one tenant or of all. As the dispatcher."""
    return [FailedRun(**row._mapping) for row in session.execute(_FAILED, {"tenant": tenant, "limit": limit})]
