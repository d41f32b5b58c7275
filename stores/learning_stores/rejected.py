"""Rejected events: what came in and could not be accepted, with the reason. Nothing that arrives disappears."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

MAX_KEPT_BYTES = 1_048_576
"""Of a longer body the beginning is kept."""


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """One entry that was not accepted; tenant and event id as far as they could be read."""

    stream: str
    entry_id: str
    tenant: str | None
    event_id: str | None
    field: str
    reason: str
    body: bytes


_REJECT = text("""
    INSERT INTO learning.rejected_event (stream, entry_id, tenant, event_id, field, reason, body, body_bytes)
    VALUES (:stream, :entry_id, :tenant, :event_id, :field, :reason, :body, :body_bytes)
    ON CONFLICT (stream, entry_id) DO NOTHING
""")


def _storable(told: str) -> str:
    """Without what Postgres takes in no text; a name from a foreign entry may hold it."""
    return told.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def reject(session: Session, rejections: Sequence[Rejection]) -> None:
    """Keep them, once each, as the dispatcher."""
    if rejections:
        session.execute(
            _REJECT,
            [
                {
                    **rejection.__dict__,
                    "field": _storable(rejection.field),
                    "reason": _storable(rejection.reason),
                    "body": rejection.body[:MAX_KEPT_BYTES],
                    "body_bytes": len(rejection.body),
                }
                for rejection in rejections
            ],
        )
