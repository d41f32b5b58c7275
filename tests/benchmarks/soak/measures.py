"""What the database says of a run: backlog, lag, the curator's runs, and whether the ledger adds up."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from learning_stores.database import Database
from learning_stores.ledger import Ledger, ledger

_PENDING = """
    SELECT extract(epoch FROM clock_timestamp()), (SELECT count(*) FROM learning.delivery WHERE state = 'pending'),
           (SELECT count(*) FROM learning.learning WHERE status = 'active'),
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
"""

# An event is recallable as a learning, or known to have none, when the last of its deliveries is settled.
_LAGS = """
    SELECT extract(epoch FROM e.occurred_at)::float8, extract(epoch FROM max(d.settled_at) - e.occurred_at)::float8
    FROM learning.conversation_event e JOIN learning.delivery d ON d.tenant = e.tenant AND d.event_id = e.id
    GROUP BY e.tenant, e.id, e.occurred_at HAVING count(d.settled_at) = count(*) ORDER BY 1
"""

_RUNS = """
    SELECT job, count(*), count(*) FILTER (WHERE state = 'done'), count(*) FILTER (WHERE state = 'failed'),
           sum(looked_at)::bigint, sum(changed)::bigint,
           coalesce(extract(epoch FROM max(finished_at - began_at)), 0)::float8
    FROM learning.curator_run GROUP BY 1 ORDER BY 1
"""
_WORK = "SELECT EXISTS (SELECT FROM learning.delivery WHERE state = 'pending')"
_STATES = "SELECT store, state, count(*) FROM learning.delivery GROUP BY 1, 2 ORDER BY 1, 2"


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """At a moment (time.time()): deliveries that are pending, learnings that are live, and connections to Postgres."""

    at: float
    pending: int
    live: int
    connections: int


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Of one of the curator's jobs; `longest` in seconds."""

    job: str
    runs: int
    done: int
    failed: int
    looked_at: int
    changed: int
    longest: float


class Measures:
    """A connection of its own, as one who sees all."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.backlog: list[Backlog] = []

    def look(self) -> None:
        """Note the backlog of this moment."""
        at, pending, live, connections = self._rows(_PENDING)[0]
        self.backlog.append(Backlog(at=float(at), pending=pending, live=live, connections=connections))

    def lags(self) -> list[tuple[float, float]]:
        """Of every settled event: when it was emitted, and how many seconds later it was recallable."""
        return [(float(at), float(lag)) for at, lag in self._rows(_LAGS)]

    def runs(self) -> list[Runs]:
        """By job."""
        names = ("job", "runs", "done", "failed", "looked_at", "changed", "longest")
        return [Runs(**dict(zip(names, row, strict=True))) for row in self._rows(_RUNS)]

    def states(self) -> list[tuple[str, str, int]]:
        """Deliveries by store and state."""
        return [(store, state, count) for store, state, count in self._rows(_STATES)]

    def drained(self, seconds: float) -> float | None:
        """How long it takes until nothing is pending; None where it takes longer than that."""
        return _waited(lambda: not self._rows(_WORK)[0][0], seconds)

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            return connection.execute(statement).fetchall()


def added_up(dispatcher_url: str, events: int, seconds: float) -> Ledger:
    """The ledger, once it adds up with so many events; as it is after that many seconds where it does not."""
    found: list[Ledger] = []

    def look() -> bool:
        with Database(dispatcher_url, pool_size=1) as database, database.snapshot() as session:
            found.append(ledger(session))
        return found[-1].adds_up and found[-1].events.accepted == events

    _waited(look, seconds, every=2.0)
    return found[-1]


def _waited(over: Callable[[], bool], seconds: float, every: float = 0.5) -> float | None:
    began = time.monotonic()
    while not over():
        if time.monotonic() - began > seconds:
            return None
        time.sleep(every)
    return time.monotonic() - began
