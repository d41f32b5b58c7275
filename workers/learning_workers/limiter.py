"""Rate limits that all workers keep together: requests and tokens a minute of a model, counted in Redis.

Requests are counted one by one over the last minute, by the workers' clocks, which must agree to a second or so. Tokens are
counted by two counters, this minute's and the share of the last one's that still weighs: exact counting would keep an entry a
token. A call reserves what it may use at most; `limits` has no way to give back what it did not use, and providers reserve the
same way.
"""

import time
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter, RateLimiter, SlidingWindowCounterRateLimiter
from redis import ConnectionPool, Redis

MINUTE = 60.0
MAX_LINE_SECONDS = 900.0
_LEAST_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What may be asked of a model in a minute; None is no limit. `key` is the model's in Redis, `name` what people call it."""

    key: str
    name: str
    requests: int | None = None
    tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Full:
    """No room: until when there may be some (seconds), what a call of this size costs of the limit (seconds), and which it is."""

    seconds: float
    cost_seconds: float
    note: str


# Whoever finds no room gets a moment to come back, each one behind the last by what a call costs. Nothing is held for them:
# it spreads their return over the time that they would need one after the other.
_LINE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local mine = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now + tonumber(ARGV[1]))
if mine - now > tonumber(ARGV[3]) then return -1 end
local last = mine + tonumber(ARGV[2])
redis.call('SET', KEYS[1], string.format('%.0f', last), 'PX', string.format('%.0f', last - now + 1))
return mine - now
"""


class Limiter:
    """The counts of all models. Raises what redis-py raises."""

    def __init__(self, pool: ConnectionPool) -> None:
        storage = RedisStorage("redis://", connection_pool=pool, key_prefix="learning:limits")
        self._storage = storage
        self._requests = MovingWindowRateLimiter(storage)
        self._tokens = SlidingWindowCounterRateLimiter(storage)
        self._line = Redis(connection_pool=pool).register_script(_LINE)

    def take(self, rate: Rate, tokens: int) -> Full | None:
        """Count one call of so many tokens, or say that there is no room for it; then nothing is counted."""
        counted: list[tuple[RateLimiter, RateLimitItemPerMinute, int, str]] = []
        if rate.requests is not None:
            item = RateLimitItemPerMinute(rate.requests, namespace="requests")
            counted.append((self._requests, item, 1, "requests"))
        if rate.tokens is not None:
            item = RateLimitItemPerMinute(rate.tokens, namespace="tokens")
            # A call that is larger than the limit has it for itself: it would never be made otherwise.
            counted.append((self._tokens, item, min(tokens, rate.tokens), "tokens"))
        # Looked at first, so that what one limit refuses does not use up the other; in between, another may be quicker.
        for look in (True, False):
            for strategy, item, cost, what in counted:
                room = (strategy.test if look else strategy.hit)(item, rate.key, cost=cost)
                if not room:
                    return self._full(rate, item, cost, what)
        return None

    def line_up(self, rate: Rate, full: Full) -> float | None:
        """Seconds after which to come back, behind all who were told before; None where the line is longer than 15 minutes."""
        given = [round(seconds * 1000) for seconds in (full.seconds, full.cost_seconds, MAX_LINE_SECONDS)]
        mine = int(self._line([f"learning:limits:line:{rate.key}"], given))
        return None if mine < 0 else mine / 1000

    def _full(self, rate: Rate, item: RateLimitItemPerMinute, cost: int, what: str) -> Full:
        cost_seconds = MINUTE * cost / item.amount
        seconds = cost_seconds
        if what == "requests":
            oldest, _ = self._storage.get_moving_window(item.key_for(rate.key), item.amount, item.get_expiry())
            seconds = oldest + MINUTE - time.time()
        note = f"rate limit: {item.amount} {what} a minute of {rate.name}"
        return Full(seconds=min(max(seconds, _LEAST_SECONDS), MINUTE), cost_seconds=cost_seconds, note=note)
