"""What a measurement of throughput came to, in events a second by the database's clock."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.end_to_end.servers import Bench

STORES = 4


@dataclass(frozen=True, kw_only=True)
class Drained:
    """A backlog of `events`, of which `settled` (four stores' work, by fours) were done in `seconds`.

    `cpu` are the CPU seconds that each process used meanwhile; `states` are those of all deliveries (none in the naive design).
    """

    events: int
    settled: float
    seconds: float
    model_calls: int
    cpu: dict[str, float]
    states: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.settled / self.seconds if self.seconds else 0.0

    @property
    def whole(self) -> bool:
        """Whether all of it was done within the time given."""
        return self.settled >= self.events

    def cpu_of(self, *names: str) -> float:
        """CPU milliseconds an event, of those processes whose names begin so."""
        used = sum(seconds for name, seconds in self.cpu.items() if name.startswith(names))
        return used / self.settled * 1000 if self.settled else 0.0


def watched(bench: Bench, over: Callable[[], bool], seconds: float, every: float = 0.5) -> dict[str, float]:
    """Wait until it is over, or the time is; the CPU seconds that each process used meanwhile."""
    before = bench.cpu()
    until = time.monotonic() + seconds
    while not over() and time.monotonic() < until:
        bench.check()
        time.sleep(every)
    return {name: used - before.get(name, 0.0) for name, used in bench.cpu().items()}
