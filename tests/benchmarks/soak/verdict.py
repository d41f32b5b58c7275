"""Whether a series is flat: the line through its last three quarters, and what it rises by over them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression

KEPT = 0.75
"""Of a run, from its end: before that caches and pools fill."""


@dataclass(frozen=True, kw_only=True)
class Trend:
    """A series' mean and its rise over the last three quarters, by a fitted line, and the most that this may be."""

    mean: float
    rise: float
    bound: float

    @property
    def flat(self) -> bool:
        """Whether it rises by no more than that; falling is fine."""
        return self.rise <= self.bound


def trend(points: Sequence[tuple[float, float]], *, least: float, share: float) -> Trend | None:
    """Of (time, value) points in order of time. The bound is a share of the mean, and `least` at least. None of too few."""
    if not points:
        return None
    began, ended = points[0][0], points[-1][0]
    kept = [(at, value) for at, value in points if at >= ended - (ended - began) * KEPT]
    if len(kept) < 3 or kept[-1][0] <= kept[0][0]:
        return None
    times, values = zip(*kept, strict=True)
    slope = linear_regression(times, values).slope
    mean = fmean(values)
    return Trend(mean=mean, rise=slope * (times[-1] - times[0]), bound=max(least, share * mean))
