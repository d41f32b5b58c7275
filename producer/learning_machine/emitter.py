"""Emitting: one Redis round trip for a turn, and another place where Redis does not take it.

An event is accepted once it is in its stream, or, where Redis is down, full, read-only or silent, in the Postgres event log.
Which it was is in the receipt. Redis-py does the waiting, sync or asyncio; what is sent is made here, once for both.
"""

import asyncio
import itertools
import logging
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4
from weakref import WeakKeyDictionary

import psycopg
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import RedisError
from redis.retry import Retry
from sqlalchemy.exc import SQLAlchemyError

from learning_schemas.errors import ConfigurationError, NotAccepted
from learning_schemas.event import ConversationCompleted, check_size
from learning_schemas.results import Receipt, Via
from learning_schemas.scope import shard_of, stream_name, subject_of
from learning_schemas.spec import MachineSpec
from learning_stores.database import Database
from learning_stores.event_log import Incoming, Verdict, accept_directly
from learning_stores.specs import SpecCache

logger = logging.getLogger("learning_machine")

SOCKET_SECONDS = 0.5
KNOWN_SPECS = "learning:specs"
"""The Redis set of `tenant/hash` that intake has registered."""
LOG_EVERY = 60.0


class Numbering:
    """This process's producer id and the number of its next event: without gaps, new after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._renew()

    def _renew(self) -> None:
        self._pid, self.producer, self._numbers = os.getpid(), uuid4(), itertools.count(1)

    def take(self) -> tuple[UUID, int]:
        """The producer id and a number that no other event of it has."""
        if self._pid != os.getpid():
            self._lock = threading.Lock()
        with self._lock:
            if self._pid != os.getpid():
                self._renew()
            return self.producer, next(self._numbers)


NUMBERING = Numbering()


@dataclass(frozen=True, slots=True)
class _Entry:
    """An event on its way."""

    event: ConversationCompleted
    producer: UUID
    seq: int
    stream: str
    body: bytes

    def numbered(self) -> ConversationCompleted:
        """The event as its body says it."""
        return self.event.model_copy(update={"producer": self.producer, "seq": self.seq})


class Emitter:
    """The way of a machine's events into the system."""

    def __init__(
        self, redis_url: str, database: Database, spec: MachineSpec, *, shards: int, max_event_bytes: int
    ) -> None:
        self._options = _redis_options(redis_url)
        self._client: redis.Redis | None = None
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = WeakKeyDictionary()
        self._database = database
        self._spec = spec
        self._spec_json = spec.to_json()
        self.spec_hash = spec.spec_hash()
        self._known: set[str] = set()  # tenants for which intake has registered the spec
        self._specs = SpecCache()
        self._shards = shards
        self._max_event_bytes = max_event_bytes
        self.accepted: Counter[Via] = Counter()
        self._logged: dict[Via, float] = {}

    def emit(self, event: ConversationCompleted, redactions: dict[str, int]) -> Receipt:
        """Send an event. Raises `InvalidEvent` where it is too large, `NotAccepted` where no place takes it."""
        entry = self._entry(event)
        client: Any = self._redis()
        try:
            if event.tenant in self._known:
                client.execute_command("XADD", entry.stream, "*", "event", entry.body)
            else:
                self._learn(event.tenant, self._first(client, entry).execute())
        except (RedisError, OSError) as error:
            return self._fall_back(entry, redactions, error)
        return self._receipt(entry, "stream", redactions)

    async def aemit(self, event: ConversationCompleted, redactions: dict[str, int]) -> Receipt:
        """The same from asyncio."""
        entry = self._entry(event)
        client: Any = self._async_redis()
        try:
            if event.tenant in self._known:
                await client.execute_command("XADD", entry.stream, "*", "event", entry.body)
            else:
                self._learn(event.tenant, await self._first(client, entry).execute())
        except (RedisError, OSError) as error:
            return await self._afall_back(entry, redactions, error)
        return self._receipt(entry, "stream", redactions)

    def _entry(self, event: ConversationCompleted) -> _Entry:
        """The event numbered and in its wire form. One that is too large takes no number; one sent again keeps its own."""
        body = event.to_json()
        check_size(body, self._max_event_bytes)
        if event.seq is None or event.producer is None:
            producer, seq = NUMBERING.take()
            # Spliced in, since writing the whole event a second time would cost as much as the first.
            body = b'%s,"producer":"%s","seq":%d}' % (body[:-1], str(producer).encode(), seq)
        else:
            producer, seq = event.producer, event.seq
        shard = shard_of(event.tenant, subject_of(event.user_id, event.session_id), self._shards)
        return _Entry(event, producer, seq, stream_name(shard), body)

    def _first(self, client: Any, entry: _Entry) -> Any:
        """Until intake is known to have the spec, it rides along."""
        pipeline = client.pipeline(transaction=False)
        pipeline.sismember(KNOWN_SPECS, f"{entry.event.tenant}/{self.spec_hash}")
        pipeline.execute_command("XADD", entry.stream, "*", "event", entry.body, "spec", self._spec_json)
        return pipeline

    def _learn(self, tenant: str, answers: list[Any]) -> None:
        if answers[0]:
            self._known.add(tenant)

    def _fall_back(self, entry: _Entry, redactions: dict[str, int], cause: Exception) -> Receipt:
        event = entry.numbered()
        try:
            verdict = self._database.run(event.tenant, accept_directly, *self._direct(event))
        except (SQLAlchemyError, psycopg.Error, OSError) as error:
            raise NotAccepted(event, {"redis": _told(cause), "postgres": _told(error)}) from error
        return self._fallen_back(entry, redactions, verdict, cause)

    async def _afall_back(self, entry: _Entry, redactions: dict[str, int], cause: Exception) -> Receipt:
        event = entry.numbered()
        try:
            verdict = await self._database.arun(event.tenant, accept_directly, *self._direct(event))
        except (SQLAlchemyError, psycopg.Error, OSError) as error:
            raise NotAccepted(event, {"redis": _told(cause), "postgres": _told(error)}) from error
        return self._fallen_back(entry, redactions, verdict, cause)

    def _direct(self, event: ConversationCompleted) -> tuple[Incoming, MachineSpec, SpecCache, int]:
        incoming = Incoming(event=event, via="postgres", body_bytes=len(event.to_json()))
        return incoming, self._spec, self._specs, self._shards

    def _fallen_back(self, entry: _Entry, redactions: dict[str, int], verdict: Verdict, cause: Exception) -> Receipt:
        if verdict in ("id_reused", "closed"):
            told = "the id was used for another event" if verdict == "id_reused" else "the subject is closed"
            raise NotAccepted(entry.numbered(), {"redis": _told(cause), "postgres": told})
        self._log_fallback("postgres", cause)
        return self._receipt(entry, "postgres", redactions)

    def _receipt(self, entry: _Entry, via: Via, redactions: dict[str, int]) -> Receipt:
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
                _told(cause),
                self.accepted[via] + 1,
            )

    def _redis(self) -> redis.Redis:
        if self._client is None:
            self._client = redis.Redis(
                connection_pool=redis.ConnectionPool(**self._options, retry=Retry(NoBackoff(), 0))
            )
        return self._client

    def _async_redis(self) -> redis.asyncio.Redis:
        loop = asyncio.get_running_loop()
        if (client := self._clients.get(loop)) is None:
            pool = redis.asyncio.ConnectionPool(**self._options, retry=redis.asyncio.retry.Retry(NoBackoff(), 0))
            client = self._clients[loop] = redis.asyncio.Redis(connection_pool=pool)
        return client

    def close(self) -> None:
        """Give back this process's connections."""
        if self._client is not None:
            self._client.close()
            self._client.connection_pool.disconnect()
            self._client = None

    async def aclose(self) -> None:
        """Give back the running event loop's connections."""
        if (client := self._clients.pop(asyncio.get_running_loop(), None)) is not None:
            await client.aclose()
            await client.connection_pool.disconnect()


def _told(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    lines = str(original).splitlines()
    return f"{type(original).__name__}: {lines[0] if lines else 'no detail'}"[:200]


def _redis_options(url: str) -> dict[str, Any]:
    try:
        options: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
    except ValueError as error:
        raise ConfigurationError(
            "redis_url", str(error).rstrip("."), "Write it as redis://:password@host:6379/0"
        ) from None
    return {"host": "localhost", **options, "socket_timeout": SOCKET_SECONDS, "socket_connect_timeout": SOCKET_SECONDS}
