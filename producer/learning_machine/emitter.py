"""Emitting: one Redis round trip for a turn, and another place where Redis does not take it.

An event is accepted once it is in its stream, or, where Redis is down, full, read-only or silent, in the Postgres event log.
Which it was is in the receipt.
"""

import logging
import time
from collections import Counter
from typing import NamedTuple
from uuid import UUID

import psycopg
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from learning_machine.lock import Lock
from learning_machine.numbering import numbering_for
from learning_machine.streams import Streams
from learning_schemas.errors import InvalidEvent, NotAccepted
from learning_schemas.event import ConversationCompleted, check_size
from learning_schemas.results import Receipt, Via
from learning_schemas.scope import shard_of, stream_name, subject_of
from learning_schemas.spec import DEFAULT_SPEC, MachineSpec
from learning_stores.database import Database
from learning_stores.event_log import Incoming, Interference, Verdict, accept_directly
from learning_stores.specs import SpecCache

logger = logging.getLogger("learning_machine")

LOG_EVERY = 60.0
_FAILURES = (SQLAlchemyError, psycopg.Error, OSError, Interference)


class _Entry(NamedTuple):
    """An event on its way, with the spec that it names."""

    event: ConversationCompleted
    producer: UUID
    seq: int
    stream: str
    body: bytes
    spec: MachineSpec

    def numbered(self) -> ConversationCompleted:
        """The event as its body says it."""
        return self.event.model_copy(update={"producer": self.producer, "seq": self.seq})


class Emitter:
    """The way of a machine's events into the system."""

    def __init__(
        self, redis_url: str, database: Database, spec: MachineSpec, *, shards: int, max_event_bytes: int
    ) -> None:
        self._streams = Streams(redis_url)
        self.numbering = numbering_for(redis_url)
        self._database = database
        self.spec_hash = spec.spec_hash()
        self._by_hash = {None: DEFAULT_SPEC, DEFAULT_SPEC.spec_hash(): DEFAULT_SPEC, self.spec_hash: spec}
        self._spec_json = {hash_: each.to_json() for hash_, each in self._by_hash.items()}
        self._known: set[tuple[str, str | None]] = set()  # (tenant, spec hash) that intake has registered
        self._specs = SpecCache()
        self._shards = shards
        self._max_event_bytes = max_event_bytes
        self.accepted: Counter[Via] = Counter()
        self._counting = Lock()
        self._logged: dict[Via, float] = {}

    def emit(self, event: ConversationCompleted, redactions: dict[str, int]) -> Receipt:
        """Send an event. Raises `InvalidEvent` where it cannot be sent, `NotAccepted` where no place takes it."""
        entry = self._entry(event)
        try:
            if event.spec is None or (event.tenant, event.spec) in self._known:
                self._streams.append(entry.stream, entry.body)
            else:
                self._learn(event, self._streams.append_with_spec(*self._with_spec(entry)))
        except (RedisError, OSError) as error:
            return self._fall_back(entry, redactions, error)
        return self._receipt(entry, "stream", redactions)

    async def aemit(self, event: ConversationCompleted, redactions: dict[str, int]) -> Receipt:
        """The same from asyncio."""
        entry = self._entry(event)
        try:
            if event.spec is None or (event.tenant, event.spec) in self._known:
                await self._streams.aappend(entry.stream, entry.body)
            else:
                self._learn(event, await self._streams.aappend_with_spec(*self._with_spec(entry)))
        except (RedisError, OSError) as error:
            return await self._afall_back(entry, redactions, error)
        return self._receipt(entry, "stream", redactions)

    def _entry(self, event: ConversationCompleted) -> _Entry:
        """The event numbered and in its wire form. One that is refused takes no number; one sent again keeps its own."""
        spec = self._by_hash.get(event.spec)
        if spec is None:
            # Its deliveries would wait for a spec that nobody sends.
            raise InvalidEvent(
                "spec",
                "is of a machine that is configured otherwise",
                "Send the event by a machine like the one before",
            )
        if event.user_id is None and event.session_id is None:
            raise InvalidEvent("user_id", "neither it nor session_id is given", "Say whom the event is about")
        body = event.to_json()
        check_size(body, self._max_event_bytes)
        if event.seq is None or event.producer is None:
            producer, seq = self.numbering.take()
            # Spliced in, since writing the whole event a second time would cost as much as the first.
            body = b'%s,"producer":"%s","seq":%d}' % (body[:-1], str(producer).encode(), seq)
        else:
            producer, seq = event.producer, event.seq
        shard = shard_of(event.tenant, subject_of(event.user_id, event.session_id), self._shards)
        return _Entry(event, producer, seq, stream_name(shard), body, spec)

    def _with_spec(self, entry: _Entry) -> tuple[str, bytes, bytes, str]:
        """Until intake is known to have the spec, it rides along."""
        event = entry.event
        return entry.stream, entry.body, self._spec_json[event.spec], f"{event.tenant}/{event.spec}"

    def _learn(self, event: ConversationCompleted, registered: bool) -> None:
        if registered:
            self._known.add((event.tenant, event.spec))

    def _fall_back(self, entry: _Entry, redactions: dict[str, int], cause: Exception) -> Receipt:
        try:
            try:
                verdict = self._database.run(entry.event.tenant, accept_directly, *self._direct(entry))
            except Interference:  # the same event, from elsewhere, at the same time
                verdict = self._database.run(entry.event.tenant, accept_directly, *self._direct(entry))
        except _FAILURES as error:
            raise self._not_accepted(entry, cause, told(error)) from error
        return self._fallen_back(entry, redactions, verdict, cause)

    async def _afall_back(self, entry: _Entry, redactions: dict[str, int], cause: Exception) -> Receipt:
        try:
            try:
                verdict = await self._database.arun(entry.event.tenant, accept_directly, *self._direct(entry))
            except Interference:
                verdict = await self._database.arun(entry.event.tenant, accept_directly, *self._direct(entry))
        except _FAILURES as error:
            raise self._not_accepted(entry, cause, told(error)) from error
        return self._fallen_back(entry, redactions, verdict, cause)

    def _direct(self, entry: _Entry) -> tuple[Incoming, MachineSpec, SpecCache, int]:
        incoming = Incoming(event=entry.numbered(), via="postgres", body_bytes=len(entry.body))
        return incoming, entry.spec, self._specs, self._shards

    def _fallen_back(self, entry: _Entry, redactions: dict[str, int], verdict: Verdict, cause: Exception) -> Receipt:
        if verdict in ("id_reused", "closed"):
            refused = "the id was used for another event" if verdict == "id_reused" else "the subject is closed"
            raise self._not_accepted(entry, cause, refused)
        receipt = self._receipt(entry, "postgres", redactions)
        self._log_fallback("postgres", cause)
        return receipt

    def _not_accepted(self, entry: _Entry, cause: Exception, postgres: str) -> NotAccepted:
        return NotAccepted(entry.numbered(), {"redis": told(cause), "postgres": postgres})

    def _receipt(self, entry: _Entry, via: Via, redactions: dict[str, int]) -> Receipt:
        with self._counting.mutex:
            self.accepted[via] += 1
        event = entry.event
        return Receipt(
            event_id=event.id,
            tenant=event.tenant,
            user_id=event.user_id,
            session_id=event.session_id,
            via=via,
            producer=entry.producer,
            seq=entry.seq,
            redactions=redactions,
        )

    def _log_fallback(self, via: Via, cause: Exception) -> None:
        """Once a minute: anything but the stream is worth knowing, and a storm of it is not."""
        now = time.monotonic()
        if now - self._logged.get(via, -LOG_EVERY) >= LOG_EVERY:
            self._logged[via] = now
            logger.warning(
                "events are accepted by %s, because Redis does not take them (%s); %d so far",
                via,
                told(cause),
                self.accepted[via],
            )

    def close(self) -> None:
        """Give back this process's connections."""
        self._streams.close()

    async def aclose(self) -> None:
        """Give back the running event loop's connections."""
        await self._streams.aclose()


def told(error: BaseException) -> str:
    """What failed, in one line."""
    original = getattr(error, "orig", None) or error
    lines = str(original).splitlines()
    return f"{type(original).__name__}: {lines[0] if lines else 'no detail'}"[:200]
