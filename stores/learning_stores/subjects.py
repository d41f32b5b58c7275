"""Subjects: whom an event, a tool's call or a correction is about, and the lock that keeps a forgetting and a writer apart.

Whoever writes for a subject first holds its row FOR SHARE, several in key order; a forgetting takes it FOR UPDATE, raises its
generation and commits before it deletes anything. So a writer is either seen by the deletion, or sees the forgetting.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.ids import id_time
from learning_schemas.limits import MAX_CLOCK_SKEW_SECONDS
from learning_schemas.scope import session_scope, subject_of

SubjectKey = tuple[str, str]
"""(tenant, subject)."""

Owner = tuple[str | None, str | None]
"""(user id, session id): the session where there is no user."""

TOLERANCE = timedelta(seconds=MAX_CLOCK_SKEW_SECONDS)
"""A producer's clock may be ahead by so much: what is dated up to here after a forgetting may have been said before it."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A subject that is held until the transaction ends."""

    salt: bytes
    generation: int
    forgotten_at: datetime | None
    closed: bool

    def forgot(self, said_at: datetime) -> bool:
        """Whether what was said then may be what was forgotten."""
        return self.forgotten_at is not None and said_at < self.forgotten_at + TOLERANCE


_ADD = text("""
    INSERT INTO learning.subject (tenant, subject, user_id, session_id)
    SELECT * FROM unnest(cast(:tenants AS text[]), cast(:subjects AS text[]), cast(:users AS text[]), cast(:sessions AS text[]))
    ON CONFLICT DO NOTHING
""")

_HOLD = text("""
    SELECT s.tenant, s.subject, s.salt, s.generation, s.forgotten_at, s.closed_at IS NOT NULL AS closed
    FROM learning.subject s
    JOIN unnest(cast(:tenants AS text[]), cast(:subjects AS text[])) AS wanted (tenant, subject)
      ON s.tenant = wanted.tenant AND s.subject = wanted.subject
    ORDER BY s.tenant, s.subject
    FOR SHARE OF s
""")


def hold_subjects(session: Session, wanted: Mapping[SubjectKey, Owner]) -> dict[SubjectKey, Subject]:
    """Hold these subjects, each made where it is the first time that it is met."""
    keys = sorted(wanted)
    arrays = {"tenants": [tenant for tenant, _ in keys], "subjects": [subject for _, subject in keys]}
    owners = [wanted[key] for key in keys]
    session.execute(_ADD, {**arrays, "users": [user for user, _ in owners], "sessions": [each for _, each in owners]})
    return _held(session, arrays)


def hold_subject(session: Session, tenant: str, subject: str) -> Subject | None:
    """Hold a subject that is there; None where there is none."""
    return _held(session, {"tenants": [tenant], "subjects": [subject]}).get((tenant, subject))


def _held(session: Session, arrays: dict[str, list[str]]) -> dict[SubjectKey, Subject]:
    return {
        (row.tenant, row.subject): Subject(
            salt=bytes(row.salt), generation=row.generation, forgotten_at=row.forgotten_at, closed=row.closed
        )
        for row in session.execute(_HOLD, arrays)
    }


# What is not in the log and was said before, or is of somebody who is closed: intake refuses it where it has not come in yet.
_IS_FORGOTTEN = text("""
    SELECT NOT EXISTS (SELECT FROM learning.conversation_event e WHERE e.tenant = :tenant AND e.id = :event_id) AND (
        EXISTS (SELECT FROM learning.subject s WHERE s.tenant = :tenant AND s.subject = :subject
                AND (s.closed_at IS NOT NULL OR s.forgotten_at > :said_at))
        OR EXISTS (SELECT FROM learning.forgotten_session f WHERE f.tenant = :tenant AND f.scope = :scope
                   AND (f.closed_at IS NOT NULL OR f.forgotten_at > :said_at)))
""")


def is_forgotten(session: Session, tenant: str, event_id: UUID, owner: Owner) -> bool:
    """Whether an event went, or will be refused, because its user or session was forgotten."""
    values = {
        "tenant": tenant,
        "event_id": event_id,
        "subject": subject_of(*owner),
        "scope": session_scope(owner[0], owner[1]) if owner[1] else None,
        "said_at": id_time(event_id) - TOLERANCE,
    }
    return bool(session.scalar(_IS_FORGOTTEN, values))
