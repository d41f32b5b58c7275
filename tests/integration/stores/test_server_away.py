"""A Postgres that is stopped, paused or started again: nothing waits past its time, and everything recovers."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from callback_times import callback_times
from harness import PASSWORDS, asometimes, eventually, role_url, sometimes
from learning_ops.embedded import DataDirectory, EmbeddedPostgres
from learning_ops.migration import migrate
from learning_schemas.ids import uuid7
from learning_schemas.results import UnprocessedMessage
from learning_stores.database import Database, ServerSilent
from learning_stores.recall import Recaller, RecallRequest

DEADLINE = 0.5
SLACK = 0.4  # of a machine that does other things besides


class OwnServer:
    """A Postgres of this module's own, to be mistreated."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self.postgres = postgres

    @property
    def app_url(self) -> str:
        """The app role's address."""
        return role_url(self.postgres.superuser_url, "learning", "learning_app")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the postmaster and all its backends in their tracks."""
        postmaster = psutil.Process(self.postgres.process.pid)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process.pid, signal.SIGCONT)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the server, and start it again on the same port."""
        url = self.postgres.superuser_url
        self.postgres.stop()
        try:
            yield
        finally:
            self.postgres.launch()
            self.postgres.wait_ready()
            assert self.postgres.superuser_url == url


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    """A second server, with a migrated database."""
    with tempfile.TemporaryDirectory(prefix="learning-away-") as closed, DataDirectory(Path(closed) / "data") as data:
        postgres = EmbeddedPostgres(data.path / "postgres", data.log_path("postgres"), data.secret("postgres"))
        postgres.launch()
        postgres.wait_ready()
        try:
            postgres.create_database("learning")
            url = role_url(postgres.superuser_url, "learning")
            migrate(url, {role: role_url(url, "learning", role) for role in PASSWORDS})
            yield OwnServer(postgres)
        finally:
            postgres.stop()


@pytest.fixture
def database(server: OwnServer) -> Iterator[Database]:
    """As an agent, on the server of this module."""
    with Database(server.app_url, pool_size=2, connect_seconds=2) as database:
        yield database


@pytest.fixture
def recaller(database: Database) -> Iterator[Recaller]:
    """On the server of this module."""
    recaller = Recaller(database)
    yield recaller
    recaller.close()


def _request(**values: Any) -> RecallRequest:
    given = {
        "tenant": "default",
        "user_id": "alice",
        "session_id": None,
        "stores": ("user_profile",),
        "places": (("user_profile", "user/alice"),),
        "max_tokens": 1_000,
        "deadline": DEADLINE,
    }
    return RecallRequest(**{**given, **values})


def _in_time(recaller: Recaller, *, says: str = "", **values: Any) -> bool:
    began = time.monotonic()
    answer = recaller.recall(_request(**values))
    took = time.monotonic() - began
    assert answer.degraded is not None
    assert PASSWORDS["learning_app"] not in answer.degraded
    assert says in answer.context
    return took < DEADLINE + SLACK


def _recovers(recaller: Recaller) -> None:
    eventually(lambda: recaller.recall(_request()).degraded is None, "recall answers again")


def test_given_a_paused_server_when_recalled_then_it_is_degraded_within_the_deadline_and_recovers(
    server: OwnServer, recaller: Recaller
) -> None:
    _recovers(recaller)
    own = UnprocessedMessage(
        event_id=uuid7(), session_id="s1", content="I live in Berlin.", occurred_at=datetime.now(UTC)
    )
    with server.paused():
        for _ in range(3):
            sometimes(lambda: _in_time(recaller, own=(own,), says="I live in Berlin."), "it is degraded in time")
    _recovers(recaller)


async def test_given_a_paused_server_when_recalled_from_asyncio_then_the_loop_is_never_blocked(
    server: OwnServer, database: Database
) -> None:
    recaller = Recaller(database)
    try:
        assert (await recaller.arecall(_request(deadline=10.0))).degraded is None

        async def in_time_and_free() -> bool:
            began = time.monotonic()
            with callback_times() as times:
                answers = await asyncio.gather(*(recaller.arecall(_request()) for _ in range(12)))
            took = time.monotonic() - began
            assert all(answer.degraded for answer in answers)
            return took < DEADLINE + SLACK and times.longest_wall < 0.2

        with server.paused():
            await asometimes(in_time_and_free, "all are back in time, and no callback has held the loop")
    finally:
        await recaller.aclose()


async def test_given_a_paused_server_when_a_recall_is_cancelled_then_it_ends_at_once(
    server: OwnServer, database: Database
) -> None:
    recaller = Recaller(database)
    try:
        assert (await recaller.arecall(_request(deadline=10.0))).degraded is None

        async def at_once() -> bool:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await recaller.arecall(_request(deadline=30.0))
            return time.monotonic() - began < 0.1 + SLACK

        with server.paused():
            await asometimes(at_once, "it ends at once")
    finally:
        await recaller.aclose()


def test_given_a_stopped_server_when_recalled_then_it_is_degraded_and_answers_soon_after_the_server_is_back(
    server: OwnServer, recaller: Recaller
) -> None:
    def soon_back() -> bool:
        _recovers(recaller)
        with server.stopped():
            until = time.monotonic() + 6  # long enough for a back-off to have grown
            while time.monotonic() < until:
                sometimes(lambda: _in_time(recaller), "it is degraded in time")
        began = time.monotonic()
        _recovers(recaller)
        return time.monotonic() - began < 3

    sometimes(soon_back, "it answers soon after the server is back", tries=3)


def test_given_a_restarted_server_when_recalled_on_a_dead_pooled_connection_then_a_new_one_answers(
    server: OwnServer, recaller: Recaller
) -> None:
    _recovers(recaller)
    with server.stopped():
        pass
    assert recaller.recall(_request(deadline=5.0)).degraded is None


def test_given_a_restarted_server_when_work_begins_on_a_dead_pooled_connection_then_it_is_done_on_a_new_one(
    server: OwnServer, database: Database
) -> None:
    assert database.run("default", _one) == 1
    with server.stopped():
        pass
    assert database.run("default", _one) == 1


async def test_given_a_restarted_server_when_async_work_begins_on_a_dead_connection_then_it_is_done_on_a_new_one(
    server: OwnServer, database: Database
) -> None:
    assert await database.arun("default", _one) == 1
    with server.stopped():
        pass
    assert await database.arun("default", _one) == 1
    await database.aclose()


def test_given_a_paused_server_when_work_waits_too_long_then_its_connection_is_closed_and_not_used_again(
    server: OwnServer, database: Database
) -> None:
    url = database.url.render_as_string(hide_password=False)
    with Database(url, answer_seconds=0.2) as impatient:
        with impatient.engine.connect() as connection:
            before = connection.scalar(text("SELECT pg_backend_pid()"))
        with server.paused(), pytest.raises(OperationalError) as caught:
            impatient.run("default", _one)
        assert isinstance(caught.value.orig, ServerSilent)
        with impatient.engine.connect() as connection:
            assert connection.scalar(text("SELECT pg_backend_pid()")) != before


async def test_given_a_paused_server_when_async_work_is_cancelled_then_it_ends_at_once_and_leaks_nothing(
    server: OwnServer, database: Database
) -> None:
    assert await database.arun("default", _one) == 1

    async def at_once() -> bool:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await database.arun("default", _one)
        return time.monotonic() - began < 1.0

    with server.paused():
        await asometimes(at_once, "it ends at once")
    assert database.async_engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a queue pool has it
    assert await database.arun("default", _one) == 1
    await database.aclose()


def _one(session: Session) -> Any:
    return session.scalar(text("SELECT 1"))
