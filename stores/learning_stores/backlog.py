"""What waits at this moment, for metrics and probes: how much of it, for what, and since when. Nothing here names anybody.

It reads what is pending and no more: 0.3 s for 400,000 pending deliveries. As the dispatcher, over all tenants.
"""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.specs import DEFAULT_HASH
from learning_stores.status import PENDING_REASON

_BOUND = text("SELECT set_config('statement_timeout', :ms, true)")

_DELIVERIES = text(f"""
    SELECT d.store, coalesce({PENDING_REASON}, 'paused') AS reason, count(*) AS number,
           extract(epoch FROM clock_timestamp() - min(d.accepted_at))::float8 AS seconds
    FROM learning.delivery d
    LEFT JOIN learning.mailbox m ON m.tenant = d.tenant AND m.store = d.store AND m.scope = d.scope
    WHERE d.state = 'pending'
    GROUP BY 1, 2
""")  # noqa: S608 - the part is a constant

# Events that are in the log and have no deliveries yet.
_EVENTS = text("""
    SELECT CASE WHEN e.set_aside IS NOT NULL THEN 'set aside' WHEN k.known THEN 'not prepared' ELSE 'waiting for spec'
           END AS reason,
           count(*) AS number, extract(epoch FROM clock_timestamp() - min(e.accepted_at))::float8 AS seconds
    FROM learning.conversation_event e
    CROSS JOIN LATERAL (SELECT e.spec_hash = :default OR EXISTS (
        SELECT FROM learning.machine_spec s WHERE s.tenant = e.tenant AND s.hash = e.spec_hash) AS known) AS k
    WHERE e.accepted_no IS NULL AND e.forgotten_at IS NULL
    GROUP BY 1
""")

_EMBEDDINGS = text("""
    SELECT count(*) AS number, coalesce(extract(epoch FROM clock_timestamp() - min(since)), 0)::float8 AS seconds
    FROM learning.embedding_due
""")

_DEAD = text("SELECT store, count(*) AS number FROM learning.delivery WHERE state = 'dead' GROUP BY 1")

_FINDINGS = text("SELECT name, count AS number FROM learning.ledger_finding")

_RECONCILED = text("""
    SELECT extract(epoch FROM clock_timestamp() - max(looked_at))::float8 FROM learning.ledger_finding
""")

_SHARDS = text("SELECT count(*) FROM learning.shard_lease WHERE lease_until > clock_timestamp()")

_DISPATCHERS = text("""
    SELECT count(*) FROM learning.dispatcher
    WHERE least(intake_at, pump_at) > clock_timestamp() - :seconds * interval '1 s'
""")

# What a worker could take and nobody has: due, not paused, not leased. Nudges are left out: that one was sent moves nothing.
# A live lease says that somebody works on this store; a lapsed one is what a worker that is gone or stopped leaves.
_AT_WORK = text("""
    SELECT (SELECT extract(epoch FROM clock_timestamp() - min(greatest(m.due_at, m.not_before, m.lease_until)))::float8
            FROM learning.mailbox m
            WHERE m.store = :store AND greatest(m.due_at, m.not_before, m.lease_until) <= now()) AS waiting,
           EXISTS (SELECT FROM learning.mailbox m WHERE m.store = :store AND m.lease_until > now()) AS working
""")


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """So many of one kind, the oldest of them for so many seconds."""

    reason: str
    number: int
    seconds: float
    store: str = ""


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """Everything that waits. `dead` by store, `findings` by name; `shards` are those that a dispatcher reads."""

    deliveries: tuple[Waiting, ...]
    events: tuple[Waiting, ...]
    embeddings: Waiting
    dead: dict[str, int]
    findings: dict[str, int]
    shards: int
    reconciled: float | None  # seconds since the reconciler looked; None: it never has


@dataclass(frozen=True, kw_only=True)
class AtWork:
    """A store: since how many seconds something waits that a worker could take, and whether one works on anything of it."""

    waiting: float | None
    working: bool


def bound(session: Session, seconds: float) -> None:
    """Let no statement of this transaction take longer."""
    session.execute(_BOUND, {"ms": str(int(seconds * 1000))})


def backlog(session: Session, seconds: float) -> Backlog:
    """What waits. A statement that takes longer than `seconds` is cancelled (QueryCanceled)."""
    bound(session, seconds)
    embeddings = session.execute(_EMBEDDINGS).one()
    return Backlog(
        deliveries=tuple(Waiting(**row._mapping) for row in session.execute(_DELIVERIES)),
        events=tuple(Waiting(**row._mapping) for row in session.execute(_EVENTS, {"default": DEFAULT_HASH})),
        embeddings=Waiting(reason="embedding", number=embeddings.number, seconds=embeddings.seconds),
        dead={row.store: row.number for row in session.execute(_DEAD)},
        findings={row.name: row.number for row in session.execute(_FINDINGS)},
        shards=shards_read(session),
        reconciled=session.scalar(_RECONCILED),
    )


def dispatchers(session: Session, seconds: float) -> int:
    """Dispatchers, on any host, both of whose loops turned within so many seconds."""
    return int(session.scalar(_DISPATCHERS, {"seconds": seconds}) or 0)


def shards_read(session: Session) -> int:
    """Shards that some dispatcher reads."""
    return int(session.scalar(_SHARDS) or 0)


def at_work(session: Session, store: str) -> AtWork:
    """Whether a store's work moves."""
    return AtWork(**session.execute(_AT_WORK, {"store": store}).one()._mapping)
