"""What stands in Redis: entries that no dispatcher has taken in yet, and nudges that no worker has taken. Reads no entry's body."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from learning_schemas.scope import stream_name

ANSWER_SECONDS = 1.0

# The first entry's id alone: its body can be large. How old it is tells Redis' own clock, which made the id.
_HEADS = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
for i, key in ipairs(KEYS) do
  local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)
  if first[1] then
    local id = first[1][1]
    found[i] = {redis.call('XLEN', key), id, now - tonumber(string.match(id, '^%d+'))}
  else
    found[i] = {0, '', 0}
  end
end
return found
"""


@dataclass(frozen=True, kw_only=True)
class Head:
    """A stream's number of entries, its first entry's id, and how many seconds ago that was added."""

    entries: int
    first: str
    seconds: float


def brief_client(url: str) -> redis.Redis:
    """A client that waits no longer than `ANSWER_SECONDS` and tries once. Raises ValueError for what is no Redis URL."""
    return redis.Redis.from_url(
        url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS, retry=Retry(NoBackoff(), 0)
    )


def heads(client: redis.Redis, shards: Sequence[int]) -> dict[int, Head]:
    """The shards' streams. Raises RedisError."""
    if not shards:
        return {}
    found: Any = client.eval(_HEADS, len(shards), *map(stream_name, shards))
    return {
        shard: Head(entries=int(entries), first=bytes(first).decode(), seconds=max(0, int(milliseconds)) / 1000)
        for shard, (entries, first, milliseconds) in zip(shards, found, strict=True)
    }


def nudges(client: redis.Redis, queues: Sequence[str]) -> dict[str, int]:
    """Messages of each Celery queue that no worker has taken; Celery keeps a queue as a list of its name. Raises RedisError."""
    pipeline = client.pipeline(transaction=False)
    for queue in queues:
        pipeline.llen(queue)
    return dict(zip(queues, pipeline.execute(), strict=True))
