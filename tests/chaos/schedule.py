"""Which fault meets whom, when and for how long: all of it drawn from the seed before the run begins."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.load import Load

_WIRES = tuple(
    f"{side}-{server}" for side in ("producers", "dispatchers", "workers") for server in ("postgres", "redis")
)
TARGETS: dict[str, tuple[str, ...]] = {
    "worker killed": ("worker-1", "worker-2"),
    "worker stopped": ("worker-1", "worker-2"),
    "dispatcher killed": ("dispatcher-1", "dispatcher-2"),
    "dispatcher stopped": ("dispatcher-1", "dispatcher-2"),
    "redis killed": ("redis",),
    "redis stopped": ("redis",),
    "postgres killed": ("postgres",),
    "postgres stopped": ("postgres",),
    "connections cut": _WIRES,
    "connections held": _WIRES,
    "connections slowed": _WIRES,
    "queues flushed": ("queues",),
    "nudges doubled": ("nudges",),
}
_SECONDS: dict[str, tuple[float, float]] = {
    "worker killed": (0.0, 3.0),
    "worker stopped": (1.0, 20.0),  # a lease is 15 s
    "dispatcher killed": (0.0, 3.0),
    "dispatcher stopped": (1.0, 20.0),
    "redis killed": (0.0, 3.0),
    "redis stopped": (0.3, 6.0),
    "postgres killed": (0.0, 3.0),
    "postgres stopped": (0.3, 6.0),
    "connections cut": (0.0, 4.0),
    "connections held": (0.3, 8.0),
    "connections slowed": (2.0, 8.0),
    "queues flushed": (0.0, 0.0),
    "nudges doubled": (0.0, 0.0),
}
_BETWEEN = 0.3  # seconds that a target has for itself after a fault


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A fault to come; seconds since the run began, and how long it lasts."""

    at: float
    kind: str
    target: str
    seconds: float


def schedule(load: Load, *, seconds: float, times: int, longest: float | None = None) -> list[Planned]:
    """Each kind `times` times at least, spread over `seconds`; no target has two at a time. `longest` bounds each fault.

    The targets of a kind take turns, in an order drawn once, so that none is spared.
    """
    chance = random.Random(f"{load.seed}:faults")
    turns = {kind: chance.sample(targets, len(targets)) for kind, targets in TARGETS.items()}
    kinds: list[tuple[str, str]] = []
    for number in range(times):
        kinds += [(kind, targets[number % len(targets)]) for kind, targets in turns.items()]
    chance.shuffle(kinds)
    return _placed(chance, kinds, seconds, longest)


def _placed(
    chance: random.Random, kinds: Sequence[tuple[str, str]], seconds: float, longest: float | None
) -> list[Planned]:
    free: dict[str, float] = {}
    planned = []
    for number, (kind, target) in enumerate(kinds):
        low, high = _SECONDS[kind]
        lasts = chance.uniform(min(low, longest or low), min(high, longest or high))
        at = max(seconds * (number + chance.random()) / len(kinds), free.get(target, 0.0))
        free[target] = at + lasts + _BETWEEN
        planned.append(Planned(at=at, kind=kind, target=target, seconds=lasts))
    return sorted(planned, key=lambda fault: fault.at)
