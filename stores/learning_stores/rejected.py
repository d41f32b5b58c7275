"""Rejected events: what came in and could not be accepted, with the reason. Nothing that arrives disappears."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.tally import count

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
    subject: str | None = None  # whose words these are, as far as it could be read
    producer: UUID | None = None  # of an event that its producer numbered, with `seq`
    seq: int | None = None


# Read twice, as after a crash before the acknowledgement, an entry is rejected and counted once.
_REJECT = text("""
    SELECT learning.refuse(:stream, :entry_id, :tenant, :event_id, :field, :reason, :body, :body_bytes, :subject, :producer, :seq)
""")

# Refused by the event log itself, in emit's fallback or when a spool is drained.
_COUNT_REFUSED = text("SELECT learning.count_refused(:event_id, :field, :reason, :producer, :seq)")


def _storable(told: str) -> str:
    """Without what Postgres takes in no text; a name from a foreign entry may hold it."""
    return told.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def reject(session: Session, rejections: Sequence[Rejection]) -> None:
    """Keep them, once each, and count them as arrived, as the dispatcher."""
    if rejections:
        in_order = sorted(
            rejections, key=lambda each: str(each.producer)
        )  # the order in which rows of producers are locked
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
                for rejection in in_order
            ],
        )
        for rejection in rejections:
            count(session, "rejected", rejection.field)


def count_refused(
    session: Session, event_id: UUID, field: str, reason: str, producer: UUID | None, seq: int | None
) -> None:
    """Note, as the app, that an event was refused before it came into a stream: its number is not missing. Without its body."""
    values = {"event_id": event_id, "field": field, "reason": reason, "producer": producer, "seq": seq}
    session.execute(_COUNT_REFUSED, values)
