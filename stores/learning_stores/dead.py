"""Dead deliveries, and events that were rejected: what an operator looks at, and gives up. As the dispatcher.

A dead delivery is one that could not be extracted; its event is in the log. A rejected event is none at all: what came in could
not be accepted.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import from_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.subjects import hold_subject

DISCARDED_AT_ONCE = 200

_MEANT = """
    d.state = 'dead' AND (cast(:tenant AS text) IS NULL OR d.tenant = :tenant)
    AND (cast(:store AS text) IS NULL OR d.store = :store) AND (cast(:reason AS text) IS NULL OR d.reason = :reason)
    AND (cast(:event_id AS uuid) IS NULL OR d.event_id = :event_id)"""

_LIST = text(f"""
    SELECT d.tenant, d.event_id, d.store, d.reason, d.error, d.attempts, d.generation, d.accepted_at, d.settled_at, d.subject
    FROM learning.delivery d WHERE {_MEANT} ORDER BY d.settled_at DESC, d.tenant, d.event_id, d.store LIMIT :limit
""")  # noqa: S608 - the part is a constant

_COUNT = text(f"SELECT count(*) FROM learning.delivery d WHERE {_MEANT}")  # noqa: S608 - the part is a constant

_DELIVERY = text("""
    SELECT d.tenant, d.event_id, d.store, d.state, d.reason, d.note, d.error, d.attempts, d.generation, d.accepted_at, d.settled_at,
           d.subject, d.next_message, e.occurred_at, e.user_id, e.session_id, e.spec_hash, e.shown_before, e.body_bytes,
           e.messages::text AS messages, e.forgotten_at
    FROM learning.delivery d
    LEFT JOIN learning.conversation_event e ON e.tenant = d.tenant AND e.id = d.event_id
    WHERE d.tenant = :tenant AND d.event_id = :event_id AND d.store = :store
""")

_BATCH = text(f"""
    SELECT d.tenant, d.event_id, d.store, d.subject FROM learning.delivery d WHERE {_MEANT}
    ORDER BY d.tenant, d.subject, d.event_id, d.store LIMIT :limit
""")  # noqa: S608 - the part is a constant

_DISCARD = text("""
    UPDATE learning.delivery d SET state = 'skipped', reason = :because, note = NULL, settled_at = clock_timestamp()
    FROM unnest(cast(:tenants AS text[]), cast(:events AS uuid[]), cast(:stores AS text[])) AS m (tenant, event_id, store)
    WHERE d.tenant = m.tenant AND d.event_id = m.event_id AND d.store = m.store AND d.state = 'dead'
""")

_REJECTED = text("""
    SELECT id, rejected_at, tenant, event_id, stream, field, reason, body_bytes FROM learning.rejected_event
    WHERE cast(:tenant AS text) IS NULL OR tenant = :tenant ORDER BY id DESC LIMIT :limit
""")

_REJECTED_COUNT = text(
    "SELECT count(*) FROM learning.rejected_event WHERE cast(:tenant AS text) IS NULL OR tenant = :tenant"
)


@dataclass(frozen=True, kw_only=True)
class Meant:
    """Which dead deliveries: of all tenants where none is named."""

    tenant: str | None = None
    store: str | None = None
    reason: str | None = None
    event_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class Dead:
    """One that could not be extracted. `error` names a type, never what was said."""

    tenant: str
    event_id: UUID
    store: str
    reason: str | None
    error: str | None
    attempts: int
    generation: int
    accepted_at: datetime
    settled_at: datetime
    subject: str


def dead(session: Session, meant: Meant, limit: int) -> tuple[list[Dead], int]:
    """Dead deliveries, those that died last first, and how many there are."""
    found = [Dead(**row._mapping) for row in session.execute(_LIST, {**meant.__dict__, "limit": limit})]
    return found, int(session.scalar(_COUNT, meant.__dict__) or 0)


def look(session: Session, tenant: str, event_id: UUID, store: str, *, words: bool) -> dict[str, Any] | None:
    """A delivery with its event: of each message role and length, with `words` also its text. None where there is none."""
    row = session.execute(_DELIVERY, {"tenant": tenant, "event_id": event_id, "store": store}).one_or_none()
    if row is None:
        return None
    found = dict(row._mapping)
    body = from_json(found.pop("messages") or "[]")
    found["messages"] = [
        {
            "index": index,
            "role": message["role"],
            "characters": len(message.get("content") or ""),
            "history": index < (row.shown_before or 0),
            **({"content": message.get("content") or ""} if words else {}),
        }
        for index, message in enumerate(body)
    ]
    return found


def discard(session: Session, meant: Meant, reason: str) -> int:
    """Give up a batch of dead deliveries; how many. Nothing is left where that is 0."""
    batch = session.execute(_BATCH, {**meant.__dict__, "limit": DISCARDED_AT_ONCE}).all()
    for tenant, subject in sorted({(row.tenant, row.subject) for row in batch}):
        hold_subject(session, tenant, subject)
    values = {
        "because": f"discarded by operator: {reason}",
        "tenants": [row.tenant for row in batch],
        "events": [row.event_id for row in batch],
        "stores": [row.store for row in batch],
    }
    written: Any = session.execute(_DISCARD, values)
    return int(written.rowcount)


def rejected(session: Session, tenant: str | None, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Events that were rejected, the last first, without their bodies, and how many there are."""
    found = [dict(row._mapping) for row in session.execute(_REJECTED, {"tenant": tenant, "limit": limit})]
    return found, int(session.scalar(_REJECTED_COUNT, {"tenant": tenant}) or 0)
