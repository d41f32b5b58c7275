"""The beginning of a forgetting: one transaction, committed before anything is deleted, after which nobody writes unseen.

It holds the subject FOR UPDATE, which every writer holds FOR SHARE: whoever writes for the subject has committed before it, or
sees it. Deliveries that wait are settled and mailboxes deleted or given new tokens, so that a worker which has read the words
commits nothing.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.errors import InvalidArgument
from learning_schemas.ids import uuid7
from learning_schemas.scope import session_scope, subject_of
from learning_stores.forgetting_target import Scope, Target
from learning_stores.registry import installed

_EVENT = text("""
    SELECT e.subject, e.user_id, e.session_id, e.accepted_at, e.occurred_at FROM learning.conversation_event e
    WHERE e.tenant = :tenant AND e.id = :event_id
""")
_SAID = text("""
    SELECT s.subject, s.user_id, cast(NULL AS text) AS session_id, cast(NULL AS timestamptz) AS accepted_at,
           cast(NULL AS timestamptz) AS occurred_at
    FROM learning.subject s WHERE s.tenant = :tenant AND s.subject IN (
        SELECT v.subject FROM learning.evidence v WHERE v.tenant = :tenant AND v.event_id = :event_id
        UNION ALL
        SELECT d.subject FROM learning.delivery d WHERE d.tenant = :tenant AND d.event_id = :event_id)
""")
_MAKE = text("""
    INSERT INTO learning.subject (tenant, subject, user_id, session_id) VALUES (:tenant, :subject, :user_id, :own_session)
    ON CONFLICT DO NOTHING
""")
_HOLD = text("SELECT true FROM learning.subject WHERE tenant = :tenant AND subject = :subject FOR UPDATE")
_NOW = text("SELECT clock_timestamp()")
_RAISE = text("""
    UPDATE learning.subject SET generation = generation + 1,
        forgotten_at = CASE WHEN :whole THEN cast(:at AS timestamptz) ELSE forgotten_at END,
        closed_at = CASE WHEN :whole AND :close THEN cast(:at AS timestamptz) ELSE closed_at END
    WHERE tenant = :tenant AND subject = :subject
""")
_SESSION = text("""
    INSERT INTO learning.forgotten_session AS f (tenant, scope, forgotten_at, closed_at)
    VALUES (:tenant, :scope, :at, CASE WHEN :close THEN cast(:at AS timestamptz) END)
    ON CONFLICT (tenant, scope) DO UPDATE SET forgotten_at = excluded.forgotten_at,
        closed_at = coalesce(excluded.closed_at, f.closed_at)
""")
_MAILBOXES = text("""
    SELECT id, store, scope FROM learning.mailbox WHERE tenant = :tenant AND subject = :subject
    ORDER BY store, scope FOR UPDATE
""")
_SETTLE = """
    UPDATE learning.delivery d
    SET state = 'skipped', reason = 'forgotten', note = NULL, error = NULL, next_message = 0, replayed_at = NULL,
        settled_at = clock_timestamp()
    WHERE d.tenant = :tenant AND d.store = :store AND d.scope = :mailbox AND d.state = 'pending' AND {which}
"""
_WHICH = {
    "subject": "true",
    "event": "d.event_id = :event_id",
    "session": """EXISTS (SELECT FROM learning.conversation_event e
                          WHERE e.tenant = d.tenant AND e.id = d.event_id AND e.session_id = :session_id)""",
}
_EMPTY = text("""
    DELETE FROM learning.mailbox m WHERE m.id = :id AND NOT EXISTS (
        SELECT FROM learning.delivery d
        WHERE d.tenant = m.tenant AND d.store = m.store AND d.scope = m.scope AND d.state = 'pending')
""")
_RENEW = text("""
    UPDATE learning.mailbox SET token = nextval('learning.lease_token'), owner = NULL, lease_until = NULL, nudged_until = NULL,
        claims = 0, window_limit = NULL, crashes_alone = 0
    WHERE id = :id
""")
_UNFINISHED = text("""
    SELECT id FROM learning.forgetting
    WHERE tenant = :tenant AND subject = :subject AND session_id IS NOT DISTINCT FROM cast(:part AS text)
      AND event_id IS NOT DISTINCT FROM cast(:event_id AS uuid) AND finished_at IS NULL
    ORDER BY began_at LIMIT 1
""")
_ADD = text("""
    INSERT INTO learning.forgetting (tenant, id, subject, session_id, event_id, asked_by, closed, began_at)
    VALUES (:tenant, :id, :subject, :part, :event_id, :by, :close, :at)
""")
_GO_ON = text("UPDATE learning.forgetting SET closed = closed OR :close WHERE tenant = :tenant AND id = :id")
_REOPEN = text("""
    UPDATE learning.subject SET closed_at = NULL, generation = generation + 1
    WHERE tenant = :tenant AND subject = :subject AND closed_at IS NOT NULL
""")
_REOPEN_SESSION = text("""
    UPDATE learning.forgotten_session SET closed_at = NULL WHERE tenant = :tenant AND scope = :scope AND closed_at IS NOT NULL
""")


def target_of(
    session: Session, tenant: str, user_id: str | None, session_id: str | None, event_id: UUID | None
) -> Target:
    """What these ids mean. Raises `InvalidArgument` for an event that nothing is known of."""
    if event_id is not None:
        named = {"tenant": tenant, "event_id": event_id}
        row = session.execute(_EVENT, named).first() or session.execute(_SAID, named).first()
        if row is None:
            raise InvalidArgument("event_id", "names no event that is known here", "A receipt of emit has it")
        return Target(
            kind="event",
            tenant=tenant,
            subject=row.subject,
            user_id=row.user_id,
            session_id=row.session_id,
            scope=session_scope(row.user_id, row.session_id) if row.session_id else None,
            event_id=event_id,
            accepted_at=row.accepted_at,
            said_at=row.occurred_at,
        )
    part = user_id is not None and session_id is not None
    return Target(
        kind="session" if part else "subject",
        tenant=tenant,
        subject=subject_of(user_id, session_id),
        user_id=user_id,
        session_id=session_id,
        scope=session_scope(user_id, session_id) if session_id else None,
    )


def begin(session: Session, target: Target, *, close: bool, by: str | None) -> Scope:
    """Raise the generation, and end what is under way; goes on with a forgetting of the same that was broken off."""
    own_session = target.session_id if target.user_id is None else None
    part = target.session_id if target.kind == "session" else None
    values = {**vars(target), "own_session": own_session, "part": part, "close": close, "by": by}
    session.execute(_MAKE, values)
    session.execute(_HOLD, values)
    at = session.scalar(_NOW)  # after the lock: whatever was written before has an earlier moment
    assert isinstance(at, datetime)
    values |= {"at": at, "whole": target.kind == "subject"}
    session.execute(_RAISE, values)
    if target.kind == "session":
        session.execute(_SESSION, values)
    settle = text(_SETTLE.format(which=_WHICH[target.kind]))
    for mailbox in session.execute(_MAILBOXES, values).all():
        session.execute(settle, {**values, "store": mailbox.store, "mailbox": mailbox.scope})
        if not session.execute(_EMPTY, {"id": mailbox.id}).rowcount:  # type: ignore[attr-defined]  # a DELETE's result is a CursorResult
            session.execute(_RENEW, {"id": mailbox.id})
    found = session.scalar(_UNFINISHED, values)
    forgetting_id = found if isinstance(found, UUID) else uuid7()
    session.execute(_ADD if found is None else _GO_ON, {**values, "id": forgetting_id})
    building = tuple(name for name, store in installed().items() if not store.accumulates)
    return Scope(target=target, forgetting_id=forgetting_id, at=at, building=building)


def reopen(session: Session, target: Target) -> bool:
    """Let a closed subject or session in again; False where it was not closed."""
    statement = _REOPEN_SESSION if target.kind == "session" else _REOPEN
    written = session.execute(statement, vars(target))
    return bool(written.rowcount)  # type: ignore[attr-defined]  # an UPDATE's result is a CursorResult
