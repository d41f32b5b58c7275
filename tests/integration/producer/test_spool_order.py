"""What is said after an event that lies in the spool comes after it, whichever server is back; nothing is refused for that."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import pytest
from sqlalchemy.engine import make_url

from harness import Place, Processes, eventually, rows, turn
from learning_machine import LearningMachine, Receipt
from learning_machine.spool_file import Record, spooled
from learning_machine.spool_taker import Outcome, Taker
from learning_stores.database import Database
from tcp_proxy import TcpProxy

Make = Callable[..., LearningMachine]


class Emit(Protocol):
    """`emit` or `aemit`, called alike."""

    def __call__(self, machine: LearningMachine, said: str, user: str = "alice") -> Receipt: ...


def _emit(machine: LearningMachine, said: str, user: str = "alice") -> Receipt:
    return machine.emit(turn(said), user_id=user, session_id="s1")


def _aemit(machine: LearningMachine, said: str, user: str = "alice") -> Receipt:
    async def work() -> Receipt:
        return await machine.aemit(turn(said), user_id=user, session_id="s1")

    return asyncio.run(work())


emits = pytest.mark.parametrize("emit", [_emit, _aemit])


class Gate:
    """Lets a drainer take nothing until it is opened."""

    def __init__(self, make: Callable[[], Taker]) -> None:
        self._make = make
        self.opened = threading.Event()

    def __call__(self) -> Taker:
        taker = self._make()
        take = taker.take

        def wait_and_take(found: Sequence[Record]) -> Iterator[Outcome]:
            assert self.opened.wait(60)
            return take(found)

        taker.take = wait_and_take  # type: ignore[method-assign]  # this one instance
        return taker


@pytest.fixture
def directory(place: Place) -> Path:
    """A spool directory."""
    directory = place.directory / "spool"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def proxy(place: Place) -> Iterator[TcpProxy]:
    """A way to Postgres, which is cut; open it."""
    url = make_url(place.app_url)
    proxy = TcpProxy(url.host or "127.0.0.1", url.port or 5432)
    proxy.cut()
    yield proxy
    proxy.cut()


@pytest.fixture
def machine(fragile: Make, own_redis: Any, place: Place, proxy: TcpProxy, directory: Path) -> LearningMachine:
    """A machine with a spool, of which Redis and Postgres are away."""
    own_redis.stop()
    way = make_url(place.app_url).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    return fragile(database_url=way, spool_dir=directory, emit_deadline=10)


@pytest.fixture
def gate(machine: LearningMachine) -> Iterator[Gate]:
    """The machine drains nothing until the gate is opened."""
    drainer = machine._emitter._drainer
    assert drainer is not None
    gate = Gate(drainer._taker)
    drainer._taker = gate
    yield gate
    gate.opened.set()


def tried_until(machine: LearningMachine, emit: Emit, via: str) -> None:
    """Emit, each time about somebody else, until a server is tried again and takes it."""
    users = (f"user-{number}" for number in count())
    eventually(lambda: emit(machine, "hello", next(users)).via == via, f"{via} takes events", every=0.1)


def logged(database: Database) -> dict[str, str]:
    """What is in the event log, and by which way."""
    found = rows(database, "SELECT messages -> 0 ->> 'content' AS said, via FROM learning.conversation_event")
    return {row["said"]: row["via"] for row in found}


@emits
def test_given_an_event_in_the_spool_when_redis_is_back_then_the_next_one_about_its_user_goes_there_too_until_it_is_drained(
    machine: LearningMachine, own_redis: Any, proxy: TcpProxy, gate: Gate, directory: Path, emit: Emit
) -> None:
    assert emit(machine, "first").via == "spool"
    own_redis.start()
    proxy.open()
    tried_until(machine, emit, "stream")

    assert emit(machine, "second").via == "spool"
    assert emit(machine, "somebody else's", "eve").via == "stream"
    gate.opened.set()
    eventually(lambda: not spooled(directory), "the file is drained and removed")

    assert emit(machine, "third").via == "stream"
    assert machine._emitter.counts.overtaking == 0


def test_given_an_event_in_the_spool_when_postgres_alone_is_back_then_the_next_one_about_its_user_goes_there_too(
    machine: LearningMachine, proxy: TcpProxy, gate: Gate, directory: Path, everything_db: Database
) -> None:
    assert _emit(machine, "first").via == "spool"
    proxy.open()
    tried_until(machine, _emit, "postgres")

    assert _emit(machine, "second").via == "spool"
    gate.opened.set()
    eventually(lambda: not spooled(directory), "the file is drained and removed")

    assert _emit(machine, "third").via == "postgres"
    found = logged(everything_db)
    assert [found[said] for said in ("first", "second", "third")] == ["spool", "spool", "postgres"]


@emits
def test_given_a_spool_that_is_full_when_redis_takes_events_then_the_next_one_goes_there_and_is_counted(
    monkeypatch: pytest.MonkeyPatch, fragile: Make, own_redis: Any, directory: Path, emit: Emit,
    caplog: pytest.LogCaptureFixture, everything_db: Database,
) -> None:  # fmt: skip
    monkeypatch.setenv("LEARNING_SPOOL_BYTES", "65536")
    machine = fragile(database_url="postgresql://app:pw@127.0.0.1:1/x", spool_dir=directory)
    drainer = machine._emitter._drainer
    assert drainer is not None
    drainer._taker = gate = Gate(drainer._taker)
    own_redis.stop()
    assert emit(machine, "first").via == "spool"
    own_redis.start()
    tried_until(machine, emit, "stream")

    assert emit(machine, "x" * 65_536).via == "stream"
    assert emit(machine, "small").via == "spool"
    gate.opened.set()

    assert machine._emitter.counts.overtaking == 1
    assert "events are accepted before others of the same user or session" in caplog.text
    assert "LEARNING_SPOOL_BYTES" in caplog.text
    eventually(lambda: not spooled(directory), "the file is drained into the stream")


@pytest.mark.parametrize("back", ["redis", "postgres"])
def test_given_one_server_that_is_back_when_nothing_more_is_emitted_then_the_spool_is_drained_all_the_same(
    machine: LearningMachine, own_redis: Any, proxy: TcpProxy, directory: Path, everything_db: Database, back: str
) -> None:
    for number in range(3):
        assert _emit(machine, f"said {number}").via == "spool"

    if back == "redis":
        own_redis.start()
    else:
        proxy.open()

    eventually(lambda: not spooled(directory), "the file is drained and removed")
    assert set(logged(everything_db)) == (set() if back == "redis" else {"said 0", "said 1", "said 2"})


def test_given_something_in_the_directory_that_cannot_be_read_then_the_own_file_is_drained_all_the_same(
    machine: LearningMachine, proxy: TcpProxy, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (directory / "no-file.spool").mkdir()
    assert _emit(machine, "first").via == "spool"
    proxy.open()

    eventually(lambda: [each.name for each in spooled(directory)] == ["no-file.spool"], "the own file is drained")
    eventually(lambda: "what other processes left in" in caplog.text, "it is told")


@emits
def test_given_turns_of_one_user_through_an_outage_of_both_servers_then_they_are_numbered_as_emitted(
    machine: LearningMachine, own_redis: Any, proxy: TcpProxy, processes: Processes, everything_db: Database, emit: Emit
) -> None:
    receipts = [emit(machine, f"before {number}") for number in range(3)]
    proxy.open()
    receipts += [emit(machine, f"while Redis is away {number}") for number in range(3)]
    own_redis.start()
    processes.dispatcher({"LEARNING_REDIS_URL": own_redis.url})
    while receipts[-1].via != "stream":
        assert len(receipts) < 5_000
        receipts.append(emit(machine, f"after {len(receipts)}"))
    receipts += [emit(machine, f"at last {number}") for number in range(3)]

    numbered = "SELECT id FROM learning.conversation_event WHERE accepted_no IS NOT NULL ORDER BY accepted_no"
    eventually(lambda: len(rows(everything_db, numbered)) == len(receipts), "every event has its number")

    assert {receipt.via for receipt in receipts} >= {"spool", "stream"}
    assert [row["id"] for row in rows(everything_db, numbered)] == [receipt.event_id for receipt in receipts]
