"""What operators ask: how much waits for what, who works on it, and what happened to one event."""

from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.budgets import budgets_today
from learning_stores.reconcile import findings, last_findings
from learning_stores.specs import DEFAULT_HASH

# Why something waits is a matter of its mailbox: a pause, a debounce, or a worker that has not come yet.
PENDING_REASON = """
           CASE WHEN m.id IS NULL THEN 'no mailbox'
                WHEN m.lease_until > now() THEN 'in work'
                WHEN m.not_before > now() THEN m.wait_reason
                WHEN m.due_at > now() THEN 'debounce'
                WHEN d.attempts > 0 THEN 'retry'
                ELSE 'due' END"""
"""Of a delivery `d` with its mailbox `m`, as SQL."""

_BACKLOG = text(f"""
    SELECT d.store, {PENDING_REASON} AS reason,
           count(*) AS events, count(DISTINCT m.id) AS mailboxes, min(d.accepted_at) AS oldest,
           max(CASE WHEN m.not_before > now() THEN m.wait_note END) AS note
    FROM learning.delivery d
    LEFT JOIN learning.mailbox m ON m.tenant = d.tenant AND m.store = d.store AND m.scope = d.scope
    WHERE d.state = 'pending'
    GROUP BY 1, 2 ORDER BY 1, 2
""")  # noqa: S608 - the part is a constant

_UNPREPARED = text("""
    SELECT count(*) AS events, min(e.accepted_at) AS oldest,
           count(*) FILTER (WHERE e.via <> 'stream') AS by_fallback, count(e.set_aside) AS set_aside
    FROM learning.conversation_event e WHERE e.accepted_no IS NULL
""")

# Why events have no deliveries yet: the spec that they name is unknown, they were set aside, or intake has not come to them.
_WITHOUT_DELIVERIES = text("""
    SELECT e.tenant, e.set_aside, CASE WHEN k.known THEN NULL ELSE e.spec_hash END AS unknown_spec,
           count(*) AS events, min(e.accepted_at) AS oldest
    FROM learning.conversation_event e
    CROSS JOIN LATERAL (SELECT e.spec_hash = :default OR EXISTS (
        SELECT FROM learning.machine_spec s WHERE s.tenant = e.tenant AND s.hash = e.spec_hash) AS known) AS k
    WHERE e.accepted_no IS NULL GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT 20
""")

_STATES = text("SELECT store, state, count(*) AS events FROM learning.delivery GROUP BY 1, 2 ORDER BY 1, 2")

_LEASES = text("""
    SELECT store, owner, scope IS NOT NULL AS mailbox, lease_until, claims, token FROM learning.mailbox
    WHERE lease_until > now() ORDER BY lease_until LIMIT 100
""")

_SHARDS = text(
    "SELECT shard, owner, token, lease_until, lease_until > now() AS live FROM learning.shard_lease ORDER BY shard"
)

_REJECTED = text("""
    SELECT rejected_at, stream, entry_id, tenant, event_id, field, reason, body_bytes FROM learning.rejected_event
    ORDER BY id DESC LIMIT 20
""")

_MODELS = text("""
    SELECT model, count(*) AS calls, max(called_at) AS last FROM learning.model_call
    WHERE model IS NOT NULL AND called_at > now() - interval '1 day' GROUP BY 1 ORDER BY 2 DESC
""")

_COUNTS = text("""
    SELECT (SELECT count(*) FROM learning.conversation_event) AS accepted,
           (SELECT count(*) FROM learning.rejected_event) AS rejected
""")


def _rows(session: Session, statement: Any, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in session.execute(statement, values or {})]


def _stores(states: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each store: the deliveries that were made, and what became of them."""
    stores: dict[str, dict[str, Any]] = {}
    for row in states:
        empty = {"store": row["store"], "accepted": 0, "settled": 0, "dead": 0, "pending": 0}
        counts = stores.setdefault(row["store"], empty)
        counts[row["state"] if row["state"] in ("dead", "pending") else "settled"] += row["events"]
        counts["accepted"] += row["events"]
    return list(stores.values())


def status(session: Session) -> dict[str, Any]:
    """Backlog by store and reason, settled and dead, leases, rejected events, models of the last day. As the dispatcher.

    `stores` holds for each store `accepted` = `settled` + `dead` + `pending`, of one moment.
    """
    states = _rows(session, _STATES)
    return {
        **dict(session.execute(_COUNTS).one()._mapping),
        "backlog": _rows(session, _BACKLOG),
        "unprepared": dict(session.execute(_UNPREPARED).one()._mapping),
        "without_deliveries": _rows(session, _WITHOUT_DELIVERIES, {"default": DEFAULT_HASH}),
        "stores": _stores(states),
        "settled": [row for row in states if row["state"] != "pending"],
        "findings": findings(session),
        "reconciled": [asdict(each) for each in last_findings(session)],
        "leases": _rows(session, _LEASES),
        "shards": _rows(session, _SHARDS),
        "last_rejected": _rows(session, _REJECTED),
        "models": _rows(session, _MODELS),
        "budgets": [each.as_dict() for each in budgets_today(session)],
    }


_EVENT = text("""
    SELECT tenant, id, user_id, session_id, occurred_at, accepted_at, via, spec_hash, jsonb_array_length(messages) AS messages,
           shown_before, body_bytes, accepted_no, set_aside, producer, seq, end_of_session,
           spec_hash = :default OR EXISTS (
               SELECT FROM learning.machine_spec s WHERE s.tenant = e.tenant AND s.hash = e.spec_hash) AS spec_registered
    FROM learning.conversation_event e WHERE id = :id AND (cast(:tenant AS text) IS NULL OR tenant = :tenant)
""")

_DELIVERIES = text("""
    SELECT d.store, d.state, d.reason, d.note, d.error, d.generation, d.attempts, d.settled_at, d.extraction_id,
           x.model, x.prompt_name, x.prompt_version, x.started_at, x.committed_at, x.events, x.changes, x.dropped, x.undone_at,
           m.wait_reason, m.wait_note, m.not_before, m.due_at, m.owner,
           (SELECT coalesce(json_agg(json_build_object(
                'id', y.id, 'model', y.model, 'prompt_name', y.prompt_name, 'prompt_version', y.prompt_version,
                'committed_at', y.committed_at, 'events', y.events, 'changes', y.changes, 'undone_at', y.undone_at)
                ORDER BY y.committed_at), '[]')
            FROM learning.extraction y WHERE y.tenant = d.tenant AND y.id = ANY (d.earlier_extractions)) AS earlier
    FROM learning.delivery d
    LEFT JOIN learning.extraction x ON x.tenant = d.tenant AND x.id = d.extraction_id
    LEFT JOIN learning.mailbox m ON m.tenant = d.tenant AND m.store = d.store AND m.scope = d.scope AND d.state = 'pending'
    WHERE d.tenant = :tenant AND d.event_id = :id ORDER BY d.store
""")

# Those of its extractions; and where a delivery died or waits, those for its subject and store since it was accepted that led to no
# extraction: a call does not say of which events it was. What led to one is that one's.
_CALLS = text("""
    WITH delivered AS MATERIALIZED (
        SELECT * FROM learning.delivery WHERE tenant = :tenant AND event_id = :id
    )
    SELECT c.store, c.purpose, c.model_asked, c.model, c.prompt_version, c.outcome, c.tokens_input, c.tokens_cached,
           c.tokens_output, c.cost_usd, c.seconds, c.called_at, w.committed
    FROM (
        SELECT m.id, true AS committed FROM learning.model_call m
        WHERE m.tenant = :tenant
          AND m.extraction_id IN (SELECT unnest(d.extraction_id || d.earlier_extractions) FROM delivered d)
        UNION
        SELECT m.id, false FROM delivered d
        JOIN learning.model_call m ON m.tenant = d.tenant AND m.subject = d.subject AND m.subject <> '' AND m.store = d.store
         AND m.purpose = 'extract' AND m.called_at BETWEEN d.accepted_at AND coalesce(d.settled_at, clock_timestamp())
        WHERE d.state IN ('dead', 'pending')
          AND NOT EXISTS (SELECT FROM learning.extraction x WHERE x.tenant = m.tenant AND x.id = m.extraction_id)
    ) AS w
    JOIN learning.model_call c ON c.tenant = :tenant AND c.id = w.id
    ORDER BY c.called_at
""")

_REJECTIONS = text("""
    SELECT rejected_at, stream, field, reason, tenant FROM learning.rejected_event
    WHERE event_id = :id AND (cast(:tenant AS text) IS NULL OR tenant = :tenant) ORDER BY id DESC LIMIT 1
""")


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What happened to one event: itself, its deliveries with their extractions, and the model calls made for them.

    A call that is not `committed` led to no extraction: it was made for the user and store of a delivery that died or waits.
    """

    event: dict[str, Any] | None
    deliveries: list[dict[str, Any]]
    model_calls: list[dict[str, Any]]
    rejected: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def trace(session: Session, event_id: UUID, tenant: str | None) -> Trace:
    """Follow one event. As the dispatcher; without a tenant, the first event of that id."""
    rejected = session.execute(_REJECTIONS, {"id": str(event_id), "tenant": tenant}).first()
    event = session.execute(_EVENT, {"id": event_id, "tenant": tenant, "default": DEFAULT_HASH}).first()
    key = {"id": event_id, "tenant": event.tenant if event is not None else tenant}
    return Trace(
        event=None if event is None else dict(event._mapping),
        deliveries=[] if event is None else [dict(row._mapping) for row in session.execute(_DELIVERIES, key)],
        model_calls=[] if event is None else [dict(row._mapping) for row in session.execute(_CALLS, key)],
        rejected=None if rejected is None else dict(rejected._mapping),
    )
