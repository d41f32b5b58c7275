"""Recall: what an agent's turn needs from memory, in one round trip and within its deadline."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout
from psycopg_pool.pool_async import StopWorker
from pydantic_core import from_json

from learning_schemas.results import Recall, RecalledLearning, UnprocessedMessage
from learning_schemas.scope import session_scope, subject_of, user_scope
from learning_stores.database import BoundedAsyncConnection, BoundedConnection, Database
from learning_stores.ranking import DEFAULT_LANGUAGE, weights_for, weights_json
from learning_stores.rendering import CHARACTERS_A_TOKEN, Headings, render

logger = logging.getLogger("learning_machine")

_POOL = "learning-recall"
# What these connections meet is said once, in `degraded`; psycopg would write several lines of it to an agent's standard error.
logging.getLogger("psycopg.pool").addFilter(lambda record: _POOL not in record.getMessage())

RECALL = (
    "SELECT learning.recall(%s, %s, %s, %s, %s::text[], %s::text[], %s::text[], %s, %s::uuid[], %s, %s, %s::real[], %s, "
    "%s::timestamptz, %s::jsonb)::text"
)
"""One round trip; takes `RecallRequest.parameters()`."""


@dataclass(frozen=True, kw_only=True)
class RecallRequest:
    """Whose memory, of which stores, how much of it (`max_tokens`), and by when (`deadline`, seconds).

    `places` are the pairs of store and scope that are read, `headings` what is shown above each kind. With a `query` what
    matters most to it comes first: its words in `language`, and `vector`, its embedding by `model`, where there is one. With
    `as_of` the answer is what was live then. Without `overlay` nothing is shown that is not extracted yet.
    """

    tenant: str
    user_id: str | None
    session_id: str | None
    stores: tuple[str, ...]
    places: tuple[tuple[str, str], ...]
    max_tokens: int
    deadline: float
    headings: Headings = field(default_factory=dict)
    query: str | None = None
    language: str = DEFAULT_LANGUAGE
    vector: Sequence[float] | None = None
    model: str | None = None
    as_of: datetime | None = None
    overlay: bool = True
    own: tuple[UnprocessedMessage, ...] = ()  # emitted by this machine lately, newest first

    def parameters(self) -> tuple[Any, ...]:
        """The SQL function's arguments."""
        return (
            self.tenant,
            user_scope(self.user_id) if self.user_id else None,
            session_scope(self.user_id, self.session_id) if self.session_id else None,
            subject_of(self.user_id, self.session_id),
            list(self.stores),
            [store for store, _ in self.places],
            [scope for _, scope in self.places],
            self.max_tokens * CHARACTERS_A_TOKEN,
            list({message.event_id for message in self.own}),
            None if self.query is None else self.query.replace("\0", " "),  # Postgres knows no such character
            self.language,
            None if self.vector is None else list(self.vector),
            self.model,
            self.as_of,
            weights_json(weights_for(self.model)),
        )


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


class Recaller:
    """Recall's own few connections, so that no turn of an agent waits behind other work, and no wait passes its deadline.

    Connects on first use, in the background; safe in threads, after a fork, and in many event loops.
    """

    def __init__(self, database: Database, *, max_connections: int = 8) -> None:
        self._conninfo = database.conninfo
        self._max = max_connections
        self._pool: ConnectionPool[BoundedConnection] | None = None
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncConnectionPool[BoundedAsyncConnection]]
        self._pools = WeakKeyDictionary()
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def recall(self, request: RecallRequest) -> Recall:
        """Ask, within the deadline. Never raises for what the server does: what went wrong is in `degraded`."""
        wait_until = time.monotonic() + request.deadline
        try:
            for again in range(self._max, -1, -1):  # as many as the pool may hold dead ones
                with self._sync_pool().connection(timeout=_left(wait_until)) as connection:
                    try:
                        connection.wait_until = wait_until
                        row = connection.execute(RECALL, request.parameters()).fetchone()
                        connection.wait_until = None
                        break
                    except psycopg.OperationalError:
                        if not again or not _is_stale(connection, wait_until):
                            raise
        except (psycopg.Error, OSError) as error:
            return degraded(request, error)
        assert row is not None
        return _result(request, row[0])

    async def arecall(self, request: RecallRequest) -> Recall:
        """The same from asyncio."""
        wait_until = time.monotonic() + request.deadline
        try:
            pool = await self._async_pool()
            for again in range(self._max, -1, -1):  # as many as the pool may hold dead ones
                async with pool.connection(timeout=_left(wait_until)) as connection:
                    try:
                        connection.wait_until = wait_until
                        row = await (await connection.execute(RECALL, request.parameters())).fetchone()
                        connection.wait_until = None
                        break
                    except psycopg.OperationalError:
                        if not again or not _is_stale(connection, wait_until):
                            raise
        except (psycopg.Error, OSError) as error:
            return degraded(request, error)
        assert row is not None
        return _result(request, row[0])

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
                    self._conninfo, connection_class=BoundedConnection, open=False, configure=_bound, **self._options()
                )
                self._pool.open(wait=False)
        return self._pool

    async def _async_pool(self) -> AsyncConnectionPool[BoundedAsyncConnection]:
        self._forget_parent()
        loop = asyncio.get_running_loop()
        if (pool := self._pools.get(loop)) is None:
            pool = self._pools[loop] = _AsyncPool(
                self._conninfo,
                connection_class=BoundedAsyncConnection,
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
            "kwargs": {"autocommit": True, "prepare_threshold": None},
            "name": _POOL,
            # A server that was away is tried again at the next recall, not when a long back-off is over.
            "reconnect_timeout": 1.0,
        }

    def _forget_parent(self) -> None:
        """In the child of a fork: leave the parent's connections, and its locks, to the parent."""
        if self._pid != os.getpid():
            self._lock = threading.Lock()  # first: a thread that sees the new process id takes it
            self._pool, self._pools, self._pid = None, WeakKeyDictionary(), os.getpid()


# When the caller has given up and closed its end, the server does not work on for long. Once a connection.
_BOUND = "SET statement_timeout = '10s'"


def _bound(connection: BoundedConnection) -> None:
    connection.execute(_BOUND)


async def _abound(connection: BoundedAsyncConnection) -> None:
    await connection.execute(_BOUND)


def _left(wait_until: float) -> float:
    return max(0.001, wait_until - time.monotonic())


def _is_stale(connection: BoundedConnection | BoundedAsyncConnection, wait_until: float) -> bool:
    """Whether a pooled connection had died, as after a restart of the server, and there is time for another."""
    return connection.broken and time.monotonic() < wait_until - 0.005


def degraded(request: RecallRequest, error: BaseException) -> Recall:
    """What can be said without the database: what this machine itself was told lately."""
    cause = f"no free connection within {request.deadline:g} s" if isinstance(error, PoolTimeout) else _cause(error)
    context, _, unprocessed = render(
        (), request.own if request.overlay else (), 0, request.max_tokens, request.headings
    )
    return Recall(
        context=context, unprocessed=unprocessed, degraded=cause, pending=len({m.event_id for m in request.own})
    )


def _cause(error: BaseException) -> str:
    told = str(error).splitlines()
    return f"{type(error).__name__}: {told[0] if told else 'no detail'}"[:300]


def _result(request: RecallRequest, answer: str) -> Recall:
    found = from_json(answer)
    learnings = tuple(
        RecalledLearning(
            id=UUID(row["id"]),
            store=row["store"],
            kind=row["kind"],
            content=row["content"],
            data=row["data"],
            valid_from=datetime.fromisoformat(row["valid_from"]),
            namespace=row["namespace"],
            about=row["about"],
            about_type=row["about_type"],
        )
        for row in _once(found["learnings"])
    )
    known = {UUID(event_id) for event_id in found["known"]}
    own = [message for message in request.own if message.event_id not in known]
    said = [
        UnprocessedMessage(
            event_id=UUID(row["id"]),
            session_id=row["session_id"],
            content=row["said"],
            occurred_at=datetime.fromisoformat(row["occurred_at"]),
        )
        for row in found["waiting"]
    ]
    fresh = [*own, *said] if request.overlay else []
    context, shown, unprocessed = render(learnings, fresh, found["omitted"], request.max_tokens, request.headings)
    return Recall(
        context=context,
        learnings=learnings[:shown],
        unprocessed=unprocessed,
        omitted=found["omitted"] + len(learnings) - shown,
        processed_through=datetime.fromisoformat(found["processed_through"]),
        pending=found["pending"] + len({message.event_id for message in own}),
        models=tuple(found["models"]),
        known=frozenset(known),
    )


def _once(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each statement once: what was promoted lies in the narrower namespace and in the wider one."""
    kept = {(row["store"], row["kind"], row["about"], row["content"]): row for row in reversed(rows)}
    return [row for row in rows if kept[row["store"], row["kind"], row["about"], row["content"]] is row]
