"""What a run came to: its tables, its plot, and what was found wrong."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import percentile
from benchmarks.footprint import Sample
from benchmarks.soak.load import Emitted
from benchmarks.soak.measures import Backlog, Runs
from benchmarks.soak.verdict import Trend, trend
from learning_stores.ledger import Ledger

MEMORY_SHARE, MEMORY_LEAST = 0.10, 8.0
"""What a process's private memory may rise by over the last three quarters: of its mean, and MiB."""
LAG_SHARE, LAG_LEAST = 0.25, 1.0
"""The same of the median lag: of its mean, and seconds."""
JUDGED_MINUTES = 10.0
"""A shorter run is all warming up: its trends are told, and not judged."""
UNJUDGED = {"flower": "keeps its last 10,000 tasks in memory, and grows until it has so many"}
BINS = 60


@dataclass(frozen=True, kw_only=True)
class Run:
    """All that was measured. `drain` are the seconds that the backlog took at the end; None: it did not drain."""

    began: float
    minutes: float
    rate: float
    emitted: Emitted
    memory: Sequence[Sample]
    backlog: Sequence[Backlog]
    lags: Sequence[tuple[float, float]]
    runs: Sequence[Runs]
    states: Sequence[tuple[str, str, int]]
    drain: float | None
    ledger: Ledger


def findings(run: Run) -> list[str]:
    """What is wrong with it; nothing where all is well."""
    found = []
    if run.drain is None:
        found.append("the backlog did not drain")
    if not run.ledger.adds_up:
        found.append(f"the ledger does not add up: {', '.join(each.name for each in run.ledger.findings)}")
    if run.ledger.events.accepted != run.emitted.events:
        found.append(f"{run.emitted.events} events were emitted, the ledger has {run.ledger.events.accepted}")
    if dead := [f"{count} of {store}" for store, state, count in run.states if state == "dead"]:
        found.append(f"deliveries died: {', '.join(dead)}")
    if failed := [each.job for each in run.runs if each.failed]:
        found.append(f"curator runs failed: {', '.join(failed)}")
    if not any(each.done for each in run.runs):
        found.append("the curator did not run")
    if run.minutes >= JUDGED_MINUTES:
        rising = [name for name, each in memory_trends(run).items() if name not in UNJUDGED and each and not each.flat]
        found += [f"the memory of {name} is not flat" for name in rising]
        lag = lag_trend(run)
        if lag is None or not lag.flat:
            found.append("the lag is not flat")
    return found


def memory_trends(run: Run) -> dict[str, Trend | None]:
    """Of every process's private memory, in MiB."""
    return {
        name: trend(points, least=MEMORY_LEAST, share=MEMORY_SHARE) for name, points in _private(run.memory).items()
    }


def lag_trend(run: Run) -> Trend | None:
    """Of the lag's median, a point for each part of the run."""
    return trend(_binned(run, run.lags, 0.5), least=LAG_LEAST, share=LAG_SHARE)


def show(run: Run, console: Console) -> None:
    """Print the tables."""
    judged = "" if run.minutes >= JUDGED_MINUTES else f"; not judged: shorter than {JUDGED_MINUTES:g} minutes"
    console.print(_memory(run, judged))
    console.print(_summary(run, judged))
    table = Table(
        "job", "runs", "done", "failed", "looked at", "changed", "longest, s", title="Curator", title_justify="left"
    )
    for each in run.runs:
        counts = (each.runs, each.done, each.failed, each.looked_at, each.changed)
        table.add_row(each.job, *(f"{count:,}" for count in counts), f"{each.longest:.1f}")
    console.print(table)


def plotted(run: Run, path: Path) -> None:
    """Draw it."""
    from benchmarks.soak.plot import (  # matplotlib comes after the measurement, and only where a plot is wanted
        Panel,
        draw,
    )

    def minutes(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        return [((at - run.began) / 60, value) for at, value in points]

    shares = (("p50", 0.5), ("p95", 0.95))
    draw(
        path,
        f"{run.minutes:g} minutes, {run.rate:g} events/s, four stores, curator every minute",
        [
            Panel(axis="private memory, MiB", lines={name: minutes(each) for name, each in _private(run.memory).items()}),
            Panel(axis="emit to recallable, s", lines={name: minutes(_binned(run, run.lags, share)) for name, share in shares}),
            Panel(axis="count", lines={
                "deliveries pending": minutes((each.at, each.pending) for each in run.backlog),
                "learnings live": minutes((each.at, each.live) for each in run.backlog),
                "connections to Postgres": minutes((each.at, each.connections) for each in run.backlog),
            }),
            Panel(axis="recall, ms", lines={
                f"{kind}, {name}": [(at, value * 1000) for at, value in minutes(_binned(run, recalls, share))]
                for kind, recalls in run.emitted.recalls.items()
                for name, share in shares
            }),
        ],
    )  # fmt: skip  # a panel is read as one


def _memory(run: Run, judged: str) -> Table:
    bound = f"flat: rises by at most {MEMORY_SHARE:.0%} of its mean or {MEMORY_LEAST:g} MiB over the last three quarters{judged}"
    table = Table(
        "process",
        "first",
        "mean",
        "last",
        "rise",
        "bound",
        "",
        title=f"Private memory, MiB; {bound}",
        title_justify="left",
    )
    private = _private(run.memory)
    for name, each in memory_trends(run).items():
        ends = (f"{private[name][0][1]:.0f}", f"{private[name][-1][1]:.0f}")
        if each is None:
            table.add_row(name, ends[0], "", ends[1], "", "", "too few samples")
            continue
        told = UNJUDGED.get(name) or ("flat" if each.flat else "rising")
        table.add_row(name, ends[0], f"{each.mean:.0f}", ends[1], f"{each.rise:+.1f}", f"{each.bound:.1f}", told)
    return table


def _summary(run: Run, judged: str) -> Table:
    table = Table("what", "measured", title=f"{run.minutes:g} minutes at {run.rate:g} events/s", title_justify="left")
    seconds = [lag for _, lag in run.lags]
    table.add_row("events emitted, accepted by the ledger", f"{run.emitted.events:,}, {run.ledger.events.accepted:,}")
    table.add_row("furthest behind its rate", f"{run.emitted.behind:.1f} s")
    if seconds:
        table.add_row("emit to recallable, p50 / p95 / longest", _three(seconds, 1, "s"))
    lag = lag_trend(run)
    if lag is not None:
        told = f"{lag.rise:+.2f} s (flat: at most {lag.bound:.2f} s{judged})"
        table.add_row("rise of its median over the last three quarters", told)
    for kind, recalls in run.emitted.recalls.items():
        table.add_row(f"recall {kind}, p50 / p95 / longest", _three([took * 1000 for _, took in recalls], 1, "ms"))
    degraded = ", ".join(f"{count} {why}" for why, count in run.emitted.degraded.items()) or "none"
    table.add_row(f"recalls degraded, of {sum(map(len, run.emitted.recalls.values()))}", degraded)
    pending = [each.pending for each in run.backlog]
    if pending:
        table.add_row("deliveries pending, p50 / p95 / most", _three(pending, 0, ""))
        table.add_row("learnings live at the end", f"{run.backlog[-1].live:,}")
        connections = [each.connections for each in run.backlog]
        table.add_row(
            "connections to Postgres, first / most / last", f"{connections[0]} / {max(connections)} / {connections[-1]}"
        )
    table.add_row("backlog drained at the end", "no" if run.drain is None else f"within {run.drain:.1f} s")
    states = ", ".join(f"{store} {state} {count:,}" for store, state, count in run.states)
    table.add_row("deliveries", states)
    table.add_row("ledger", "adds up" if run.ledger.adds_up else str([each.name for each in run.ledger.findings]))
    return table


def _three(values: Sequence[float], digits: int, unit: str) -> str:
    return " / ".join(f"{percentile(values, share):.{digits}f}" for share in (0.5, 0.95, 1.0)) + f" {unit}".rstrip()


def _private(samples: Sequence[Sample]) -> dict[str, list[tuple[float, float]]]:
    """Private memory over time, by process."""
    found: dict[str, list[tuple[float, float]]] = {}
    for sample in samples:
        for name, each in sample.memory.items():
            found.setdefault(name, []).append((sample.at, each.private))
    return found


def _binned(run: Run, points: Sequence[tuple[float, float]], share: float) -> list[tuple[float, float]]:
    """A percentile of each part of the run, at its middle."""
    width = max(5.0, run.minutes * 60 / BINS)
    bins: dict[int, list[float]] = {}
    for at, value in points:
        bins.setdefault(math.floor((at - run.began) / width), []).append(value)
    return [(run.began + (number + 0.5) * width, percentile(bins[number], share)) for number in sorted(bins)]
