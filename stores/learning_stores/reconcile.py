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
        coalesce(s.spec::jsonb, CASE WHEN e.spec_hash = :default_hash THEN cast(:default_spec AS jsonb) END) -> 'stores') AS store
    WHERE e.accepted_no IS NOT NULL AND e.accepted_at > now() - interval '1 day' AND store.value ->> 'mode' = 'ALWAYS'
      AND NOT EXISTS (
          SELECT FROM learning.delivery d WHERE d.tenant = e.tenant AND d.event_id = e.id AND d.store = store.key)
""")

_UNPREPARED = text("""
    SELECT count(*) FROM learning.conversation_event
    WHERE accepted_no IS NULL AND set_aside IS NULL AND accepted_at < now() - interval '1 minute'
""")

_SET_ASIDE = text(
    "SELECT count(*) FROM learning.conversation_event WHERE accepted_no IS NULL AND set_aside IS NOT NULL"
)

_WITHOUT_MAILBOX = text("""
    SELECT count(*) FROM learning.delivery d
    WHERE d.state = 'pending'
      AND NOT EXISTS (SELECT FROM learning.mailbox m WHERE m.tenant = d.tenant AND m.store = d.store AND m.scope = d.scope)
""")

# Numbers that a producer gave and that have not arrived a minute later.
_GAPS = text("""
    SELECT coalesce(sum(highest - received), 0) FROM learning.producer_seq
    WHERE highest > received AND last_seen < now() - interval '1 minute'
""")


_DEFAULT = {"default_hash": DEFAULT_HASH, "default_spec": DEFAULT_SPEC.to_json().decode()}


FINDINGS = {
    "deliveries_without_mailbox": "pending, and in no mailbox; the curator reopens it within the minute",
    "events_unprepared": "accepted over a minute ago and still without deliveries",
    "events_set_aside": "accepted, but their deliveries cannot be made; the next dispatcher that starts tries again",
    "numbers_missing": "numbered by a producer and never arrived",
}
"""What each count of `findings` means."""


def findings(session: Session) -> dict[str, int]:
    """What does not add up, as far as indexes tell at once; changes nothing. As the dispatcher."""
    statements = (_WITHOUT_MAILBOX, _UNPREPARED, _SET_ASIDE, _GAPS)
    return {name: int(session.scalar(query) or 0) for name, query in zip(FINDINGS, statements, strict=True)}


def mend(session: Session) -> int:
    """Reopen the mailboxes that pending deliveries lack; how many. As the dispatcher."""
    reopened: Any = session.execute(_REOPEN)
    return int(reopened.rowcount)


def reconcile(session: Session) -> dict[str, int]:
    """Mend, then count what does not add up, with the events of the last day that lack a delivery. As the dispatcher."""
    return {
        "mailboxes_reopened": mend(session),
        "events_without_delivery": int(session.scalar(_UNDELIVERED, _DEFAULT) or 0),
        **findings(session),
    }
