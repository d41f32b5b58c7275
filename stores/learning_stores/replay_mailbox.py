"""Taking a mailbox over: whoever changes what a mailbox's extractions gave before holds it as a committing worker would.

A window that a worker has read by then stands on what is being changed: its commit is refused, and it is read again. Where
there is no mailbox one is made, so that nobody opens it, reads and commits meanwhile; it goes if nothing is pending in it.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.ids import uuid7

# An arrival's own timing counts from then on: its debounce takes this one's place, and its longest wait is the shorter.
_TAKE = text("""
    INSERT INTO learning.mailbox AS m (tenant, store, scope, subject, user_id, session_id, due_at, first_pending_at, last_event_at,
                                       debounce, max_wait, token)
    VALUES (:tenant, :store, :scope, :subject, :user_id, :session_id, now(), now(), now(), interval '0', interval '30 days',
            nextval('learning.lease_token'))
    ON CONFLICT (tenant, store, scope) DO UPDATE SET token = excluded.token, owner = NULL, lease_until = NULL, nudged_until = NULL,
        claims = 0
    RETURNING id
""")

# In a later statement than the one that locked the mailbox: deliveries of an intake that was before us are seen.
_PENDING = text("""
    SELECT min(accepted_at) FROM learning.delivery
    WHERE tenant = :tenant AND store = :store AND scope = :scope AND state = 'pending'
""")

_DELETE = text("DELETE FROM learning.mailbox WHERE id = :id")

# Everything up to this acceptance number is due at once. A pause of the provider stays.
_OPEN = text("""
    UPDATE learning.mailbox SET
        due_at = CASE WHEN :upto > 0 THEN least(due_at, clock_timestamp()) ELSE due_at END,
        flush_no = greatest(flush_no, :upto), first_pending_at = least(first_pending_at, :since)
    WHERE id = :id
""")


@dataclass(frozen=True, kw_only=True)
class Box:
    """A mailbox by its key, whether or not it is there."""

    tenant: str
    store: str
    scope: str
    subject: str
    user_id: str | None
    session_id: str | None  # only where the scope is a session's


def take_over(session: Session, box: Box) -> int:
    """Hold a mailbox until the transaction ends, under a token that no worker has; its id. The subject is held by then."""
    found = session.scalar(_TAKE, box.__dict__)
    assert found is not None
    return int(found)


def give_back(session: Session, box: Box, mailbox_id: int, *, upto: int = 0) -> None:
    """Leave it to the workers, due up to this acceptance number; delete it where nothing is pending."""
    since = session.scalar(_PENDING, {"tenant": box.tenant, "store": box.store, "scope": box.scope})
    if since is None:
        session.execute(_DELETE, {"id": mailbox_id})
    else:
        session.execute(_OPEN, {"id": mailbox_id, "upto": upto, "since": since})


_CHANGE = text("""
    INSERT INTO learning.change (tenant, id, origin, action, by_whom, store, scope, subject, user_id, session_id)
    VALUES (:tenant, :id, 'human', :action, :by, :store, :scope, :subject, :user_id, :session_id)
""")


def record_change(session: Session, box: Box, action: str, by: str) -> UUID:
    """Keep who changed what a mailbox's extractions gave; the id that what it retires carries."""
    change_id = uuid7()
    session.execute(_CHANGE, {**box.__dict__, "id": change_id, "action": action, "by": by})
    return change_id
