"""The gate before the models, one for all workers: a throttled provider makes a queue, not a storm.

Before a call it asks whether the model is paused and whether its rate limits have room; after it, it learns what became of it.
It stands in the broker's Redis. Where that does not answer, calls are made all the same: the provider's own limits still hold,
and memory that waits for a counter would be worse.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self, TypeVar

import structlog
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from learning_stores.settings import ServiceSettings
from learning_workers.backoff import MAX_BACKOFF_SECONDS, spread
from learning_workers.limiter import Full, Limiter, Rate
from learning_workers.metrics import PAUSES, model_label
from learning_workers.pause import Paused, Pauses

logger = structlog.get_logger("learning.gate")

T = TypeVar("T")
D = TypeVar("D")

Verdict = Literal["answered", "throttled", "failed"]

SOCKET_SECONDS = 0.5
AWAY_SECONDS = 5.0
"""How long a Redis that did not answer is not asked again."""
TOLD_SECONDS = 60.0
BRIEF_SECONDS = 2.0
"""How long a worker waits for room before it gives the mailbox back."""
PATIENT_SECONDS = 65.0
"""The same where giving it back would lose calls that were paid for: longer than a minute, in which every limit has room again."""
RETURNING_A_SECOND = 20
"""Mailboxes that come back in a second after a pause, about."""
_LOOK_SECONDS = 0.25


class Held(Exception):
    """Nothing was asked: the model is left alone for `seconds`, because of `note`."""

    def __init__(self, seconds: float, note: str) -> None:
        super().__init__(note)
        self.seconds, self.note = seconds, note


@dataclass(frozen=True, kw_only=True)
class Pass:
    """Leave for one call; `probe` says that others wait for what becomes of it."""

    key: str
    probe: bool


class Gate:
    """One process's way through it. Safe in threads; not over a fork."""

    def __init__(self, url: str | None) -> None:
        self._lock = threading.Lock()
        self._away_until = self._told_at = float("-inf")
        self._pool: ConnectionPool | None = None
        if url is None:
            return
        try:
            self._pool = ConnectionPool.from_url(
                url, socket_timeout=SOCKET_SECONDS, socket_connect_timeout=SOCKET_SECONDS, retry=Retry(NoBackoff(), 0)
            )
        except ValueError:
            return  # a broker that is no Redis
        self._limiter = Limiter(self._pool)
        self._pauses = Pauses(self._pool)

    @classmethod
    def of(cls, settings: ServiceSettings) -> Self:
        """The gate in the broker's Redis; one that is always open where no address is set."""
        url = settings.broker_url or settings.redis_url
        return cls(url.get_secret_value() if url is not None else None)

    def close(self) -> None:
        """Give back the connections."""
        if self._pool is not None:
            self._pool.disconnect()

    def enter(
        self,
        rate: Rate,
        tokens: int,
        patience: float = BRIEF_SECONDS,
        stopping: Callable[[], bool] = lambda: False,
    ) -> Pass:
        """Leave to make one call of so many tokens at most; waits up to `patience` seconds for room. Raises `Held`."""
        found = self._asked(lambda: self._pauses.enter(rate.key), otherwise=False)
        if isinstance(found, Paused):
            # Nobody knows how many wait; so those who were sent away are counted, and come back no faster than this.
            seconds = spread(found.seconds, min(found.held / RETURNING_A_SECOND, MAX_BACKOFF_SECONDS))
            raise Held(seconds, f"{found.note}; {rate.name} is left alone meanwhile")
        passed = Pass(key=rate.key, probe=found)
        until = time.monotonic() + patience
        while (full := self._take(rate, tokens)) is not None:
            if full.seconds > until - time.monotonic() or stopping():
                if passed.probe:
                    self._asked(lambda: self._pauses.give_up(rate.key), None)
                raise Held(self._return(rate, full), full.note)
            time.sleep(min(full.seconds, _LOOK_SECONDS))
        return passed

    def leave(self, passed: Pass, verdict: Verdict, note: str = "", asked: float | None = None) -> float | None:
        """Say what became of the call; `asked` is the provider's Retry-After. Returns for how long the model is paused now."""
        if verdict == "throttled" or (verdict == "failed" and passed.probe):
            PAUSES.labels(model_label(passed.key.partition(":")[2])).inc()
            left = self._asked(lambda: self._pauses.begin(passed.key, note, asked), None)
            return None if left is None else spread(left)
        if passed.probe:
            self._asked(lambda: self._pauses.end(passed.key), None)
        return None

    def _take(self, rate: Rate, tokens: int) -> Full | None:
        if rate.requests is None and rate.tokens is None:
            return None
        return self._asked(lambda: self._limiter.take(rate, tokens), None)

    def _return(self, rate: Rate, full: Full) -> float:
        seconds = self._asked(lambda: self._limiter.line_up(rate, full), None)
        # Behind a line of 15 minutes there is no order: they come back scattered over the later half of it.
        return spread(MAX_BACKOFF_SECONDS / 2, MAX_BACKOFF_SECONDS / 2) if seconds is None else seconds

    def _asked(self, work: Callable[[], T], otherwise: D) -> T | D:
        """What Redis says, or `otherwise` where it says nothing."""
        if self._pool is None:
            self._tell("no address of a Redis")
            return otherwise
        if time.monotonic() < self._away_until:
            return otherwise
        try:
            return work()
        except (RedisError, OSError) as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            self._tell(type(error).__name__)
            return otherwise

    def _tell(self, cause: str) -> None:
        with self._lock:
            if time.monotonic() - self._told_at < TOLD_SECONDS:
                return
            self._told_at = time.monotonic()
        logger.warning("models are asked without limits or pauses", cause=cause)
