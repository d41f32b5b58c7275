"""Intake: from the streams into the event log. One reader a stream, so that its order is kept.

An entry is acknowledged and deleted only after the transaction that wrote it. A reader that takes a shard over first takes
over what is pending there; what it reads twice is a duplicate by the event's key.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Self
from uuid import UUID

import psycopg
import redis
import structlog
from pydantic import ValidationError
from pydantic_core import from_json
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from learning_schemas.closing import ProducerClosed
from learning_schemas.errors import InvalidEvent
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import id_time
from learning_schemas.limits import MAX_CLOCK_SKEW_SECONDS, MAX_EVENT_BYTES, MAX_ID_LENGTH
from learning_schemas.scope import KNOWN_SPECS, shard_of, stream_name, subject_of
from learning_schemas.spec import MachineSpec
from learning_schemas.tracing import is_tracing, span
from learning_stores.database import Database
from learning_stores.event_log import REFUSALS, EventKey, Incoming, Interference, accept
from learning_stores.producers import report_last
from learning_stores.rejected import Rejection, reject
from learning_stores.settings import ServiceSettings
from learning_stores.shards import holds_shards
from learning_stores.specs import Key, SpecCache

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


@dataclass(frozen=True)
class Entry:
    """A stream entry."""

    shard: int
    id: bytes
    fields: Mapping[bytes, bytes]

    @cached_property
    def about(self) -> tuple[UUID, tuple[str, str]] | None:
        """Its event's id, and whose it is (tenant, subject); None where that cannot be read."""
        try:
            event = from_json(self.fields[b"event"])
            return UUID(event["id"]), (
                event.get("tenant", "default"),
                subject_of(event.get("user_id"), event.get("session_id")),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return sum(map(len, self.fields.values()))


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
            refused = [_rejection(entries[0], incoming[0][1].event if incoming else None, "event", told)]
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
                _check(event, entry.shard, self._settings.shards, oldest, newest)
                _carry(event, entry.fields.get(b"spec"), carried)
            except InvalidEvent as error:
                rejections.append(_rejection(entry, event, error.field, str(error)))
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
            for entry, each in incoming:
                verdict = verdicts[each.key]
                if (told := REFUSALS.get(verdict)) is not None:
                    refused = _rejection(entry, each.event, told.partition(":")[0], told)
                    # What was said by somebody who is to be forgotten is kept nowhere.
                    rejected.append(replace(refused, body=b"", subject=None) if verdict in WITHOUT_BODY else refused)
            reject(session, rejected)
            for rejection in rejected:
                logger.warning(
                    "event rejected", stream=rejection.stream, entry=rejection.entry_id, field=rejection.field
                )
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


def _check(event: ConversationCompleted, shard: int, shards: int, oldest: datetime, newest: datetime) -> None:
    if event.user_id is None and event.session_id is None:
        raise InvalidEvent("user_id", "neither it nor session_id is given", "Say whom the event is about")
    made = id_time(event.id)
    if made < oldest:
        raise InvalidEvent("id", f"was made at {made:%Y-%m-%d}, before what is kept", "Raise LEARNING_RETENTION_DAYS")
    if made > newest:
        raise InvalidEvent("id", f"was made at {made:%Y-%m-%d %H:%M} UTC, which is to come", "Set the producer's clock")
    right = shard_of(event.tenant, subject_of(event.user_id, event.session_id), shards)
    if right != shard:
        raise InvalidEvent(
            "event",
            f"belongs into {stream_name(right)}, not {stream_name(shard)}",
            f"Use {shards} shards on producers and dispatchers (LEARNING_SHARDS)",
        )


def _reused_within(incoming: Sequence[tuple[Entry, Incoming]]) -> Entry | None:
    """The first entry whose id the batch has already used for another body."""
    bodies: dict[EventKey, bytes] = {}
    for entry, each in incoming:
        if bodies.setdefault(each.key, each.body_hash) != each.body_hash:
            return entry
    return None


def _carry(event: ConversationCompleted, body: bytes | None, carried: dict[Key, MachineSpec]) -> None:
    if body is None or event.spec is None or (event.tenant, event.spec) in carried:
        return
    try:
        spec = MachineSpec.from_json(body)
    except (ValidationError, ValueError):
        raise InvalidEvent("spec", "cannot be read", "`learning-machine schema spec` describes it") from None
    if spec.spec_hash() != event.spec:
        raise InvalidEvent(
            "spec", "does not have the hash that the event names", "Name the SHA-256 of its canonical JSON"
        )
    carried[event.tenant, event.spec] = spec


def _rejection(entry: Entry, event: ConversationCompleted | None, field: str, reason: str) -> Rejection:
    body = entry.fields.get(b"event", b"")
    said = _Said.of(event) if event is not None else _Said.read(body[:MAX_EVENT_BYTES])
    return Rejection(
        stream=stream_name(entry.shard),
        entry_id=entry.id.decode(),
        tenant=said.tenant,
        event_id=said.event_id,
        field=field,
        reason=reason,
        body=body,
        subject=said.subject,
        producer=said.producer,
        seq=said.seq,
    )


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What an entry says of itself, so that it can be traced, counted and forgotten though it is no valid event."""

    tenant: str | None = None
    event_id: str | None = None
    subject: str | None = None
    producer: UUID | None = None
    seq: int | None = None

    @classmethod
    def of(cls, event: ConversationCompleted) -> Self:
        whose = subject_of(event.user_id, event.session_id) if event.user_id or event.session_id else None
        numbered = event.producer is not None and event.seq is not None
        return cls(
            tenant=event.tenant,
            event_id=str(event.id),
            subject=whose,
            producer=event.producer if numbered else None,
            seq=event.seq if numbered else None,
        )

    @classmethod
    def read(cls, body: bytes) -> Self:
        try:
            found = from_json(body)
        except ValueError:
            return cls()
        if not isinstance(found, dict):
            return cls()
        user_id, session_id = _storable(found.get("user_id")), _storable(found.get("session_id"))
        producer, seq = None, found.get("seq")
        try:
            if type(seq) is int and 0 < seq < 2**63:  # JSON's true is a number to Python, and not to Postgres
                producer = UUID(_storable(found.get("producer")))
        except (TypeError, ValueError):
            seq = None
        return cls(
            tenant=_storable(found.get("tenant", "default")),
            event_id=_storable(found.get("id")),
            subject=subject_of(user_id, session_id) if user_id or session_id else None,
            producer=producer,
            seq=seq if producer is not None else None,
        )


def _storable(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= MAX_ID_LENGTH and "\x00" not in value else None


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
