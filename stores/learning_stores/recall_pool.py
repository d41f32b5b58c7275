"""Recall's own few connections, so that no turn of an agent waits behind other work, and no wait passes its deadline."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout
from psycopg_pool.pool_async import StopWorker

from learning_stores.database import BoundedAsyncConnection, BoundedConnection, Database

T = TypeVar("T")

logger = logging.getLogger("learning_machine")

_POOL = "learning-recall"


def _is_others(record: logging.LogRecord) -> bool:
    arguments = record.args if isinstance(record.args, tuple) else ()
    ours = any(isinstance(each, BoundedConnection | BoundedAsyncConnection) for each in arguments)
    return not ours and _POOL not in record.getMessage()


# What these connections meet is said once, in `degraded`; psycopg would write several lines of it to an agent's standard error.
logging.getLogger("psycopg.pool").addFilter(_is_others)


class NotConnected(PoolTimeout):
    """There is no connection, and the last try to make one failed: says how."""


class _Connection(BoundedConnection):
    """Tells what becomes of each try to connect: the pool tries in the background, and its callers only see that it takes long."""

    @classmethod
    def connect(  # type: ignore[override]  # the pool alone calls it, with what is given it below
        cls, conninfo: str = "", *, told: Callable[[psycopg.Error | None], None], **options: Any
    ) -> Self:
        """Connect, and call `told` with what came of it."""
        try:
            connection = super().connect(conninfo, **options)
        except psycopg.Error as error:
            told(error)
            raise
        told(None)
        return connection


class _AsyncConnection(BoundedAsyncConnection):
    """The same for asyncio."""

    @classmethod
    async def connect(  # type: ignore[override]  # as above
        cls, conninfo: str = "", *, told: Callable[[psycopg.Error | None], None], **options: Any
    ) -> Self:
        """Connect, and call `told` with what came of it."""
        try:
            connection = await super().connect(conninfo, **options)
        except psycopg.Error as error:
            told(error)
            raise
        told(None)
        return connection


class _AsyncPool(AsyncConnectionPool[BoundedAsyncConnection]):
    """psycopg's workers swallow a cancellation that comes while they connect, and `asyncio.run` would then never end."""

    @classmethod
    async def worker(cls, q: "asyncio.Queue[Any]") -> None:
        """Run what comes, until told to stop or cancelled."""
        task = asyncio.current_task()
        while not isinstance(work := await q.get(), StopWorker):
            try:
                await work.run()
            except asyncio.CancelledError:
                logger.debug("cancelled while connecting")
            except Exception as error:
                logger.debug("connecting failed: %s", type(error).__name__)
            if task is not None and task.cancelling():
                return

    async def close(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - as in psycopg's
        """Close every connection that is free, also where the loop ends and has cancelled what psycopg waits for here."""
        task = asyncio.current_task()
        cancelled = task.cancelling() if task is not None else 0
        free = list(self._pool)
        try:
            await super().close(timeout)
        except asyncio.CancelledError:
            for connection in free:
                await connection.close()
            if task is None or task.cancelling() > cancelled:
                raise


class RecallPool:
    """Connects on first use, in the background; safe in threads, after a fork, and in many event loops."""

    def __init__(self, database: Database, max_connections: int) -> None:
        self._conninfo = database.conninfo
        self._max = max_connections
        self._pool: ConnectionPool[BoundedConnection] | None = None
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncConnectionPool[BoundedAsyncConnection]]
        self._pools = WeakKeyDictionary()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._refused: str | None = None  # why the last try to connect failed

    def run(self, wait_until: float, work: Callable[[BoundedConnection], T]) -> T:
        """What `work` gives on a connection, by `wait_until` (monotonic) or not at all. Raises psycopg.Error, OSError.

        Done again where the connection had died in the pool: `work` is harmless when it is. Where none can be made, `NotConnected`
        says why.
        """
        try:
            return self._run(wait_until, work)
        except PoolTimeout:
            raise self._explained() from None

    def _run(self, wait_until: float, work: Callable[[BoundedConnection], T]) -> T:
        for again in range(self._max, -1, -1):  # as many as the pool may hold dead ones
            with self._sync_pool().connection(timeout=_left(wait_until)) as connection:
                try:
                    connection.wait_until = wait_until
                    found = work(connection)
                    connection.wait_until = None
                except psycopg.OperationalError:
                    if not again or not _is_stale(connection, wait_until):
                        raise
                else:
                    return found
        raise AssertionError("unreachable")

    async def arun(self, wait_until: float, work: Callable[[BoundedAsyncConnection], Awaitable[T]]) -> T:
        """The same from asyncio."""
        try:
            return await self._arun(wait_until, work)
        except PoolTimeout:
            raise self._explained() from None

    async def _arun(self, wait_until: float, work: Callable[[BoundedAsyncConnection], Awaitable[T]]) -> T:
        pool = await self._async_pool()
        for again in range(self._max, -1, -1):
            async with pool.connection(timeout=_left(wait_until)) as connection:
                try:
                    connection.wait_until = wait_until
                    found = await work(connection)
                    connection.wait_until = None
                except psycopg.OperationalError:
                    if not again or not _is_stale(connection, wait_until):
                        raise
                else:
                    return found
        raise AssertionError("unreachable")

    def _told(self, error: psycopg.Error | None) -> None:
        lines = str(error).splitlines() or ["no detail"]
        said = next(
            (line for line in lines if "FATAL" in line), lines[0]
        )  # of several addresses, the one that answered
        self._refused = None if error is None else said[:300]

    def _explained(self) -> PoolTimeout:
        return NotConnected(self._refused) if self._refused else PoolTimeout("no free connection")

    def close(self) -> None:
        """Give back this process's connections."""
        if self._pool is not None and self._pid == os.getpid():
            self._pool.close()
        self._pool = None

    async def aclose(self) -> None:
        """Give back the running event loop's connections."""
        if (pool := self._pools.pop(asyncio.get_running_loop(), None)) is not None:
            await pool.close()

    def _sync_pool(self) -> ConnectionPool[BoundedConnection]:
        self._forget_parent()
        with self._lock:
            if self._pool is None:
                self._pool = ConnectionPool(
                    self._conninfo, connection_class=_Connection, open=False, configure=_bound, **self._options()
                )
                self._pool.open(wait=False)
        return self._pool

    async def _async_pool(self) -> AsyncConnectionPool[BoundedAsyncConnection]:
        self._forget_parent()
        loop = asyncio.get_running_loop()
        if (pool := self._pools.get(loop)) is None:
            pool = self._pools[loop] = _AsyncPool(
                self._conninfo,
                connection_class=_AsyncConnection,
                open=False,
                configure=_abound,
                **self._options(),
            )
            await pool.open(wait=False)
        return pool

    def _options(self) -> dict[str, Any]:
        return {
            "min_size": 1,
            "max_size": self._max,
            # Not prepared by the driver: that costs a round trip of its own, and saves nothing, since the statement is one
            # call and the server keeps the plans inside the function by itself.
            "kwargs": {"autocommit": True, "prepare_threshold": None, "told": self._told},
            "name": _POOL,
            # A server that was away is tried again at the next recall, not when a long back-off is over.
            "reconnect_timeout": 1.0,
        }

    def _forget_parent(self) -> None:
        """In the child of a fork: leave the parent's connections, and its locks, to the parent."""
        if self._pid != os.getpid():
            self._lock = threading.Lock()  # first: a thread that sees the new process id takes it
            self._pool, self._pools, self._pid = None, WeakKeyDictionary(), os.getpid()


# When the caller has given up and closed its end, the server does not work on for long. Once a connection; behind a pooler,
# which gives us another server connection each time, it is a matter of the role (`ALTER ROLE … SET statement_timeout`): there
# the setting ends with this statement, so that it is left behind for nobody.
_BOUND = "SELECT set_config('statement_timeout', '10s', pg_backend_pid() <> %s)"


def _bound(connection: BoundedConnection) -> None:
    connection.execute(_BOUND, (connection.info.backend_pid,))


async def _abound(connection: BoundedAsyncConnection) -> None:
    await connection.execute(_BOUND, (connection.info.backend_pid,))


def _left(wait_until: float) -> float:
    return max(0.001, wait_until - time.monotonic())


def _is_stale(connection: BoundedConnection | BoundedAsyncConnection, wait_until: float) -> bool:
    """Whether a pooled connection had died, as after a restart of the server, and there is time for another."""
    return connection.broken and time.monotonic() < wait_until - 0.005
