"""Intake: from the streams into the event log. One reader a stream, so that its order is kept.

An entry is acknowledged and deleted only after the transaction that wrote it. A reader that takes a shard over first takes
over what is pending there; what it reads twice is a duplicate by the event's key.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import redis
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from learning_schemas.closing import ProducerClosed
from learning_schemas.errors import InvalidEvent
from learning_schemas.event import ConversationCompleted
from learning_schemas.limits import MAX_CLOCK_SKEW_SECONDS
from learning_schemas.scope import KNOWN_SPECS, stream_name
from learning_schemas.spec import MachineSpec
from learning_schemas.tracing import is_tracing, span
from learning_stores.database import Database
from learning_stores.event_log import REFUSALS, EventKey, Incoming, Interference, accept
from learning_stores.producers import report_last
from learning_stores.rejected import Rejection, reject
from learning_stores.settings import ServiceSettings
from learning_stores.shards import holds_shards
from learning_stores.specs import Key, SpecCache
from learning_workers.entry import Entry, carry, check, rejection

logger = structlog.get_logger("learning.intake")

GROUP = "learning"
BATCH = 500
BATCH_BYTES = 8 * 1024 * 1024
"""Of one transaction, and about what one read brings: a few large events must not fill the memory of two servers."""
BLOCK_MILLISECONDS = 500

# Deletes a consumer only if nothing is pending on it: deleting one drops what it had.
_DELETE_IDLE_CONSUMER = """
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local fields = {}
  for i = 1, #consumer, 2 do fields[consumer[i]] = consumer[i + 1] end
  if fields['name'] ~= ARGV[2] and fields['pending'] == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], fields['name'])
  end
end
"""


class ShardLost(Exception):
    """A shard that was read from is another dispatcher's now: what was read is its business."""


class Intake:
    """Reads the shards that this dispatcher holds."""

    def __init__(
        self, client: redis.Redis, database: Database, specs: SpecCache, settings: ServiceSettings, owner: str
    ) -> None:
        self._redis: Any = client
        self._database = database
        self._specs = specs
        self._settings = settings
        self._owner = owner
        self.at_end: frozenset[int] = frozenset()  # shards of which the last read left nothing
        self._reach = 32  # entries of each stream that the next read asks for, since Redis counts entries and not bytes

    def take_over(self, shard: int) -> list[Entry]:
        """Everything that is read and not acknowledged in a shard, oldest first, now pending on this reader."""
        stream = stream_name(shard)
        self._make_group(stream)
        entries: list[Entry] = []
        start: bytes = b"0-0"
        while True:
            start, claimed, *_ = self._redis.xautoclaim(
                stream, GROUP, self._owner, min_idle_time=0, start_id=start, count=self._reach
            )
            entries += [Entry(shard, entry_id, fields) for entry_id, fields in claimed if fields]
            if start == b"0-0":
                break
        self._redis.eval(_DELETE_IDLE_CONSUMER, 1, stream, GROUP, self._owner)
        return entries

    def read(self, shards: Sequence[int], block: int = BLOCK_MILLISECONDS) -> list[Entry]:
        """New entries of these shards, in each shard's order; waits `block` milliseconds at most for the first."""
        streams = {stream_name(shard): ">" for shard in shards}
        try:
            answer = self._redis.xreadgroup(GROUP, self._owner, streams, count=self._reach, block=block)
        except redis.exceptions.ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            for stream in streams:  # Redis was emptied
                self._make_group(stream)
            self.at_end = frozenset()
            return []
        numbers = {stream_name(shard).encode(): shard for shard in shards}
        found = [
            Entry(numbers[_bytes(stream)], entry_id, fields)
            for stream, entries in _pairs(answer)
            for entry_id, fields in entries
        ]
        counts = Counter(entry.shard for entry in found)
        self.at_end = frozenset(shard for shard in shards if counts[shard] < self._reach)
        if found:
            each = max(1, sum(entry.size for entry in found) // len(found))
            self._reach = max(1, min(self._reach * 2, BATCH, BATCH_BYTES // each))
        return found

    def take_in(self, entries: Sequence[Entry], tokens: Mapping[int, int]) -> int:
        """Write entries and acknowledge them. Returns how many events were new. Raises `ShardLost`, `DBAPIError`, RedisError."""
        accepted = 0
        for batch in batches(entries):
            accepted += self._write(batch, tokens)
        return accepted

    def _write(self, entries: Sequence[Entry], tokens: Mapping[int, int]) -> int:
        began_at = time.time_ns()
        incoming, carried, rejections, closings = self._parse(entries)
        if (again := _reused_within(incoming)) is not None:
            # Verdicts are by id: two bodies under one id go in one after the other.
            at = entries.index(again)
            return self._write(entries[:at], tokens) + self._write(entries[at:], tokens)
        try:
            accepted = self._commit(entries, incoming, carried, rejections, tokens)
        except Interference:
            accepted = self._commit(entries, incoming, carried, rejections, tokens)
        except DBAPIError as error:
            slow = isinstance(error.orig, psycopg.errors.QueryCanceled) and len(entries) > 1
            if not slow and not isinstance(error.orig, REFUSED):
                raise
            if len(entries) > 1:
                middle = len(entries) // 2
                return self._write(entries[:middle], tokens) + self._write(entries[middle:], tokens)
            told = f"the database refuses it ({type(error.orig).__name__})"
            refused = [rejection(entries[0], incoming[0][1].event if incoming else None, "event", told)]
            accepted = self._commit(entries, [], {}, refused, tokens)
        if closings:  # the greatest counts, whoever writes it: it needs no lease
            self._database.run(None, report_last, closings)
        self._acknowledge(entries, carried)
        if is_tracing():
            _trace(began_at, incoming)
        return accepted

    def _parse(
        self, entries: Sequence[Entry]
    ) -> tuple[list[tuple[Entry, Incoming]], dict[Key, MachineSpec], list[Rejection], list[ProducerClosed]]:
        incoming: list[tuple[Entry, Incoming]] = []
        carried: dict[Key, MachineSpec] = {}
        rejections: list[Rejection] = []
        closings: list[ProducerClosed] = []
        now = datetime.now(UTC)
        oldest = now - timedelta(days=self._settings.retention_days)
        newest = now + timedelta(seconds=MAX_CLOCK_SKEW_SECONDS)
        for entry in entries:
            body = entry.fields.get(b"event")
            event: ConversationCompleted | None = None
            try:
                if body is None and (said := entry.fields.get(b"closed")) is not None:
                    closings.append(ProducerClosed.from_json(said))
                    continue
                if body is None:
                    raise InvalidEvent("event", "the entry has no field of that name", "XADD … event '{…}'")
                event = ConversationCompleted.from_json(body, max_bytes=self._settings.max_event_bytes)
                check(event, entry.shard, self._settings.shards, oldest, newest)
                carry(event, entry.fields.get(b"spec"), carried)
            except InvalidEvent as error:
                rejections.append(rejection(entry, event, error.field, str(error)))
            else:
                incoming.append((entry, Incoming(event=event, via="stream", body_bytes=len(body))))
        return incoming, carried, rejections, closings

    def _commit(
        self,
        entries: Sequence[Entry],
        incoming: Sequence[tuple[Entry, Incoming]],
        carried: Mapping[Key, MachineSpec],
        rejections: Sequence[Rejection],
        tokens: Mapping[int, int],
    ) -> int:
        shards = {entry.shard for entry in entries}

        def work(session: Session) -> int:
            if not holds_shards(session, {shard: tokens[shard] for shard in shards}):
                raise ShardLost(str(sorted(shards)))
            rejected = list(rejections)
            verdicts: dict[EventKey, str] = {}
            if incoming:
                batch = [each for _, each in incoming]
                verdicts.update(accept(session, batch, carried, self._specs, self._settings.shards))
            for entry, taken in incoming:
                verdict = verdicts[taken.key]
                if (told := REFUSALS.get(verdict)) is not None:
                    refused = rejection(entry, taken.event, told.partition(":")[0], told)
                    # What was said by somebody who is to be forgotten is kept nowhere.
                    rejected.append(replace(refused, body=b"", subject=None) if verdict in WITHOUT_BODY else refused)
            reject(session, rejected)
            for each in rejected:
                logger.warning("event rejected", stream=each.stream, entry=each.entry_id, field=each.field)
            return sum(verdict == "accepted" for verdict in verdicts.values())

        return self._database.run(None, work)

    def _acknowledge(self, entries: Sequence[Entry], carried: Mapping[Key, MachineSpec]) -> None:
        by_stream: dict[str, list[bytes]] = {}
        for entry in entries:
            by_stream.setdefault(stream_name(entry.shard), []).append(entry.id)
        pipeline = self._redis.pipeline(transaction=True)
        for stream, ids in by_stream.items():
            pipeline.xack(stream, GROUP, *ids)
            pipeline.xdel(stream, *ids)
        if carried:
            pipeline.sadd(KNOWN_SPECS, *(f"{tenant}/{spec_hash}" for tenant, spec_hash in carried))
        pipeline.execute()

    def _make_group(self, stream: str) -> None:
        try:
            self._redis.xgroup_create(stream, GROUP, id="0", mkstream=True)
        except redis.exceptions.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise


# What Postgres says of an entry, and not of itself; a key too long for an index is among it.
REFUSED = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)

WITHOUT_BODY = frozenset({"closed", "forgotten"})


def batches(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """The entries in their order, so many and so large at a time as one transaction may have."""
    start = size = 0
    for place, entry in enumerate(entries):
        if place > start and (place - start == BATCH or size + entry.size > BATCH_BYTES):
            yield entries[start:place]
            start, size = place, 0
        size += entry.size
    if entries:
        yield entries[start:]


def _trace(began_at: int, incoming: Sequence[tuple[Entry, Incoming]]) -> None:
    """A span for each event whose turn is traced, all as long as their transaction took."""
    for entry, each in incoming:
        if each.event.traceparent is not None:
            attributes: dict[str, str | int] = {
                "learning.event_id": str(each.event.id),
                "learning.shard": entry.shard,
                "learning.events": len(incoming),
            }
            with span(
                "learning.intake", "consumer", parent=each.event.traceparent, began_at=began_at, attributes=attributes
            ):
                pass


def _reused_within(incoming: Sequence[tuple[Entry, Incoming]]) -> Entry | None:
    """The first entry whose id the batch has already used for another body."""
    bodies: dict[EventKey, bytes] = {}
    for entry, each in incoming:
        if bodies.setdefault(each.key, each.body_hash) != each.body_hash:
            return entry
    return None


def _bytes(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _pairs(answer: Any) -> list[tuple[Any, list[tuple[bytes, Mapping[bytes, bytes]]]]]:
    """XREADGROUP's answer, which RESP2 gives as a list of pairs and RESP3 as a mapping to lists of lists."""
    if not answer:
        return []
    if isinstance(answer, Mapping):
        return [
            (stream, entries[0] if entries and isinstance(entries[0], list) else entries)
            for stream, entries in answer.items()
        ]
    return [(stream, entries) for stream, entries in answer]
