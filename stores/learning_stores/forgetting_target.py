"""What is to be forgotten: a whole subject, one session of a user, or one event; and the SQL that finds what comes of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from learning_stores.subjects import TOLERANCE


@dataclass(frozen=True, kw_only=True)
class Target:
    """Whom or what to forget. `subject` is the whole of a user, or of a session without a user."""

    kind: Literal["subject", "session", "event"]
    tenant: str
    subject: str
    user_id: str | None
    session_id: str | None
    scope: str | None = None
    """The session's."""
    event_id: UUID | None = None
    accepted_at: datetime | None = None
    """Of the event, and when it was said."""
    said_at: datetime | None = None


# What was said before the forgetting: by an id of before it, whoever wrote it down when; without an event by the time of writing,
# which a copy keeps.
_OLD = (
    "(v.added_at < :at OR coalesce(cast(cast('x' || replace(left(cast(v.event_id AS text), 13), '-', '') AS bit(48)) AS bigint)"
    " < :until, false))"
)
_OLD_EVENT = "(v.added_at < :at OR coalesce(v.event_id = :event_id, false))"

_IN_SESSION = """(
    v.event_id IN (SELECT m.event_id FROM learning.session_message m WHERE m.tenant = :tenant AND m.scope = :scope)
    OR v.event_id IN (SELECT e.id FROM learning.conversation_event e
                      WHERE e.tenant = :tenant AND e.subject = :subject AND e.session_id = :session_id)
    OR v.extraction_id IN (SELECT c.id FROM learning.change c
                           WHERE c.tenant = :tenant AND c.subject = :subject AND c.session_id = :session_id))"""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """A target with the moment of its forgetting: conditions over evidence `v` and learnings `l`, and their values."""

    target: Target
    forgetting_id: UUID
    at: datetime
    building: tuple[str, ...]
    """Stores each of whose extractions builds on the one before."""

    @property
    def old(self) -> str:
        """Evidence of before the forgetting."""
        return _OLD_EVENT if self.target.kind == "event" else _OLD

    @property
    def said(self) -> str:
        """Evidence that is to go."""
        if self.target.kind == "event":
            return "v.event_id = :event_id"
        whose = f"v.subject = :subject AND {_OLD}"
        return whose if self.target.kind == "subject" else f"{whose} AND {_IN_SESSION}"

    @property
    def own(self) -> str:
        """Learnings that belong to it, unless something said since stands behind them."""
        target = self.target
        user = "l.user_id = :user_id" if target.user_id else "l.user_id IS NULL"
        if target.kind == "subject" and target.user_id:
            return user
        if target.kind == "event":
            if target.session_id is None or target.accepted_at is None:
                return "false"
            # What was built with the event in view; not what came back since as it was before.
            since = "l.live_from >= :accepted_at AND (l.restores IS NULL OR l.valid_from >= :said_at)"
            return f"{user} AND l.session_id = :session_id AND l.store = ANY (:building) AND {since}"
        return f"{user} AND l.session_id = :session_id"

    @property
    def unsupported(self) -> str:
        """Learnings of its own behind which nothing stands that was said since."""
        return f"""{self.own} AND NOT EXISTS (
            SELECT FROM learning.evidence v WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL
            AND NOT {self.old})"""

    @property
    def values(self) -> dict[str, Any]:
        """What the conditions name."""
        target = self.target
        return {
            "tenant": target.tenant,
            "subject": target.subject,
            "user_id": target.user_id,
            "session_id": target.session_id,
            "scope": target.scope,
            "event_id": target.event_id,
            "accepted_at": target.accepted_at,
            "said_at": target.said_at,
            "at": self.at,
            "until": int((self.at + TOLERANCE).timestamp() * 1000),
            "building": list(self.building),
        }
