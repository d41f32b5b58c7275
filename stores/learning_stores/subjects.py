"""Subjects: whom an event, a tool's call or a correction is about, and the lock that keeps a forgetting and a writer apart.

Whoever writes for a subject first holds its row FOR SHARE, several in key order; a forgetting takes it FOR UPDATE, raises its
generation and commits before it deletes anything. So a writer is either seen by the deletion, or sees the forgetting.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.limits import MAX_CLOCK_SKEW_SECONDS

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
