"""Reconciling: what was accepted against what became of it. What does not add up is mended where that is safe, and counted."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.spec import DEFAULT_SPEC
from learning_stores.specs import DEFAULT_HASH

# A pending delivery whose mailbox is gone would wait for ever. No path leads there; if one does, this leads out.
_REOPEN = text("""
    INSERT INTO learning.mailbox (tenant, store, scope, subject, user_id, session_id, due_at, first_pending_at, last_event_at,
                                  debounce, max_wait)
    SELECT d.tenant, d.store, d.scope, d.subject, max(e.user_id),
           CASE WHEN d.scope LIKE 'session/%' THEN max(e.session_id) END, now(), min(d.accepted_at), max(d.accepted_at),
           interval '0', interval '0'
    FROM learning.delivery d
    JOIN learning.conversation_event e ON e.tenant = d.tenant AND e.id = d.event_id
    WHERE d.state = 'pending'
      AND NOT EXISTS (SELECT FROM learning.mailbox m WHERE m.tenant = d.tenant AND m.store = d.store AND m.scope = d.scope)
    GROUP BY d.tenant, d.store, d.scope, d.subject
    ORDER BY d.tenant, d.store, d.scope
    ON CONFLICT DO NOTHING
""")

# Events that were given a number and lack the delivery to one of their spec's ALWAYS stores. The default spec is registered
# nowhere.
_UNDELIVERED = text("""
    SELECT count(DISTINCT (e.tenant, e.id)) FROM learning.conversation_event e
    LEFT JOIN learning.machine_spec s ON s.tenant = e.tenant AND s.hash = e.spec_hash
    CROSS JOIN LATERAL jsonb_each(
        coalesce(s.spec, CASE WHEN e.spec_hash = :default_hash THEN cast(:default_spec AS jsonb) END) -> 'stores') AS store
    WHERE e.accepted_no IS NOT NULL AND e.accepted_at > now() - interval '1 day' AND store.value ->> 'mode' = 'ALWAYS'
      AND NOT EXISTS (
          SELECT FROM learning.delivery d WHERE d.tenant = e.tenant AND d.event_id = e.id AND d.store = store.key)
""")

_UNPREPARED = text("""
    SELECT count(*) FROM learning.conversation_event WHERE accepted_no IS NULL AND accepted_at < now() - interval '1 minute'
""")

# Numbers that a producer gave and that have not arrived a minute later.
_GAPS = text("""
    SELECT coalesce(sum(highest - received), 0) FROM learning.producer_seq
    WHERE highest > received AND last_seen < now() - interval '1 minute'
""")


_DEFAULT = {"default_hash": DEFAULT_HASH, "default_spec": DEFAULT_SPEC.to_json().decode()}


def reconcile(session: Session) -> dict[str, int]:
    """Mailboxes reopened, events without deliveries, events still unprepared, numbers missing. As the dispatcher."""
    reopened: Any = session.execute(_REOPEN)
    return {
        "mailboxes_reopened": int(reopened.rowcount),
        "events_without_delivery": int(session.scalar(_UNDELIVERED, _DEFAULT) or 0),
        "events_unprepared": int(session.scalar(_UNPREPARED) or 0),
        "numbers_missing": int(session.scalar(_GAPS) or 0),
    }
