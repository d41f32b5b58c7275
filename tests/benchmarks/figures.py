"""Figures and how they are told: a name, a value, a goal, and whether it was reached."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure. `goal` is None where it only informs; `reached` is then None too."""

    what: str
    value: str
    goal: str | None = None
    reached: bool | None = None


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share (0 to 1) lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def timed(work: Callable[[], object], times: int, warm_up: int = 50) -> list[float]:
    """Seconds of each of so many calls, after a warm-up."""
    for _ in range(warm_up):
        work()
    clock, seconds = time.perf_counter, []
    for _ in range(times):
        began = clock()
        work()
        seconds.append(clock() - began)
    return seconds


def interleaved(works: Sequence[Callable[[], object]], times: int, rounds: int = 10) -> list[list[float]]:
    """The same for several peers, taking turns in blocks, so that what the machine does besides hits them alike."""
    found: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for place, work in enumerate(works):
            found[place] += timed(work, times // rounds, warm_up=20)
    return found


def micro(seconds: float) -> str:
    """Seconds as microseconds."""
    return f"{seconds * 1e6:,.0f} µs"
