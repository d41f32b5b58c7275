"""Claiming a mailbox for the curator: whoever rewrites a user's or a session's learnings holds it as a worker would.

Where a worker has the lease, there is no claim: it is left to it. Where there is no mailbox one is made, so that nobody opens
it, reads and commits meanwhile; it goes if nothing is pending in it.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.replay_mailbox import Box

# An arrival's own timing counts from then on, as with a replay. Claims are not counted: this is no try at its window.
_CLAIM = text("""
    INSERT INTO learning.mailbox AS m (tenant, store, scope, subject, user_id, session_id, due_at, first_pending_at, last_event_at,
                                       debounce, max_wait, owner, token, lease_until)
    VALUES (:tenant, :store, :scope, :subject, :user_id, :session_id, now(), now(), now(), interval '0', interval '30 days',
            :owner, nextval('learning.lease_token'), clock_timestamp() + :seconds * interval '1 s')
    ON CONFLICT (tenant, store, scope) DO UPDATE SET owner = excluded.owner, token = excluded.token,
        lease_until = excluded.lease_until, nudged_until = NULL
        WHERE m.lease_until IS NULL OR m.lease_until <= clock_timestamp()
    RETURNING id, token
""")

_EXTEND = text("""
    UPDATE learning.mailbox SET lease_until = clock_timestamp() + :seconds * interval '1 s'
    WHERE id = :id AND tenant = :tenant AND token = :token
""")

_HOLD = text("SELECT true FROM learning.mailbox WHERE id = :id AND tenant = :tenant AND token = :token FOR UPDATE")

# In a later statement than the one that locked the mailbox: deliveries of an intake that was before us are seen.
_PENDING = text("""
    SELECT min(accepted_at) FROM learning.delivery
    WHERE tenant = :tenant AND store = :store AND scope = :scope AND state = 'pending'
""")

_DELETE = text("DELETE FROM learning.mailbox WHERE id = :id AND tenant = :tenant")

_OPEN = text("""
    UPDATE learning.mailbox SET owner = NULL, lease_until = NULL, first_pending_at = least(first_pending_at, :since)
    WHERE id = :id AND tenant = :tenant
""")


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """The curator's right to a mailbox, until it is released or its lease ends."""

    box: Box
    mailbox_id: int
    token: int


def claim_for_curator(session: Session, box: Box, owner: str, seconds: float = 15.0) -> Claimed | None:
    """Take the lease; None where a worker has it. The subject is held by then."""
    row = session.execute(_CLAIM, {**box.__dict__, "owner": owner, "seconds": seconds}).one_or_none()
    return None if row is None else Claimed(box=box, mailbox_id=row.id, token=row.token)


def extend_claim(session: Session, claimed: Claimed, seconds: float = 15.0) -> bool:
    """A heartbeat, while a model is asked. False where it is somebody else's now."""
    written: Any = session.execute(_EXTEND, {**_key(claimed), "seconds": seconds})
    return bool(written.rowcount)


def hold_claim(session: Session, claimed: Claimed) -> bool:
    """Lock the mailbox in the transaction that writes what was decided under an earlier one's claim; False: it was lost."""
    return bool(session.scalar(_HOLD, _key(claimed)))


def release_claim(session: Session, claimed: Claimed) -> None:
    """Leave the mailbox, locked by this transaction, to the workers; delete it where nothing is pending."""
    box = claimed.box
    since = session.scalar(_PENDING, {"tenant": box.tenant, "store": box.store, "scope": box.scope})
    if since is None:
        session.execute(_DELETE, _key(claimed))
    else:
        session.execute(_OPEN, {**_key(claimed), "since": since})


def _key(claimed: Claimed) -> dict[str, Any]:
    return {"id": claimed.mailbox_id, "tenant": claimed.box.tenant, "token": claimed.token}
