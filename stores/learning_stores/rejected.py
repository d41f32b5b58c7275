"""Rejected events: what came in and could not be accepted, with the reason. Nothing that arrives disappears."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

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
    subject: str | None = None  # whose words these are, as far as it could be read
    producer: UUID | None = None  # of an event that its producer numbered, with `seq`
    seq: int | None = None


# Read twice, as after a crash before the acknowledgement, an entry is rejected and counted once.
_REJECT = text("""
    WITH kept AS (
        INSERT INTO learning.rejected_event (stream, entry_id, tenant, event_id, field, reason, body, body_bytes, subject)
        VALUES (:stream, :entry_id, :tenant, :event_id, :field, :reason, :body, :body_bytes, :subject)
        ON CONFLICT (stream, entry_id) DO NOTHING
        RETURNING 1
    )
    INSERT INTO learning.producer_seq AS p (producer, highest, received, refused)
    SELECT cast(:producer AS uuid), cast(:seq AS bigint), 0, 1 FROM kept WHERE cast(:producer AS uuid) IS NOT NULL
    ON CONFLICT (producer) DO UPDATE SET highest = greatest(p.highest, excluded.highest),
        refused = p.refused + 1, last_seen = clock_timestamp()
""")


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
