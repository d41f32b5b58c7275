"""Appending to the Redis streams: one round trip, with no more around it than a command packed here and an answer read.

redis-py makes the connections, speaks the protocol and bounds each wait. Its client and pool are passed by on the
synchronous way, because they take as long again as the round trip itself (docs/benchmarks.md); what they would check is
checked here: that an idle connection is still alive, and belongs to this process.

Every attempt has a time (of `time.monotonic`) until which it may take, whatever it waits for.
"""

import asyncio
import os
import time
from collections import deque
from typing import Any, cast
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from redis.asyncio.connection import parse_url as parse_async_url
from redis.backoff import NoBackoff
from redis.connection import ConnectionInterface, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from learning_machine.deadline import within
from learning_schemas.closing import ProducerClosed
from learning_schemas.errors import ConfigurationError
from learning_schemas.scope import KNOWN_SPECS, stream_name

SOCKET_SECONDS = 0.5
IDLE_CONNECTIONS = 64
TRUSTED_SECONDS = 0.1
"""A connection that was idle for less is used without a look whether it is still alive; if not, the event falls back."""
ASYNC_CONNECTIONS = 64
"""Connections of one event loop; further emits wait for one, half a second at most."""


class NoConnectionFree(RedisConnectionError):
    """Too many entries are on their way at once; of the server it says nothing."""


class Streams:
    """The way to the streams of one Redis. Connects on first use; safe in threads, after a fork, and in many event loops.

    Every method that sends raises `RedisError` or `OSError` where the server did not take the entry, or did not say so.
    """

    def __init__(self, url: str) -> None:
        bounds = {"socket_timeout": SOCKET_SECONDS, "socket_connect_timeout": SOCKET_SECONDS}
        try:
            self._options: dict[str, Any] = {"protocol": 2, **cast("Any", parse_url)(url), **bounds}
            self._async_options: dict[str, Any] = {"protocol": 2, **parse_async_url(url), **bounds}
            for options in (self._options, self._async_options):
                options.pop("max_connections", None)
            self._kind = self._options.pop("connection_class", redis.Connection)
            self._pid = os.getpid()
            self._idle: deque[tuple[ConnectionInterface, float]] = deque()  # with the time since when
            self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.BlockingConnectionPool]
            self._pools = WeakKeyDictionary()
            self._connection()
        except (RedisError, ValueError, TypeError, AttributeError):
            raise ConfigurationError(
                "redis_url", "is not the URL of a Redis server", "Write it as redis://:password@host:6379/0"
            ) from None

    def append(self, stream: str, body: bytes, until: float) -> None:
        """Append an event to a stream."""
        self._ask(packed(b"XADD", stream.encode(), b"*", b"event", body), 1, until)

    def append_with_spec(self, stream: str, body: bytes, spec: bytes, member: str, until: float) -> bool:
        """Append an event and its machine's spec; whether intake has that spec already (`member` of the set of specs)."""
        return bool(self._ask(_with_spec(stream, body, spec, member), 2, until)[0])

    async def aappend(self, stream: str, body: bytes, until: float) -> None:
        """`append` for asyncio."""
        await self._aask(packed(b"XADD", stream.encode(), b"*", b"event", body), 1, until)

    async def aappend_with_spec(self, stream: str, body: bytes, spec: bytes, member: str, until: float) -> bool:
        """`append_with_spec` for asyncio."""
        return bool((await self._aask(_with_spec(stream, body, spec, member), 2, until))[0])

    def say_closed(self, closed: ProducerClosed, until: float) -> None:
        """Say that this producer gave no number after that."""
        self._ask(_closing(closed), 1, until)

    async def asay_closed(self, closed: ProducerClosed, until: float) -> None:
        """The same from asyncio."""
        await self._aask(_closing(closed), 1, until)

    def close(self) -> None:
        """Give back this process's idle connections."""
        if self._pid == os.getpid():
            while self._idle:
                cast("Any", self._idle.pop()[0]).disconnect()

    async def aclose(self) -> None:
        """Give back the running event loop's connections."""
        if (pool := self._pools.pop(asyncio.get_running_loop(), None)) is not None:
            await pool.disconnect()

    def _ask(self, commands: bytes, answers: int, until: float) -> list[Any]:
        connection: Any = self._taken(until)
        try:
            connection.send_packed_command([commands], check_health=False)
            found = [_read(connection, until) for _ in range(answers)]
        except BaseException:
            connection.disconnect()  # what it answers now would be taken for the answer to the next command
            raise
        if len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append((connection, time.monotonic()))
        else:
            connection.disconnect()
        return found

    def _taken(self, until: float) -> ConnectionInterface:
        """A connection that nobody else has, connected."""
        if self._pid != os.getpid():  # in the child of a fork: the parent's connections stay the parent's
            self._idle, self._pid = deque(), os.getpid()
        connection: Any
        now = time.monotonic()
        try:
            connection, since = self._idle.pop()
        except IndexError:
            connection = self._connection()
        else:
            if now - since < TRUSTED_SECONDS:
                return cast("ConnectionInterface", connection)
            try:
                alive = not connection.can_read()
            except (RedisError, OSError):
                alive = False
            if alive:
                return cast("ConnectionInterface", connection)
            connection.disconnect()  # the server closed it, or said something that nobody asked
        # Its time-outs are for each address and each answer of the greeting; none is for resolving the name.
        within(until - now, connection.connect)
        return cast("ConnectionInterface", connection)

    def _connection(self) -> ConnectionInterface:
        return cast("ConnectionInterface", self._kind(**self._options, retry=Retry(NoBackoff(), 0)))

    async def _aask(self, commands: bytes, answers: int, until: float) -> list[Any]:
        async with asyncio.timeout(until - time.monotonic()):
            pool = self._async_pool()
            try:
                connection: Any = await cast("Any", pool.get_connection)()
            except RedisConnectionError as error:
                if isinstance(error.__cause__, TimeoutError) and not pool.can_get_connection():
                    raise NoConnectionFree(f"{ASYNC_CONNECTIONS} entries are on their way") from error
                raise
            try:
                await connection.send_packed_command([commands], check_health=False)
                return [await _aread(connection) for _ in range(answers)]
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            finally:
                await pool.release(connection)

    def _async_pool(self) -> redis.asyncio.BlockingConnectionPool:
        loop = asyncio.get_running_loop()
        if self._pid != os.getpid():
            self._idle, self._pools, self._pid = deque(), WeakKeyDictionary(), os.getpid()
        if (pool := self._pools.get(loop)) is None:
            for ended in [known for known in self._pools if known.is_closed()]:
                self._pools.pop(ended, None)  # a pool refers to its loop: it would never go by itself
            pool = self._pools[loop] = redis.asyncio.BlockingConnectionPool(
                max_connections=ASYNC_CONNECTIONS,
                timeout=SOCKET_SECONDS,
                retry=redis.asyncio.retry.Retry(NoBackoff(), 0),
                **self._async_options,
            )
        return pool


def packed(*words: bytes) -> bytes:
    """A command in the Redis serialization protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/."""
    return b"*%d\r\n%b" % (len(words), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))


def _with_spec(stream: str, body: bytes, spec: bytes, member: str) -> bytes:
    known = packed(b"SISMEMBER", KNOWN_SPECS.encode(), member.encode())
    return known + packed(b"XADD", stream.encode(), b"*", b"event", body, b"spec", spec)


def _closing(closed: ProducerClosed) -> bytes:
    return packed(b"XADD", stream_name(0).encode(), b"*", b"closed", closed.to_json())


def _read(connection: Any, until: float) -> Any:
    """One answer; an error that it holds is raised."""
    try:
        return connection.read_response(timeout=max(0.001, until - time.monotonic()))
    except ValueError as error:  # not the protocol
        raise RedisConnectionError(f"the answer cannot be read ({type(error).__name__})") from error


async def _aread(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ValueError as error:
        raise RedisConnectionError(f"the answer cannot be read ({type(error).__name__})") from error
