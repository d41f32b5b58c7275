"""Undoing: what an extraction gave, or a tool, a person, an import or the curator wrote, counts no longer.

One transaction each, the newest first. A learning that stands on nothing else is retired, and what it had taken the place of
comes back as a new row; where something newer has taken its place meanwhile, the chain is told and left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.attempts import attempted
from learning_stores.curator.taking_back import take_back
from learning_stores.replay_mailbox import Box, give_back, record_change, take_over
from learning_stores.subjects import hold_subject
from learning_stores.withdrawal import Withdrawn, settle_withdrawn, withdraw_sources

DECISIONS = ("approved", "edited", "rejected", "promoted", "undone", "replayed")
"""Changes that are not undone: their learnings do not stand on them alone, and another decision takes them back."""

_COLUMNS = """
    x.id, x.store, x.scope, x.subject, x.user_id, x.session_id, x.undone_at, x.committed_at AS at, x.model, x.prompt_version,
    'extraction' AS origin, NULL AS action, NULL AS by_whom"""

_CHANGE_COLUMNS = """
    c.id, c.store, c.scope, c.subject, c.user_id, c.session_id, c.undone_at, c.changed_at AS at, NULL AS model,
    NULL AS prompt_version, c.origin, c.action, c.by_whom"""

_NAMED = text(f"""
    SELECT {_COLUMNS} FROM learning.extraction x WHERE x.tenant = :tenant AND x.id = ANY (:ids)
    UNION ALL
    SELECT {_CHANGE_COLUMNS} FROM learning.change c WHERE c.tenant = :tenant AND c.id = ANY (:ids)
    ORDER BY at DESC, id DESC
""")  # noqa: S608 - both parts are constants

# An answer names its model with a date behind it. A prompt's version is a number with a hash behind it.
_CHOSEN = text(f"""
    SELECT {_COLUMNS} FROM learning.extraction x
    WHERE x.tenant = :tenant AND x.undone_at IS NULL
      AND (cast(:prompt_version AS text) IS NULL OR x.prompt_version = :prompt_version
           OR (:prompt_version ~ '^[0-9]+$' AND starts_with(x.prompt_version, :prompt_version || '-')))
      AND (cast(:model AS text) IS NULL OR x.model = :model OR starts_with(x.model, cast(:model AS text) || '-20'))
      AND (cast(:store AS text) IS NULL OR x.store = :store)
      AND (cast(:since AS timestamptz) IS NULL OR x.committed_at >= :since)
      AND (cast(:until AS timestamptz) IS NULL OR x.committed_at < :until)
      AND (cast(:user_id AS text) IS NULL OR x.user_id = :user_id)
    ORDER BY x.committed_at DESC, x.id DESC
""")  # noqa: S608 - the part is a constant

_OF_RUN = text(f"""
    SELECT {_CHANGE_COLUMNS} FROM learning.change c
    WHERE c.tenant = :tenant AND c.origin = 'curator' AND c.by_whom = :run_id AND c.undone_at IS NULL
    ORDER BY at DESC, id DESC
""")  # noqa: S608 - the part is a constant

# Whoever undoes it at the same time waits here, and then finds that it is done.
_MARK = {
    "extraction": text("""
        UPDATE learning.extraction SET undone_at = clock_timestamp() WHERE tenant = :tenant AND id = :id AND undone_at IS NULL
        RETURNING id"""),
    "change": text("""
        UPDATE learning.change SET undone_at = clock_timestamp() WHERE tenant = :tenant AND id = :id AND undone_at IS NULL
        RETURNING id"""),
}

# One that waits to be extracted again, or to be read on, has left the extraction behind: it stays as it is.
_SKIP = text("""
    UPDATE learning.delivery SET state = 'skipped', reason = 'undone', note = NULL, error = NULL, settled_at = clock_timestamp(),
        next_message = 0
    WHERE tenant = :tenant AND extraction_id = :id AND state IN ('extracted', 'nothing_found')
""")


@dataclass(frozen=True, kw_only=True)
class Period:
    """Which extractions, by when they were committed and by what."""

    prompt_version: str | None = None
    model: str | None = None
    store: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    user_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """An extraction, or a change by a tool, a person, an import or the curator."""

    id: UUID
    store: str
    scope: str
    subject: str | None
    user_id: str | None
    session_id: str | None
    at: datetime
    origin: str
    model: str | None = None
    prompt_version: str | None = None
    action: str | None = None
    by_whom: str | None = None
    undone_at: datetime | None = None

    @property
    def refused(self) -> bool:
        """Whether it is a decision, which is not undone but decided anew."""
        return self.action in DECISIONS


@dataclass(frozen=True, kw_only=True)
class Undone:
    """What an undo did. `done` is False where it was done before."""

    source: Source
    done: bool
    withdrawn: Withdrawn
    deliveries: int = 0


def named(session: Session, tenant: str, ids: Sequence[UUID]) -> list[Source]:
    """The extractions and changes of these ids, the newest first; what is unknown is left out."""
    return [Source(**row._mapping) for row in session.execute(_NAMED, {"tenant": tenant, "ids": list(ids)})]


def chosen(session: Session, tenant: str, period: Period) -> list[Source]:
    """The extractions that are meant and not undone, the newest first."""
    return [Source(**row._mapping) for row in session.execute(_CHOSEN, {"tenant": tenant, **period.__dict__})]


def of_run(session: Session, tenant: str, run_id: UUID) -> list[Source]:
    """The changes of a curator's run that are not undone, the newest first."""
    return [Source(**row._mapping) for row in session.execute(_OF_RUN, {"tenant": tenant, "run_id": str(run_id)})]


def undo(session: Session, tenant: str, source: Source, *, by: str) -> Undone:
    """Undo one of them, in the caller's transaction; nothing where it is undone. As the app."""
    return attempted(session, lambda: _undo(session, tenant, source, by))


def rehearse(session: Session, tenant: str, sources: Sequence[Source], *, by: str) -> list[Undone]:
    """What undoing these in this order would do. They are of one mailbox; nothing is kept."""
    rehearsal = session.begin_nested()
    try:
        return [undo(session, tenant, source, by=by) for source in sources]
    finally:
        rehearsal.rollback()


def _undo(session: Session, tenant: str, source: Source, by: str) -> Undone:
    if source.subject is not None:
        hold_subject(session, tenant, source.subject)
    box = Box(
        tenant=tenant,
        store=source.store,
        scope=source.scope,
        subject=source.subject or "",
        user_id=source.user_id,
        session_id=source.session_id if source.scope.startswith("session/") else None,
    )
    # A change is made in a place, which need not be a mailbox's; what a worker makes of the old state is checked in its commit.
    extracted = source.origin == "extraction"
    mailbox_id = take_over(session, box) if extracted else None
    key = {"tenant": tenant, "id": source.id}
    withdrawn = Withdrawn(touched=(), retired=(), restored=(), left=())
    skipped = 0
    done = session.scalar(_MARK["extraction" if extracted else "change"], key) is not None
    if done:
        change = record_change(session, box, "undone", by)
        if source.origin == "curator":
            withdrawn = take_back(session, tenant, source.id, by=change)
        else:
            touched = withdraw_sources(session, tenant, [source.id])
            withdrawn = settle_withdrawn(session, tenant, touched, by=change, reason="undone", sources=[source.id])
        written: Any = session.execute(_SKIP, key)
        skipped = int(written.rowcount)
    if mailbox_id is not None:
        give_back(session, box, mailbox_id)
    return Undone(source=source, done=done, withdrawn=withdrawn, deliveries=skipped)
