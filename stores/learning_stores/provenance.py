"""Why something is remembered: the learnings of a scope, live and superseded, each with the words it stands on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

# A superseded row stays, with what replaced it; a late statement, which never was live, is history as well.
_SOURCED = text("""
    SELECT l.id, l.store, l.kind, l.content, l.data, l.status, l.valid_from, l.valid_to, l.retired_reason, r.content AS replaced_by,
           coalesce((
               SELECT jsonb_agg(jsonb_build_object('event_id', v.event_id, 'message', v.message, 'quote', v.quote,
                                                   'occurred_at', v.occurred_at) ORDER BY v.occurred_at, v.id)
               FROM learning.evidence v
               WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL), '[]') AS evidence
    FROM learning.learning l
    LEFT JOIN learning.learning r ON r.tenant = l.tenant AND r.id = l.replaced_by
    WHERE l.tenant = :tenant AND l.scope = :scope AND l.status <> 'proposed'
    ORDER BY l.store, l.status, l.kind, l.live_from, l.id
""")


@dataclass(frozen=True, kw_only=True)
class Quote:
    """The words that a learning stands on, and the message they are in."""

    event_id: UUID | None
    message: int | None
    quote: str | None
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True)
class SourcedLearning:
    """A learning with its quotes, oldest first. `valid_to`, `retired_reason` and `replaced_by` (its content) once it is retired."""

    id: UUID
    store: str
    kind: str
    content: str
    data: dict[str, Any]
    status: str
    valid_from: datetime
    valid_to: datetime | None
    retired_reason: str | None
    replaced_by: str | None
    evidence: tuple[Quote, ...]


def sourced_learnings(session: Session, tenant: str, scope: str) -> list[SourcedLearning]:
    """What is and what was remembered under a scope: live rows first. As the app role, in that tenant's transaction."""
    found = []
    for row in session.execute(_SOURCED, {"tenant": tenant, "scope": scope}):
        values = dict(row._mapping)
        quotes = tuple(
            Quote(
                event_id=UUID(each["event_id"]) if each["event_id"] else None,
                message=each["message"],
                quote=each["quote"],
                occurred_at=datetime.fromisoformat(each["occurred_at"]),
            )
            for each in values.pop("evidence")
        )
        found.append(SourcedLearning(**values, evidence=quotes))
    return found
