"""How long nothing is tried: longer after each failure, and never for all at the same moment."""

import random

MAX_BACKOFF_SECONDS = 900.0
LEAST_SECONDS = 0.5
MAX_SPREAD_SECONDS = 60.0


def backoff(failures: int, base: float) -> float:
    """Seconds after so many failures before this one: full jitter below `base` doubled each time, and below 15 minutes.

    Full jitter, because what failed together would otherwise come back together (Brooker, "Exponential Backoff And Jitter",
    2015).
    """
    ceiling = min(MAX_BACKOFF_SECONDS, base * 2 ** min(failures, 16))
    return max(LEAST_SECONDS, random.uniform(0, ceiling))  # noqa: S311 - jitter, not a secret


def spread(seconds: float, over: float = 0.0) -> float:
    """Seconds that are not fewer than these, up to `over` more; at least up to half as many, a second or more, a minute or less."""
    width = max(over, 1.0, min(seconds / 2, MAX_SPREAD_SECONDS))
    return seconds + random.uniform(0, width)  # noqa: S311 - as above
