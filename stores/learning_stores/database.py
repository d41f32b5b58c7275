"""Connections to Postgres: one transaction a unit of work, one tenant a transaction, no wait without an end.

Data access is written once, as functions on a SQLAlchemy `Session`. `Database.run` calls one in a transaction;
`Database.arun` does the same from asyncio (through `AsyncSession.run_sync`). Engines are built on first use, after a fork
again, and for asyncio once for each event loop.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.waiting import wait_async
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from learning_schemas.errors import ConfigurationError
from learning_stores.pooler import astop_preparing_if_pooled, stop_preparing_if_pooled
from learning_stores.tally import Tally, take_tally

P = ParamSpec("P")
T = TypeVar("T")

TRANSACTION_SECONDS = 30.0
"""No transaction of ours lasts longer: the server ends statements and idle transactions that do."""
_GRACE = 5.0  # how much longer the client waits for a server that should have answered by then
CONNECT_SECONDS = 5
PREPARED_AFTER = 1
"""Executions of a statement on a connection before it is prepared: what runs here runs again."""


class ServerSilent(psycopg.OperationalError):
    """The server did not answer in time: it is stopped, overloaded, or cut off."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that never waits without an end: not for a server that is stopped, nor for a cable that is cut."""

    wait_until: float | None = None
    answer_seconds: float = TRANSACTION_SECONDS + _GRACE

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Run a protocol exchange; past the time the connection is closed and OperationalError raised."""
        try:
            return super().wait(gen, interval, _bounded(timeout, self.wait_until, self.answer_seconds))
        except psycopg.errors._WaitTimeout:
            self.close()
            raise ServerSilent("the server did not answer in time") from None


class BoundedAsyncConnection(psycopg.AsyncConnection[Any]):
    """The same for asyncio. A task that is cancelled while it waits does not wait on for the server to agree."""

    wait_until: float | None = None
    answer_seconds: float = TRANSACTION_SECONDS + _GRACE

    async def wait(
        self,
        gen: PQGen[T],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - the parameter is psycopg's
    ) -> T:
        """Run a protocol exchange; past the time, or cancelled, the connection is closed. Raises `ServerSilent`."""
        bounded = _bounded(timeout, self.wait_until, self.answer_seconds)
        try:
            # Not psycopg's own wait: cancelled, it asks the server to cancel and waits ten seconds for a stopped one.
            return await wait_async(gen, self.pgconn.socket, interval=interval, timeout=bounded)
        except psycopg.errors._WaitTimeout:
            await self.close()
            raise ServerSilent("the server did not answer in time") from None
        except asyncio.CancelledError:
            await self.close()
            raise


def _bounded(timeout: float | None, wait_until: float | None, answer_seconds: float) -> float:
    ours = answer_seconds if wait_until is None else max(0.001, wait_until - time.monotonic())
    return ours if timeout is None else min(timeout, ours)


def driver_url(url: str, field: str = "database_url") -> URL:
    """The URL for SQLAlchemy with psycopg. Raises `ConfigurationError` for what is no Postgres URL."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        raise ConfigurationError(
            field, "is not a URL", "Write it as postgresql://user:password@host:5432/name"
        ) from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ConfigurationError(
            field,
            f"names {parsed.drivername!r}",
            "Only Postgres is supported: postgresql://user:password@host:5432/name",
        )
    return parsed.set(drivername="postgresql+psycopg")


class Database:
    """One role's way into one database. Connects on first use; safe in threads, after a fork, and in many event loops."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 5,
        field: str = "database_url",
        connect_seconds: int = CONNECT_SECONDS,
        answer_seconds: float = TRANSACTION_SECONDS + _GRACE,
        on_commit: Callable[[Tally | None], None] | None = None,
    ) -> None:
        """`on_commit` hears, in the thread that committed, what each transaction counted; it must not raise."""
        self.url = driver_url(url, field)
        # From its parts, because SQLAlchemy writes a space in a password as a space, which libpq takes in no URL.
        options = {name: value if isinstance(value, str) else ",".join(value) for name, value in self.url.query.items()}
        parts = self.url.translate_connect_args(username="user", database="dbname")
        ours = {"connect_timeout": connect_seconds, "application_name": "learning-machine"}
        try:
            self.conninfo = make_conninfo(**{**parts, **options, **ours})
        except psycopg.ProgrammingError:  # its text may show the password
            raise ConfigurationError(
                field, "has an option that Postgres does not know", "Check what follows the `?`"
            ) from None
        self._on_commit = on_commit
        self._pool_size = pool_size
        self._answer_seconds = answer_seconds
        self._engine: Engine | None = None
        self._engines: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncEngine] = WeakKeyDictionary()
        self._pid = os.getpid()

    @property
    def engine(self) -> Engine:
        """This process's engine."""
        self._forget_parent()
        if self._engine is None:
            self._engine = create_engine(self.url, creator=self._connect, **self._options())
        return self._engine

    @property
    def async_engine(self) -> AsyncEngine:
        """The running event loop's engine."""
        self._forget_parent()
        loop = asyncio.get_running_loop()
        if (engine := self._engines.get(loop)) is None:
            engine = self._engines[loop] = create_async_engine(
                self.url, async_creator=self._aconnect, **self._options()
            )
        return engine

    def _options(self) -> dict[str, Any]:
        return {
            "pool_size": self._pool_size,
            "max_overflow": self._pool_size,
            "pool_timeout": 5,
            "pool_use_lifo": True,  # few connections with warm plans serve better than all of them in turn
            "hide_parameters": True,  # what was said never reaches an error's text, and with it a log
            "use_native_hstore": False,  # no column of ours is one; else each engine's first connection looks for the type
            "isolation_level": "READ COMMITTED",  # each statement sees what was committed before it, whatever the server's default
        }

    def _connect(self) -> BoundedConnection:
        connection = BoundedConnection.connect(self.conninfo)
        connection.answer_seconds = self._answer_seconds
        connection.prepare_threshold = PREPARED_AFTER
        stop_preparing_if_pooled(connection)
        return connection

    async def _aconnect(self) -> BoundedAsyncConnection:
        connection = await BoundedAsyncConnection.connect(self.conninfo)
        connection.answer_seconds = self._answer_seconds
        connection.prepare_threshold = PREPARED_AFTER
        await astop_preparing_if_pooled(connection)
        return connection

    def _forget_parent(self) -> None:
        """In the child of a fork: leave the parent's connections to the parent."""
        if self._pid != os.getpid():
            if self._engine is not None:
                self._engine.dispose(close=False)
            self._engine, self._engines, self._pid = None, WeakKeyDictionary(), os.getpid()

    @contextmanager
    def transaction(self, tenant: str | None = None) -> Iterator[Session]:
        """One transaction, as one tenant where one is given; committed at the end, rolled back on an error."""
        with Session(self.engine, expire_on_commit=False) as session:  # rolls back when it is left before the commit
            _begin(session, tenant)
            yield session
            session.commit()
            if self._on_commit is not None:
                self._on_commit(take_tally(session))

    @contextmanager
    def snapshot(self, tenant: str | None = None) -> Iterator[Session]:
        """One transaction that only reads, and all of whose statements see the same moment."""
        engine = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with Session(engine, expire_on_commit=False) as session:
            _begin(session, tenant)
            yield session

    @asynccontextmanager
    async def atransaction(self, tenant: str | None = None) -> AsyncIterator[AsyncSession]:
        """The same from asyncio."""
        async with AsyncSession(self.async_engine, expire_on_commit=False) as session:
            await session.run_sync(_begin, tenant)
            yield session
            await session.commit()

    def run(
        self, tenant: str | None, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What `work(session, …)` returns, in a transaction of its own."""
        with self.transaction(tenant) as session:
            return work(session, *args, **kwargs)

    async def arun(
        self, tenant: str | None, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same from asyncio."""
        async with self.atransaction(tenant) as session:
            return await session.run_sync(work, *args, **kwargs)

    def close(self) -> None:
        """Give back this process's connections. The database can be used again afterwards; it then connects anew.

        A connection that another thread has in a transaction is closed when that is over.
        """
        if self._engine is not None and self._pid == os.getpid():
            event.listen(self._engine.pool, "checkin", _close)
            self._engine.dispose()
        self._engine = None

    async def aclose(self) -> None:
        """Give back the running event loop's connections."""
        if (engine := self._engines.pop(asyncio.get_running_loop(), None)) is not None:
            await engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _close(connection: DBAPIConnection | None, _: object) -> None:
    if connection is not None:  # it may have been given up before
        connection.close()


# Sets what this transaction is bounded by, and whose it is, in one round trip; one column, and no statement of SQLAlchemy's, since
# every transaction pays for it.
_BEGIN = (
    "SELECT set_config('learning.tenant', %(tenant)s, true) || set_config('statement_timeout', %(ms)s, true) || "
    "set_config('idle_in_transaction_session_timeout', %(ms)s, true) || set_config('lock_timeout', '10s', true)"
)


def _begin(session: Session, tenant: str | None) -> None:
    """The transaction's first statement. Where a pooled connection had died, as after a restart, it is said on a new one."""
    values = {"tenant": tenant or "", "ms": str(int(TRANSACTION_SECONDS * 1000))}
    try:
        session.connection().exec_driver_sql(_BEGIN, values)
    except DBAPIError as error:
        if not error.connection_invalidated or isinstance(error.orig, ServerSilent):
            raise
        session.rollback()
        session.connection().exec_driver_sql(_BEGIN, values)
