"""Pauses of models, shared by all workers: after a 429 nobody asks the model until the pause ends, and then one asks first.

A pause is a hash in Redis: until when, by Redis' clock; the failures in a row; until when somebody is trying; how many were
sent away; and why. What was under way when a pause began and fails too makes it no longer, unless the provider asks for that.
"""

import random
from dataclasses import dataclass
from typing import Any

from redis import ConnectionPool, Redis

from learning_workers.backoff import MAX_BACKOFF_SECONDS

FIRST_SECONDS = 1.0
TRYING_SECONDS = 15.0
"""How long whoever tries is waited for, who may have died of it; then another one tries as well. The same for slow models."""
PROBED_SECONDS = 2.0
"""How long the others stay away at a time while one is trying."""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local state = redis.call('HMGET', KEYS[1], 'until', 'probe', 'note')
local paused, probe = tonumber(state[1] or '0'), tonumber(state[2] or '0')
"""

_ENTER = f"""{_NOW}
if not state[1] then return {{0, 0, 0, ''}} end
local left = paused - now
if left <= 0 then left = math.min(probe - now, tonumber(ARGV[2])) end
if left > 0 then return {{1, left, redis.call('HINCRBY', KEYS[1], 'held', 1), state[3] or ''}} end
redis.call('HSET', KEYS[1], 'probe', string.format('%.0f', now + tonumber(ARGV[1])))
return {{2, 0, 0, ''}}
"""

_BEGIN = f"""{_NOW}
local asked, jitter, longest = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
if now < paused then
    if asked >= 0 then paused = math.max(paused, now + math.min(asked, longest)) end
else
    local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
    local wait = math.min(longest, tonumber(ARGV[2]) * 2 ^ math.min(failures - 1, 16)) * jitter
    -- The first time as long as was asked for; whoever is refused again and again waits longer than that.
    if asked >= 0 and (failures == 1 or asked > wait) then wait = asked end
    paused = now + math.max(math.min(wait, longest), 100)
end
redis.call('HDEL', KEYS[1], 'probe')
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', paused), 'held', 0, 'note', ARGV[5])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', paused - now + longest))
return string.format('%.0f', paused - now)
"""

_END = f"""{_NOW}
if now < paused then return redis.call('HDEL', KEYS[1], 'probe') end
return redis.call('DEL', KEYS[1])
"""


@dataclass(frozen=True, kw_only=True)
class Paused:
    """A model that is not to be asked for `seconds`; how many were told so during this pause, and why."""

    seconds: float
    held: int
    note: str


class Pauses:
    """The pauses of all models. Raises what redis-py raises."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._redis: Redis = Redis(connection_pool=pool)
        self._enter, self._begin, self._end = map(self._redis.register_script, (_ENTER, _BEGIN, _END))

    def enter(self, key: str) -> Paused | bool:
        """Whether this call is the one that tries whether the pause is over; or the pause."""
        found: Any = self._enter([_name(key)], [round(TRYING_SECONDS * 1000), round(PROBED_SECONDS * 1000)])
        if found[0] == 1:
            note = found[3].decode() if isinstance(found[3], bytes) else str(found[3])
            return Paused(seconds=max(int(found[1]), 1) / 1000, held=int(found[2]), note=note)
        return bool(found[0] == 2)

    def begin(self, key: str, note: str, asked: float | None) -> float:
        """Begin a pause, or prolong it: as long as the provider asked, else longer each time. Returns the seconds left of it."""
        longest = round(MAX_BACKOFF_SECONDS * 1000)
        milliseconds = -1 if asked is None else round(min(asked, MAX_BACKOFF_SECONDS) * 1000)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        given: list[float | str] = [milliseconds, round(FIRST_SECONDS * 1000), jitter, longest, note]
        return int(self._begin([_name(key)], given)) / 1000

    def end(self, key: str) -> None:
        """The model answered whoever tried: the pause is forgotten, unless another has begun."""
        self._end([_name(key)])

    def give_up(self, key: str) -> None:
        """Whoever was to try did not: somebody else may."""
        self._redis.hdel(_name(key), "probe")


def _name(key: str) -> str:
    return f"learning:pause:{key}"
