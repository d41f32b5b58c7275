"""`python -m chaos.model LOAD PORT`: the offline model with faults that are evenly spread, until it is told to end.

Of a number of requests one is refused with 429, one fails with 500 and one is answered with nonsense. Drawn by chance, two
nonsenses in a row would meet one event now and then, and it would rightly be dead; so far apart, none may be.
"""

import asyncio
import signal
import sys
from dataclasses import dataclass

from chaos.load import Load
from learning_ops.offline.faults import Fault, Faults
from learning_ops.offline.server import Settings, serve

_KINDS: tuple[Fault, ...] = ("429", "500", "garbage")
RETRY_AFTER = 0.2


@dataclass(frozen=True, kw_only=True)
class EvenFaults(Faults):
    """Each of the three kinds once in `every` requests; none where it is 0."""

    every: int = 0

    def draw(self, number: int) -> Fault | None:
        """The fault of a request, by its number alone."""
        if not self.every:
            return None
        place, spacing = (number + self.seed) % self.every, self.every // len(_KINDS)
        kind, rest = divmod(place, spacing)
        return _KINDS[kind] if rest == spacing - 1 and kind < len(_KINDS) else None


def faults_of(load: Load) -> EvenFaults:
    """The model's faults in a run."""
    every = round(len(_KINDS) / load.fault_rate) if load.fault_rate else 0
    return EvenFaults(latency=load.latency, retry_after=RETRY_AFTER, seed=load.seed, every=every)


async def _serve(load: Load, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(Settings(port=port, faults=faults_of(load)), ready=lambda *_: None, stop=stop)


if __name__ == "__main__":
    asyncio.run(_serve(Load.from_json(sys.argv[1]), int(sys.argv[2])))
