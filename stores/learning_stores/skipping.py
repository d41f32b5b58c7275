"""Skipping: an operator gives up one pending delivery, so that what waits behind it in its mailbox goes on."""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

_FIND = text("""
    SELECT subject, scope, state FROM learning.delivery
    WHERE tenant = :tenant AND event_id = :event_id AND store = :store
""")

# Locked in the order that intake has: subject, then mailbox.
_LOCK_SUBJECT = text("SELECT true FROM learning.subject WHERE tenant = :tenant AND subject = :subject FOR UPDATE")
_LOCK_MAILBOX = text("""
    SELECT id, owner, coalesce(lease_until > now(), false) AS leased FROM learning.mailbox
    WHERE tenant = :tenant AND store = :store AND scope = :scope FOR UPDATE
""")

# A worker that has claimed the delivery commits nothing: what it settles must be pending.
_SKIP = text("""
    UPDATE learning.delivery
    SET state = 'skipped', reason = :reason, note = NULL, settled_at = clock_timestamp(), next_message = 0
    WHERE tenant = :tenant AND event_id = :event_id AND store = :store AND state = 'pending'
""")

_PENDING = text("""
    SELECT count(*) AS events, min(accepted_at) AS since FROM learning.delivery
    WHERE tenant = :tenant AND store = :store AND scope = :scope AND state = 'pending'
""")

_DELETE = text("DELETE FROM learning.mailbox WHERE id = :id")

# Due now, and nothing that the skipped delivery brought about is held against the others. A live lease stays its worker's.
_WAKE = text("""
    UPDATE learning.mailbox SET
        due_at = least(due_at, clock_timestamp()), not_before = NULL, wait_reason = NULL, wait_note = NULL,
        nudged_until = NULL, failures = 0, window_limit = NULL, crashes_alone = 0, first_pending_at = :since,
        claims = CASE WHEN lease_until > clock_timestamp() THEN 1 ELSE 0 END
    WHERE id = :id
""")


@dataclass(frozen=True, kw_only=True)
class Skip:
    """What became of the wish: `state` is what the delivery was in before; None where there is no such delivery."""

    state: Literal["pending", "extracted", "nothing_found", "skipped", "dead"] | None
    waiting: int = 0
    """Deliveries that are still pending in the mailbox."""
    worker: str | None = None
    """Who works on the mailbox at this moment; what it read with the skipped delivery in it is refused and read again."""

    @property
    def done(self) -> bool:
        """Whether the delivery was skipped by this."""
        return self.state == "pending"


def skip_delivery(session: Session, tenant: str, event_id: UUID, store: str, reason: str) -> Skip:
    """Mark a pending delivery skipped, and make its mailbox due now, or delete it if nothing is left. As the dispatcher.

    A delivery that is settled or dead stays as it is.
    """
    key = {"tenant": tenant, "event_id": event_id, "store": store}
    delivery = session.execute(_FIND, key).one_or_none()
    if delivery is None or delivery.state != "pending":
        return Skip(state=None if delivery is None else delivery.state)
    place = {"tenant": tenant, "store": store, "scope": delivery.scope}
    session.execute(_LOCK_SUBJECT, {"tenant": tenant, "subject": delivery.subject})
    mailbox = session.execute(_LOCK_MAILBOX, place).one_or_none()
    written: Any = session.execute(_SKIP, {**key, "reason": f"skipped by operator: {reason}"})
    if not written.rowcount:  # a worker settled it while this waited for the locks
        return Skip(state=session.execute(_FIND, key).one().state)
    left = session.execute(_PENDING, place).one()
    if mailbox is None:
        return Skip(state="pending", waiting=left.events)
    if left.events:
        session.execute(_WAKE, {"id": mailbox.id, "since": left.since})
    else:
        session.execute(_DELETE, {"id": mailbox.id})
    return Skip(state="pending", waiting=left.events, worker=mailbox.owner if mailbox.leased else None)
