"""Emitting: one Redis round trip for a turn, and another place where Redis does not take it.

An event is accepted once it is in its stream, or, where Redis is down, full, read-only or silent, in the Postgres event log,
or, where that is away too, on the disk of a spool directory. Which it was is in the receipt. All of it together takes no
longer than one budget of time, and a server that fails is left alone for a while.

What is said after an event that lies in the spool goes there too, as long as both are about the same subject: else it would
overtake it. Where the spool does not take it, it is better accepted out of order than not at all.
"""

import logging
import time
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from learning_machine.accepted_counts import AcceptedCounts
from learning_machine.breaker import breaker_for
from learning_machine.deadline import awithin
from learning_machine.failure import told as told  # where others look for it
from learning_machine.fallback import Entry, Fallback
from learning_machine.numbering import numbering_for
from learning_machine.streams import SOCKET_SECONDS, NoConnectionFree, Streams
from learning_schemas.closing import ProducerClosed
from learning_schemas.errors import InvalidEvent
from learning_schemas.event import ConversationCompleted, check_size
from learning_schemas.results import Receipt, Via
from learning_schemas.scope import shard_of, stream_name, subject_of
from learning_schemas.spec import DEFAULT_SPEC, MachineSpec
from learning_stores.database import Database

if TYPE_CHECKING:
    from learning_machine.spool import Spool
    from learning_machine.spool_drainer import Drainer

logger = logging.getLogger("learning_machine")

REDIS_SHARE = 0.5
"""Of the budget, or of what is left of it, at most, and of `SOCKET_SECONDS`."""
BEHIND_SHARE = 0.5
"""Of the budget, for the spool where an event has to come behind others there: its disk may be slow, and is the right place."""


@dataclass(frozen=True, kw_only=True)
class EmitLimits:
    """Shards, bytes of an event, seconds that emit may take in all, and the spool: its directory and how much it may hold."""

    shards: int
    max_event_bytes: int
    seconds: float
    spool_dir: Path | None = None
    spool_bytes: int = 0


class Emitter:
    """The way of a machine's events into the system."""

    def __init__(self, redis_url: str, database: Database, spec: MachineSpec, limits: EmitLimits) -> None:
        self._streams = Streams(redis_url)
        self._breaker = breaker_for(redis_url)
        self.numbering = numbering_for(redis_url)
        self.spec_hash = spec.spec_hash()
        self._by_hash = {None: DEFAULT_SPEC, DEFAULT_SPEC.spec_hash(): DEFAULT_SPEC, self.spec_hash: spec}
        self._spec_json = {hash_: each.to_json() for hash_, each in self._by_hash.items()}
        self._known: set[tuple[str, str | None]] = set()  # (tenant, spec hash) that intake has registered
        self._limits = limits
        self._seconds = limits.seconds
        self._redis_seconds = min(SOCKET_SECONDS, limits.seconds * REDIS_SHARE)
        self._spool: Spool | None = None
        self._drainer: Drainer | None = None
        self._fallback = self._fallbacks(redis_url, database)
        self.counts = AcceptedCounts()

    def for_spec(self, spec: MachineSpec) -> "Emitter":
        """The same way, with its connections and numbers, for the events of another spec."""
        view = copy(self)
        view.spec_hash = spec.spec_hash()
        if view.spec_hash not in self._by_hash:
            self._spec_json[view.spec_hash] = spec.to_json()
            self._by_hash[view.spec_hash] = spec
        return view

    def _fallbacks(self, redis_url: str, database: Database) -> Fallback:
        limits = self._limits
        if limits.spool_dir is None:
            return Fallback(database, shards=limits.shards, seconds=limits.seconds)
        from learning_machine.spool import destination_name, spool_for
        from learning_machine.spool_drainer import Drainer
        from learning_machine.spool_taker import Taker

        self._spool = spool = spool_for(limits.spool_dir, destination_name(database.url))
        url = database.url.render_as_string(hide_password=False)
        self._drainer = Drainer(spool, lambda: Taker(url, redis_url, limits.shards))
        return Fallback(
            database, shards=limits.shards, seconds=limits.seconds, spool=spool, spool_bytes=limits.spool_bytes
        )

    def emit(self, event: ConversationCompleted, redactions: dict[str, int]) -> Receipt:
        """Send an event. Raises `InvalidEvent` where it cannot be sent, `NotAccepted` where no place takes it."""
        entry = self._entry(event)
        began = now = time.monotonic()
        until = began + self._redis_seconds
        causes: dict[str, str] = {}
        if self._spool is not None and self._spool.held and self._spool.holds(entry.whose):
            if self._fallback.spooled(entry, began + self._seconds * BEHIND_SHARE, causes):
                return self._receipt(entry, "spool", redactions, causes)
            now = time.monotonic()
            until = self._until(began, now)
        if not self._breaker.is_open or self._may_probe(now):
            try:
                if event.spec is None or (event.tenant, event.spec) in self._known:
                    self._streams.append(entry.stream, entry.body, until)
                else:
                    registered = self._streams.append_with_spec(*self._with_spec(entry), until)
                    self._learn(event, registered)
            except (RedisError, OSError) as error:
                cause = self._failed(now, error)
            else:
                self._breaker.succeeded(time.monotonic())
                return self._receipt(entry, "stream", redactions, causes)
        else:
            cause = self._breaker.why(now)
        causes["redis"] = cause
        return self._receipt(entry, self._fallback.accept(entry, began + self._seconds, causes), redactions, causes)

    async def aemit(self, event: ConversationCompleted, redactions: dict[str, int]) -> Receipt:
        """The same from asyncio."""
        entry = self._entry(event)
        began = now = time.monotonic()
        until = began + self._redis_seconds
        causes: dict[str, str] = {}
        if self._spool is not None and self._spool.held and self._spool.holds(entry.whose):
            if await self._fallback.aspooled(entry, began + self._seconds * BEHIND_SHARE, causes):
                return self._receipt(entry, "spool", redactions, causes)
            now = time.monotonic()
            until = self._until(began, now)
        if not self._breaker.is_open or self._may_probe(now):
            try:
                if event.spec is None or (event.tenant, event.spec) in self._known:
                    await self._streams.aappend(entry.stream, entry.body, until)
                else:
                    asked = self._streams.aappend_with_spec(*self._with_spec(entry), until)
                    self._learn(event, await asked)
            except (RedisError, OSError) as error:
                cause = self._failed(now, error)
            else:
                self._breaker.succeeded(time.monotonic())
                return self._receipt(entry, "stream", redactions, causes)
        else:
            cause = self._breaker.why(now)
        causes["redis"] = cause
        via = await self._fallback.aaccept(entry, began + self._seconds, causes)
        return self._receipt(entry, via, redactions, causes)

    def _entry(self, event: ConversationCompleted) -> Entry:
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
        check_size(body, self._limits.max_event_bytes)
        if event.seq is None or event.producer is None:
            producer, seq = self.numbering.take()
            # Spliced in, since writing the whole event a second time would cost as much as the first.
            body = b'%s,"producer":"%s","seq":%d}' % (body[:-1], str(producer).encode(), seq)
        else:
            producer, seq = event.producer, event.seq
        shard = shard_of(event.tenant, subject_of(event.user_id, event.session_id), self._limits.shards)
        return Entry(event, producer, seq, stream_name(shard), body, spec)

    def _with_spec(self, entry: Entry) -> tuple[str, bytes, bytes, str]:
        """Until intake is known to have the spec, it rides along."""
        event = entry.event
        return entry.stream, entry.body, self._spec_json[event.spec], f"{event.tenant}/{event.spec}"

    def _learn(self, event: ConversationCompleted, registered: bool) -> None:
        if registered:
            self._known.add((event.tenant, event.spec))

    def _may_probe(self, now: float) -> bool:
        return self._breaker.allows(now, self._redis_seconds, urgent=self._fallback.is_away)

    def _failed(self, began: float, error: Exception) -> str:
        cause = "TimeoutError: no answer in time" if type(error) is TimeoutError else told(error)
        if not isinstance(error, NoConnectionFree):
            self._breaker.failed(began, time.monotonic(), cause)
        return cause

    def _until(self, began: float, now: float) -> float:
        """Until when Redis may take, where the spool was asked before and did not take the event."""
        return now + min(self._redis_seconds, (began + self._seconds - now) * REDIS_SHARE)

    def _receipt(self, entry: Entry, via: Via, redactions: dict[str, int], causes: Mapping[str, str]) -> Receipt:
        self.counts.add(via, causes)
        if self._drainer is not None and (via == "spool" or self._drainer.due):
            self._drainer.wake(spooled=via == "spool")
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

    def close(self) -> None:
        """Say the last number, drain the spool as far as that is quick, and give back this process's connections."""
        began = time.monotonic()
        closed = self.numbering.unreported()
        if closed is not None:
            self._report(closed, began)
        self._streams.close()
        if self._drainer is not None:
            self._drainer.close(self._seconds)

    async def report(self) -> None:
        """Say the last number, from asyncio."""
        began = time.monotonic()
        closed = self.numbering.unreported()
        if closed is None:
            return
        cause = self._breaker.why(began)
        if self._breaker.allows(began, self._redis_seconds):
            try:
                await self._streams.asay_closed(closed, began + self._redis_seconds)
            except (RedisError, OSError) as error:
                cause = self._failed(began, error)
            else:
                self.numbering.was_reported(closed)
                return
        self._reported(closed, cause, await self._fallback.areport(closed, began + self._seconds))

    async def drain(self) -> None:
        """Drain the spool as far as that is quick, from asyncio."""
        if (drainer := self._drainer) is not None:
            try:
                await awithin(3 * self._seconds, lambda: drainer.close(self._seconds))
            except TimeoutError:
                logger.warning("the spool could not be closed in time; `learning-machine spool drain` takes it up")

    def _report(self, closed: ProducerClosed, began: float) -> None:
        """Say the last number to Redis, else to Postgres."""
        cause = self._breaker.why(began)
        if self._breaker.allows(began, self._redis_seconds):
            try:
                self._streams.say_closed(closed, began + self._redis_seconds)
            except (RedisError, OSError) as error:
                cause = self._failed(began, error)
            else:
                self.numbering.was_reported(closed)
                return
        self._reported(closed, cause, self._fallback.report(closed, began + self._seconds))

    def _reported(self, closed: ProducerClosed, redis: str, postgres: str | None) -> None:
        if postgres is None:
            self.numbering.was_reported(closed)
            return
        causes = f"redis: {redis}; postgres: {postgres}"
        logger.warning("producer %s could not report its last number, %d (%s)", closed.producer, closed.last, causes)

    async def aclose(self) -> None:
        """Give back the running event loop's connections."""
        await self._streams.aclose()
