"""Ours measured: a few events first, then a backlog in the streams, then the dispatcher again.

The clock runs from the first event that is accepted to the last delivery that is settled: intake, debounce and pump count.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import redis

from benchmarks.end_to_end import conversation
from benchmarks.end_to_end.conversation import Turn
from benchmarks.end_to_end.drained import STORES, Drained, watched
from benchmarks.end_to_end.servers import START_SECONDS, THREADS, Bench
from learning_machine import LearnedKnowledgeConfig
from learning_ops.process import wait_until
from learning_ops.readiness import says_ready, until_dispatching
from learning_schemas.scope import shard_of, stream_name, subject_of
from learning_schemas.spec import MachineSpec

ALL_STORES: dict[str, Any] = {
    "name": "bench",
    "user_profile": True,
    "session_context": True,
    "entity_memory": True,
    "learned_knowledge": LearnedKnowledgeConfig(mode="ALWAYS"),
}
"""A machine with the four stores, extracted from every turn, all else as it is by default."""
WARM_EVENTS = 40
WARM_SESSIONS = 10_000_000
"""Where the sessions of the first events begin: no measurement has so many."""
WARM_SECONDS = 60.0

NAMES = ("user_profile", "session_context", "entity_memory", "learned_knowledge")

_LEFT = """
    SELECT (SELECT count(*) FROM learning.conversation_event WHERE accepted_no IS NOT NULL) < %s
        OR EXISTS (SELECT FROM learning.delivery WHERE state = 'pending')
"""
_BEGUN = "SELECT EXISTS (SELECT FROM learning.conversation_event WHERE accepted_at >= %s)"
_FOUND = """
    SELECT (SELECT count(*) FROM learning.delivery WHERE settled_at >= since.at),
           extract(epoch FROM (SELECT max(settled_at) FROM learning.delivery WHERE settled_at >= since.at) - since.at),
           (SELECT count(*) FROM learning.model_call WHERE called_at >= since.at)
    FROM (SELECT min(accepted_at) AS at FROM learning.conversation_event WHERE accepted_at >= %s) AS since
"""
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_STATES = "SELECT state, count(*) FROM learning.delivery GROUP BY 1"


def start_workers(bench: Bench, workers: int) -> None:
    """So many of them, each for all stores, and wait until they take work."""
    for number in range(workers):
        worker = bench.processes.worker(*NAMES, threads=THREADS, name=f"worker{number}")
        bench.running[f"worker {number + 1}"] = worker
    for name, worker in bench.running.items():
        if name.startswith("worker"):
            wait_until(partial(says_ready, worker), START_SECONDS, f"{name} taking work", alive=[worker])


def start_dispatcher(bench: Bench) -> None:
    """It takes in what waits, and from then on nudges."""
    bench.running["dispatcher"] = bench.processes.dispatcher()


def until_ready(bench: Bench) -> None:
    """Wait until the dispatcher reads every shard."""
    until_dispatching(bench.running["dispatcher"], bench.place.dispatcher_url, START_SECONDS)


def fill(bench: Bench, turns: Iterable[Turn]) -> int:
    """Put the events into the streams, as producers do; how many."""
    with bench.place.machine(**ALL_STORES) as machine:
        spec: MachineSpec = machine.spec
    known, number = spec.spec_hash(), 0
    with redis.Redis.from_url(bench.place.redis_url) as client:
        pipeline = client.pipeline(transaction=False)
        for number, turn in enumerate(turns, 1):
            fields = {"event": turn.event(known).to_json(), **({"spec": spec.to_json()} if number == 1 else {})}
            pipeline.xadd(stream_name(shard_of("default", subject_of(turn.user, None))), fields)
            if number % 500 == 0:
                pipeline.execute()
        pipeline.execute()
    return number


def drain(bench: Bench, turns: Iterable[Turn], workers: int, seconds: float) -> Drained:
    """Start, warm, fill while no dispatcher runs, and count what is settled within `seconds`."""
    start_workers(bench, workers)
    start_dispatcher(bench)
    until_ready(bench)
    warm_events = warm(bench)
    bench.running["dispatcher"].stop()
    events = fill(bench, turns)
    since = datetime.now(UTC)
    bench.running["dispatcher"].start()
    return until_settled(bench, events, seconds, warm_events, since)


def warm(bench: Bench) -> int:
    """Let every worker do its first work, and Postgres count its rows; how many events that were."""
    events = fill(bench, conversation.turns(WARM_EVENTS, 1, first_session=WARM_SESSIONS))
    done = until_settled(bench, events, WARM_SECONDS)
    if not done.whole:
        raise RuntimeError(f"{events - done.settled:.0f} events were not settled within {WARM_SECONDS:g} s")
    with psycopg.connect(bench.place.superuser_url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    return events


def until_settled(
    bench: Bench, events: int, seconds: float, accepted_before: int = 0, since: datetime = _EVER
) -> Drained:
    """Wait until so many more events than were accepted before are settled, or the time is over."""
    with psycopg.connect(bench.place.superuser_url, autocommit=True) as connection:
        # Until then the dispatcher starts, or takes over the leases of the one before: no part of what is measured.
        wait_until(
            lambda: bool(_one(connection, _BEGUN, since)[0]),
            START_SECONDS,
            "the first event taken in",
            alive=[bench.running["dispatcher"]],
        )
        cpu = watched(bench, lambda: not _one(connection, _LEFT, accepted_before + events)[0], seconds)
        settled, took, calls = _one(connection, _FOUND, since)
        states: dict[str, int] = dict(connection.execute(_STATES).fetchall())
    return Drained(
        events=events,
        settled=settled / STORES,
        seconds=float(took or 0.0),
        model_calls=calls,
        cpu=cpu,
        states=states,
    )


def _one(connection: psycopg.Connection, statement: Any, *values: object) -> tuple[Any, ...]:
    row = connection.execute(statement, values).fetchone()
    assert row is not None
    return row
