"""A backlog worked off by two workers: its rate over time, what every process has in memory, and recall beside it."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import psycopg

from benchmarks.end_to_end.conversation import question, turns, user_of
from benchmarks.end_to_end.drained import STORES, Drained
from benchmarks.end_to_end.ours import ALL_STORES, fill, start_dispatcher, start_workers, until_ready, until_settled
from benchmarks.end_to_end.servers import Bench
from benchmarks.figures import percentile
from benchmarks.footprint import Memory, MemoryWatch, highest
from learning_machine import LearningMachine

WORKERS = 2
WARM_EVENTS = 500
TURNS = 10
AT_REST_SECONDS = 10.0
RECALL_EVERY = 0.1
ROWS = 15
_IDLE_SECONDS = 60.0

_ENDS = """
    SELECT min(accepted_at), (SELECT max(settled_at) FROM learning.delivery WHERE settled_at >= %(since)s)
    FROM learning.conversation_event WHERE accepted_at >= %(since)s
"""
_STEPS = """
    SELECT floor(extract(epoch FROM at - %(since)s) / %(step)s)::int AS step, sum(accepted), sum(settled)
    FROM (SELECT accepted_at AS at, 1 AS accepted, 0 AS settled FROM learning.conversation_event
          UNION ALL SELECT settled_at, 0, 1 FROM learning.delivery WHERE settled_at IS NOT NULL) AS happened
    WHERE at >= %(since)s GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, kw_only=True)
class Recalled:
    """One recall: when (time.time()), its seconds, whether it had a query, and whether it came back degraded."""

    at: float
    seconds: float
    query: bool
    degraded: bool


@dataclass(frozen=True, kw_only=True)
class Step:
    """What happened in `seconds` of the run, from `began` on: events a second taken in and settled, and how many then waited."""

    began: float
    seconds: float
    accepted: float
    settled: float
    waiting: float
    recalls: Sequence[Recalled]


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What the run came to."""

    drained: Drained
    steps: list[Step]
    at_rest: dict[str, Memory]
    warm: dict[str, Memory]
    under_load: dict[str, Memory]
    recalls_at_rest: list[Recalled]
    recalls: list[Recalled]


def work_off(bench: Bench, events: int, seconds: float, tell: Callable[[str], None]) -> Backlog:
    """Start, warm, rest, fill while no dispatcher runs, and watch it drain, for `seconds` at most."""
    start_workers(bench, WORKERS)
    start_dispatcher(bench)
    until_ready(bench)
    with MemoryWatch(bench.pids) as watch, bench.place.machine(**ALL_STORES) as machine:
        at_rest = watch.look().memory
        warm_events = fill(bench, turns(WARM_EVENTS, TURNS))
        until_settled(bench, warm_events, _IDLE_SECONDS)
        with Recalls(machine) as resting:
            time.sleep(AT_REST_SECONDS)
        warm = watch.look().memory
        bench.running["dispatcher"].stop()
        waiting = fill(bench, turns(events, TURNS, first_session=WARM_EVENTS))
        tell(f"{waiting:,} events wait in the streams")
        loaded = len(watch.samples)
        since = datetime.now(UTC)
        bench.running["dispatcher"].start()
        with Recalls(machine) as under_load:
            drained = until_settled(bench, waiting, seconds, accepted_before=warm_events, since=since)
        watch.look()
        steps = _steps(bench, since, drained, under_load.found)
        return Backlog(
            drained=drained,
            steps=steps,
            at_rest=at_rest,
            warm=warm,
            under_load=highest(watch.samples[loaded:]),
            recalls_at_rest=resting.found,
            recalls=under_load.found,
        )


class Recalls:
    """Recall in a thread for as long as the block runs, of users who have memory, without and with a query by turns."""

    def __init__(self, machine: LearningMachine) -> None:
        self.found: list[Recalled] = []
        self._machine = machine
        self._over = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="recalls", daemon=True)

    def _run(self) -> None:
        chance = random.Random(1)
        try:
            while not self._over.wait(RECALL_EVERY):
                user = chance.randrange(WARM_EVENTS // TURNS)
                for query in (None, question(user)):
                    at, began = time.time(), time.perf_counter()
                    found = self._machine.recall(query, user_id=user_of(user), session_id=f"session-{user}")
                    took = time.perf_counter() - began
                    degraded = found.degraded is not None
                    self.found.append(Recalled(at=at, seconds=took, query=query is not None, degraded=degraded))
        except BaseException as error:
            self._failed = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._failed is not None and error is None:
            raise self._failed


def told(recalls: Sequence[Recalled], *, query: bool) -> str:
    """p50 / p95 in milliseconds, and how many were degraded where any was."""
    ours = [each for each in recalls if each.query is query]
    if not ours:
        return "none"
    seconds = [each.seconds for each in ours]
    text = f"{percentile(seconds, 0.5) * 1000:.1f} / {percentile(seconds, 0.95) * 1000:.1f}"
    degraded = sum(each.degraded for each in ours)
    return f"{text} ({degraded} of {len(ours)} degraded)" if degraded else text


def _steps(bench: Bench, since: datetime, drained: Drained, recalls: Sequence[Recalled]) -> list[Step]:
    """The run from the first event taken in, in at most so many steps of one length, the last of which may be shorter."""
    with psycopg.connect(bench.place.superuser_url) as connection:
        row = connection.execute(_ENDS, {"since": since}).fetchone()
        first, last = row if row is not None else (None, None)
        if first is None or last is None:
            return []
        began, whole = first.timestamp(), (last - first).total_seconds()
        seconds = float(max(5, -(-int(whole + 1) // ROWS)))
        rows = connection.execute(_STEPS, {"since": first, "step": seconds}).fetchall()
    counts = {number: (int(accepted), int(settled)) for number, accepted, settled in rows}
    steps, taken, done = [], 0, 0
    for number in range(max(counts, default=-1) + 1):
        accepted, settled = counts.get(number, (0, 0))
        taken, done = taken + accepted, done + settled
        start = number * seconds
        length = min(seconds, max(0.1, whole - start))
        steps.append(
            Step(
                began=start,
                seconds=length,
                accepted=accepted / length,
                settled=settled / STORES / length,
                waiting=drained.events - done / STORES,
                recalls=[each for each in recalls if start <= each.at - began < start + length],
            )
        )
    return steps
