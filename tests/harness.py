"""What the tests stand on: real servers, a migrated database for each test, real processes, and waiting for a condition."""

import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import psycopg
import redis
from sqlalchemy import text
from sqlalchemy.engine import make_url

from learning_machine import LearningMachine
from learning_ops.process import ManagedProcess
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import uuid7
from learning_stores.database import Database
from warm_python import WarmManagedProcess

T = TypeVar("T")

PATIENT = {f"LEARNING_{what}_DEADLINE": "20" for what in ("RECALL", "EMIT", "EMBEDDING")}
"""Deadlines that a busy machine keeps, too: how long an answer may take is set where that is tested."""
PASSWORDS = {"learning_app": "app-in-tests", "learning_dispatcher": "dispatcher-in-tests"}


def eventually(look: Callable[[], T], what: str, *, timeout: float = 60.0, every: float = 0.02) -> T:
    """The first true answer of `look`; fails the test with `what` where there is none in time.

    `every` is in seconds; what takes longer than one is looked for up to ten times a second, since looking takes time too.
    """
    began = time.monotonic()
    while True:
        if answer := look():
            return answer
        waited = time.monotonic() - began
        if waited > timeout:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(max(every, min(waited / 50, 0.1)))


def sometimes(attempt: Callable[[], bool], what: str, *, tries: int = 10) -> None:
    """Try until an attempt is true; fails the test with `what` where none of so many is.

    For what a busy machine can spoil once, and a fault spoils every time: a deadline that is kept, a loop that is not held.
    """
    if not any(attempt() for _ in range(tries)):
        raise AssertionError(f"not once in {tries} attempts: {what}")


async def asometimes(attempt: Callable[[], Awaitable[bool]], what: str, *, tries: int = 10) -> None:
    """The same for attempts that are awaited."""
    for _ in range(tries):
        if await attempt():
            return
    raise AssertionError(f"not once in {tries} attempts: {what}")


class SilentServer:
    """Takes connections on loopback, and never answers."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listening.setblocking(False)
        self._taken: list[socket.socket] = []
        self.port = int(self._listening.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listening, *self._taken):
            each.close()

    def connections(self) -> int:
        """How many there were since the last look."""
        before = len(self._taken)
        with suppress(BlockingIOError):
            while True:
                self._taken.append(self._listening.accept()[0])
        return len(self._taken) - before


@contextmanager
def linear() -> Iterator[None]:
    """The block takes what grows with its input's length alone.

    Less than three seconds of the processor for the inputs of these tests; with their square it would be minutes.
    """
    began = time.process_time()
    yield
    assert time.process_time() - began < 20


@dataclass(kw_only=True)
class Place:
    """One test's database and Redis, by every role's address."""

    app_url: str
    dispatcher_url: str
    owner_url: str
    redis_url: str
    superuser_url: str
    directory: Path
    extra_env: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The environment of a process that works here."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LEARNING_", "OPENAI_"))}
        return {
            **inherited,
            **PATIENT,
            "LEARNING_DATABASE_URL": self.app_url,
            "LEARNING_DISPATCHER_DATABASE_URL": self.dispatcher_url,
            "LEARNING_OWNER_DATABASE_URL": self.owner_url,
            "LEARNING_REDIS_URL": self.redis_url,
            **self.extra_env,
        }

    def machine(self, **options: Any) -> LearningMachine:
        """A machine whose memory is here."""
        return LearningMachine(database_url=self.app_url, redis_url=self.redis_url, **options)


def role_url(superuser_url: str, database: str, role: str | None = None) -> str:
    """The address of a database for a role, the superuser where none is named."""
    url = make_url(superuser_url).set(database=database)
    if role is not None:
        url = url.set(username=role, password=PASSWORDS[role])
    return url.render_as_string(hide_password=False)


def execute(superuser_url: str, *statements: str) -> None:
    """Run statements outside a transaction."""
    # By psycopg: an engine asks five questions of its own first, twice for each test's database.
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def in_memory() -> str | None:
    """Where a thousand files, which a database is, cost no disk; None where there is no room for a server's data."""
    place = "/dev/shm"
    roomy = os.access(place, os.W_OK) and shutil.disk_usage(place).free > 4 << 30
    return place if roomy else None


@contextmanager
def new_place(servers: tuple[str, str], template: str) -> Iterator[Place]:
    """A copy of the template database and an emptied Redis, for as long as the block runs."""
    superuser_url, redis_url = servers
    name = f"learning_{os.urandom(4).hex()}"
    execute(superuser_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")  # a third of the time
    directory = Path(tempfile.mkdtemp(prefix="learning-test-"))
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    try:
        yield Place(
            app_url=role_url(superuser_url, name, "learning_app"),
            dispatcher_url=role_url(superuser_url, name, "learning_dispatcher"),
            owner_url=role_url(superuser_url, name),
            superuser_url=role_url(superuser_url, name),
            redis_url=redis_url,
            directory=directory,
        )
    finally:
        execute(superuser_url, f"DROP DATABASE {name} WITH (FORCE)")
        shutil.rmtree(directory, ignore_errors=True)


class Processes:
    """Real processes of one test; all of them are ended with it. Where `warm`, they are forked with their imports made."""

    def __init__(self, place: Place, *, warm: bool = False) -> None:
        self._place = place
        self._kind = WarmManagedProcess if warm else ManagedProcess
        self._started: list[ManagedProcess] = []

    def start(self, name: str, argv: Iterable[str], env: Mapping[str, str] | None = None) -> ManagedProcess:
        """Start a Python module or program with the test's environment."""
        log = self._place.directory / f"{name}-{len(self._started)}.log"
        process = self._kind(
            name,
            [sys.executable, *argv],
            env={**self._place.env, **(env or {})},
            log_path=log,
            cwd=self._place.directory,
        )
        process.start()
        self._started.append(process)
        return process

    def dispatcher(self, env: Mapping[str, str] | None = None) -> ManagedProcess:
        """A dispatcher."""
        return self.start("dispatcher", ["-c", "from learning_workers.dispatcher import main; main()"], env)

    def worker(
        self, *stores: str, threads: int = 4, env: Mapping[str, str] | None = None, name: str = "worker"
    ) -> ManagedProcess:
        """A Celery worker on these stores' queues; both where none is named."""
        queues = ",".join(f"learning.{store}" for store in stores or ("user_profile", "session_context"))
        number = len(self._started)
        argv = [
            "-m",
            "celery",
            "-A",
            "learning_workers.app",
            "worker",
            "-Q",
            queues,
            "-P",
            "threads",
            "-c",
            str(threads),
        ]
        quiet = ["--without-mingle", "--without-gossip", "--loglevel", "INFO"]
        return self.start(name, [*argv, "-n", f"{name}{number}@%h", *quiet], env)

    def stop_all(self) -> None:
        """Tell every process to end, last started first, and wait for all of them."""
        for process in reversed(self._started):
            if pid := process.pid:
                with suppress(ProcessLookupError):  # it has ended just now
                    os.kill(pid, process.stop_signal)
        for process in reversed(self._started):
            process.stop()

    def kill_all(self) -> None:
        """End every process at once, where nothing is looked at afterwards."""
        for process in self._started:
            if pid := process.pid:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        for process in self._started:
            process.stop()


def turn(user: str, assistant: str = "Noted.") -> list[dict[str, str]]:
    """One turn: what the user said, and the answer."""
    return [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]


def event(**values: Any) -> ConversationCompleted:
    """An event for tests of what comes after emit."""
    from datetime import UTC, datetime

    given = {"id": uuid7(), "user_id": "alice", "session_id": "s1", "occurred_at": datetime.now(UTC), **values}
    return ConversationCompleted.make({"messages": turn("I work at Netflix."), **given})


def rows(database: Database, statement: str, **parameters: Any) -> list[dict[str, Any]]:
    """The rows of a query, as dictionaries."""
    with database.engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(text(statement), parameters)]
