"""The job `trim`: takes from the streams what nobody needs, and never what is pending or not read.

That is, in one atomic script for each stream: consumers that have nothing pending, were idle for an hour and read no shard now;
and entries older than everything that any group has not acknowledged. Intake deletes what it acknowledges, so there are such
entries only where somebody else acknowledged them.
"""

from typing import Any

import redis
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.scope import stream_name
from learning_stores.curator.job import Cursor, Job, JobContext, Step
from learning_workers.intake import GROUP

DEAD_MILLISECONDS = 3_600_000
TIMEOUT_SECONDS = 10

_READERS = text("SELECT owner FROM learning.shard_lease WHERE owner IS NOT NULL AND lease_until > now()")

# ARGV: the group, how long idle, '1' where it only counts, and the consumers that read now. Returns consumers and entries.
_TRIM = """
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, 0} end
local function fields(list)
  local found = {}
  for i = 1, #list, 2 do found[list[i]] = list[i + 1] end
  return found
end
local function number(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local reading = {}
for i = 4, #ARGV do reading[ARGV[i]] = true end
local floor, consumers = nil, 0
for _, each in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = fields(each)
  local id = group['last-delivered-id']
  if group['pending'] > 0 then id = redis.call('XPENDING', KEYS[1], group['name'])[2] end
  if floor == nil then
    floor = id
  else
    local ms, seq = number(id)
    local least_ms, least_seq = number(floor)
    if ms < least_ms or (ms == least_ms and seq < least_seq) then floor = id end
  end
  if group['name'] == ARGV[1] then
    for _, other in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
      local consumer = fields(other)
      if consumer['pending'] == 0 and consumer['idle'] >= tonumber(ARGV[2]) and not reading[consumer['name']] then
        if ARGV[3] ~= '1' then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer['name']) end
        consumers = consumers + 1
      end
    end
  end
end
if floor == nil or floor == '0-0' then return {consumers, 0} end
if ARGV[3] == '1' then
  local older = redis.call('XRANGE', KEYS[1], '-', '(' .. floor, 'COUNT', 10000)
  return {consumers, #older}
end
return {consumers, redis.call('XTRIM', KEYS[1], 'MINID', '=', floor)}
"""


class Trim(Job):
    """One stream a step. What it took is counted after it is gone: a kill in between leaves it uncounted."""

    name = "trim"
    per_tenant = False

    def step(self, context: JobContext, cursor: Cursor | None) -> Step:
        """Trim the next stream."""
        shard = 0 if cursor is None else int(cursor["shard"]) + 1
        readers = context.read("dispatcher", _readers)
        consumers, entries = self._trim(context, shard, readers)
        step = Step(
            cursor={"shard": shard} if shard + 1 < context.settings.shards else None,
            looked_at=1,
            changed=consumers + entries,
            report={"consumers": consumers, "entries": entries},
        )
        return context.commit("dispatcher", lambda _: step)

    def _trim(self, context: JobContext, shard: int, readers: list[str]) -> tuple[int, int]:
        with redis.Redis.from_url(
            context.settings.redis(), socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
        ) as client:
            only_count = "1" if context.dry_run else "0"
            answer: Any = client.eval(_TRIM, 1, stream_name(shard), GROUP, str(DEAD_MILLISECONDS), only_count, *readers)
        return int(answer[0]), int(answer[1])


def _readers(session: Session) -> list[str]:
    return list(session.scalars(_READERS))
