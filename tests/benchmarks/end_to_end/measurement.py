"""The measurements one after the other, their tables, and the figures that have a goal."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.end_to_end import backlog, naive, ours
from benchmarks.end_to_end.backlog import Backlog, told
from benchmarks.end_to_end.conversation import turns
from benchmarks.end_to_end.drained import Drained
from benchmarks.end_to_end.servers import THREADS, Servers, servers
from benchmarks.figures import Figure
from benchmarks.footprint import Memory

INTERLEAVED, SINGLE = "10 turns a session", "1 turn a session"
MODEL_SECONDS = 0.5
SLOW = "10 turns, 0.5 s model"
"""As most of those that people use are slower than this, what it comes to in practice."""
_DESIGNS = {"ours": ours.drain, "naive": naive.drain}

Key = tuple[str, int, str]
"""A measurement of throughput: what is said, how many workers, which design."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Events of each part, and the seconds after which a part is told as far as it came."""

    interleaved: int = 5_000
    single: int = 500
    slow: int = 400
    seconds: float = 45.0
    backlog: int = 12_000
    backlog_seconds: float = 240.0


def measured(sizes: Sizes) -> list[Figure]:
    """Run all, print the tables, and give the figures; what was not worked off whole says so."""
    console = Console(width=132)
    began = time.monotonic()

    def tell(what: str) -> None:
        # Not among the tables: they may go to a file.
        print(f"{time.monotonic() - began:5.0f} s  {what}", file=sys.stderr, flush=True)

    found: dict[Key, Drained] = {}
    with servers() as both:
        load = psutil.getloadavg()[0]
        console.print(
            f"{psutil.cpu_count()} cores, load {load:.1f} at the start; {THREADS} threads a worker; Redis with appendfsync always"
        )
        for said, events, a_session, crews, model_seconds in (
            (INTERLEAVED, sizes.interleaved, 10, (1, 2), 0.0),
            (SINGLE, sizes.single, 1, (2,), 0.0),
            (SLOW, sizes.slow, 10, (2,), MODEL_SECONDS),
        ):
            for workers in crews:
                for design, drain in _DESIGNS.items():
                    tell(f"{said}, {workers} worker{'s' * (workers > 1)}, {design}")
                    with both.place(model_seconds) as bench:
                        found[said, workers, design] = drain(bench, turns(events, a_session), workers, sizes.seconds)
        console.print(_throughput(found))
        if sizes.backlog:
            _backlog(both, sizes, console, tell)
    return _figures(found)


def _backlog(both: Servers, sizes: Sizes, console: Console, tell: Callable[[str], None]) -> None:
    tell(f"a backlog of {sizes.backlog:,} events")
    with both.place() as bench:
        run = backlog.work_off(bench, sizes.backlog, sizes.backlog_seconds, tell)
    console.print(_over_time(run))
    console.print(_recall(run))
    console.print(_memory(run))


def _throughput(found: dict[Key, Drained]) -> Table:
    table = Table(
        "conversations", "workers", "design", "events", "s", "events/s", "calls/event", "workers", "dispatcher", "Postgres",
        "Redis", "model", title="Events a second, four stores; model calls and CPU ms an event", title_justify="left",
    )  # fmt: skip  # a heading a column
    for heading in table.columns:
        heading.no_wrap = True
    for (said, workers, design), drained in found.items():
        settled = f"{drained.settled:,.0f}" if drained.whole else f"{drained.settled:,.0f}/{drained.events:,}"
        calls = drained.model_calls / drained.settled if drained.settled else 0.0
        cpu = [f"{drained.cpu_of(name):.1f}" for name in ("worker", "dispatcher", "Postgres", "Redis", "model")]
        row = (said, str(workers), design, settled, f"{drained.seconds:.1f}", f"{drained.rate:.1f}", f"{calls:.2f}")
        table.add_row(*row, *cpu)
    return table


def _over_time(run: Backlog) -> Table:
    done = run.drained
    whole = "all of it" if done.whole else f"{done.settled:,.0f} of it, then the time was over"
    dead = "" if set(done.states) <= {"extracted", "pending"} else f"; deliveries by state: {done.states}"
    title = f"A backlog of {done.events:,} events, two workers: {whole} in {done.seconds:.0f} s, {done.rate:.1f} events/s{dead}"
    table = Table(
        "from second", "taken in, events/s", "settled, events/s", "not settled yet", "recall p50 / p95, ms", "with a query",
        title=title, title_justify="left",
    )  # fmt: skip  # a heading a column
    for step in run.steps:
        recalls = [told(step.recalls, query=query) for query in (False, True)]
        figures = (f"{step.accepted:,.0f}", f"{step.settled:.1f}", f"{step.waiting:,.0f}")
        table.add_row(f"{step.began:.0f}", *figures, *recalls)
    return table


def _recall(run: Backlog) -> Table:
    table = Table("recall", "times", "p50 / p95, ms", title="Recall beside it", title_justify="left")
    for name, recalls in (("at rest", run.recalls_at_rest), ("while the backlog drains", run.recalls)):
        for query in (False, True):
            times = sum(each.query is query for each in recalls)
            table.add_row(f"{name}, {'with' if query else 'without'} a query", str(times), told(recalls, query=query))
    return table


def _memory(run: Backlog) -> Table:
    table = Table(
        "process", "started", "at rest, after work", "most under load", "private: started", "most",
        title="Memory of each process with its children, MiB resident (shared pages divided)", title_justify="left",
    )  # fmt: skip  # a heading a column
    for name, started in run.at_rest.items():
        warm, most = run.warm.get(name), run.under_load.get(name)
        resident = [_mebibytes(each, "resident") for each in (started, warm, most)]
        table.add_row(name, *resident, _mebibytes(started, "private"), _mebibytes(most, "private"))
    return table


def _mebibytes(memory: Memory | None, which: str) -> str:
    return "" if memory is None else f"{getattr(memory, which):.0f}"


def _figures(found: dict[Key, Drained]) -> list[Figure]:
    figures = []
    for said, workers, goal in ((INTERLEAVED, 1, None), (INTERLEAVED, 2, 3.0), (SINGLE, 2, 1.0), (SLOW, 2, None)):
        mine, theirs = found[said, workers, "ours"], found[said, workers, "naive"]
        ratio = mine.rate / theirs.rate if theirs.rate else 0.0
        figures.append(
            Figure(
                what=f"events/s, {said}, {workers} worker{'s' * (workers > 1)} / naive design",
                value=f"{ratio:.2f} × ({mine.rate:.1f} / {theirs.rate:.1f})",
                goal=None if goal is None else f"≥ {goal:g} ×",
                reached=None if goal is None else ratio >= goal,
            )
        )
    for design in _DESIGNS:
        one, two = (found[INTERLEAVED, workers, design].rate for workers in (1, 2))
        figures.append(
            Figure(
                what=f"events/s with 2 workers / 1, {INTERLEAVED}, {design}",
                value=f"{two / one if one else 0.0:.2f} × ({two:.1f} / {one:.1f})",
            )
        )
    return figures
