"""Events that neither Redis nor Postgres takes: on the disk within the budget, and handed in once, whoever does it."""

import asyncio
import base64
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from forking import in_child
from harness import Place, SilentServer, event, eventually, rows, turn
from learning_machine import ConfigurationError, LearningMachine, NotAccepted, Receipt, breaker, spool_taker
from learning_machine.spool import Spool, destination_name
from learning_machine.spool_drain import BATCH, Drained, blank_matching, drain_directory
from learning_machine.spool_drainer import Drainer
from learning_machine.spool_file import opened, spooled
from learning_machine.spool_look import look
from learning_machine.spool_taker import Taker
from learning_schemas.closing import ProducerClosed
from learning_schemas.spec import DEFAULT_SPEC, MachineSpec
from learning_stores.database import Database, driver_url
from learning_stores.event_log import Incoming, accept_all_directly
from tcp_proxy import TcpProxy

Make = Callable[..., LearningMachine]
Sent = Callable[..., list[dict[bytes, bytes]]]
LIMIT = 1 << 20
ALICE = ("default", "user/alice")
NOWHERE = {"database_url": "postgresql://app:pw@127.0.0.1:1/x", "redis_url": "redis://127.0.0.1:1/0"}


def _emit(machine: LearningMachine, said: str) -> Receipt:
    return machine.emit(turn(said), user_id="alice", session_id="s1")


def _aemit(machine: LearningMachine, said: str) -> Receipt:
    async def work() -> Receipt:
        return await machine.aemit(turn(said), user_id="alice", session_id="s1")

    return asyncio.run(work())


emits = pytest.mark.parametrize("emit", [_emit, _aemit])


@pytest.fixture
def proxy(place: Place) -> Iterator[TcpProxy]:
    """A way to Postgres, which is open; cut it."""
    url = make_url(place.app_url)
    proxy = TcpProxy(url.host or "127.0.0.1", url.port or 5432)
    proxy.open()
    yield proxy
    proxy.cut()


@pytest.fixture
def directory(place: Place) -> Path:
    """A spool directory."""
    directory = place.directory / "spool"
    directory.mkdir(mode=0o700)
    return directory


def through(proxy: TcpProxy, place: Place) -> str:
    """The database's address by way of the proxy."""
    return make_url(place.app_url).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)


def logged(database: Database) -> list[dict[str, Any]]:
    """What is in the event log, in the order of what was said."""
    return rows(
        database,
        "SELECT id, via, seq, messages -> 0 ->> 'content' AS said FROM learning.conversation_event ORDER BY id",
    )


def drained(directory: Path, place: Place, redis_url: str | None = None, database_url: str | None = None) -> Drained:
    """Drain a directory, as the command does."""
    result, taker = Drained(), Taker(database_url or place.app_url, redis_url, 8)
    try:
        drain_directory(directory, None, taker, result, lambda: False)
    finally:
        taker.close()
    return result


def lay(directory: Path, place: Place, *given: tuple[bytes, bytes]) -> Path:
    """A file of a process that has ended."""
    spool = Spool(directory, destination_name(driver_url(place.app_url)))
    for body, spec in given:
        spool.append(ALICE, body, spec, LIMIT)
    spool.release()
    return spooled(directory)[-1]


@emits
def test_given_redis_and_postgres_that_are_silent_then_the_event_is_on_the_disk_within_the_budget(
    directory: Path,
    emit: Callable[[LearningMachine, str], Receipt],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 30.0)
    monkeypatch.setattr(Drainer, "wake", lambda *_, **__: None)  # it asks Postgres, too, beside the emits
    with SilentServer() as redis_server, SilentServer() as postgres:
        machine = LearningMachine(
            database_url=f"postgresql://app:pw@127.0.0.1:{postgres.port}/x",
            redis_url=f"redis://127.0.0.1:{redis_server.port}/0",
            spool_dir=directory,
        )
        first = emit(machine, "one")
        assert redis_server.connections()
        assert postgres.connections()
        others = [emit(machine, str(number)) for number in range(5)]
        asked = redis_server.connections(), postgres.connections()
        machine.close()

    assert [receipt.via for receipt in (first, *others)] == ["spool"] * 6
    assert asked == (0, 0)  # not five times the time-outs
    assert [each.waiting for each in look(directory)] == [6]
    assert "accepted by spool" in caplog.text
    assert "not tried again" not in caplog.records[0].getMessage()


@emits
def test_given_silent_servers_and_no_spool_then_the_error_names_each_place_within_the_budget(
    place: Place, emit: Callable[[LearningMachine, str], Receipt]
) -> None:
    with SilentServer() as redis_server, SilentServer() as postgres:
        machine = LearningMachine(
            database_url=f"postgresql://app:pw@127.0.0.1:{postgres.port}/x",
            redis_url=f"redis://127.0.0.1:{redis_server.port}/0",
            emit_deadline=0.4,
        )
        with pytest.raises(NotAccepted) as refused:
            emit(machine, "one")
        machine.close()

    assert set(refused.value.causes) == {"redis", "postgres"}
    assert "time" in refused.value.causes["postgres"].lower()


@emits
def test_given_a_spool_that_is_full_then_the_error_names_the_setting_and_every_cause(
    directory: Path, emit: Callable[[LearningMachine, str], Receipt], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARNING_SPOOL_DIR", str(directory))
    monkeypatch.setenv("LEARNING_SPOOL_BYTES", "4096")
    machine = LearningMachine(**NOWHERE)

    assert emit(machine, "fits").via == "spool"
    with pytest.raises(NotAccepted, match=r"redis: .*postgres: .*spool: .*LEARNING_SPOOL_BYTES"):
        emit(machine, "x" * 4096)

    assert emit(machine, "fits too").via == "spool"
    machine.close()


def test_given_a_spool_directory_that_cannot_be_used_then_making_the_machine_says_so(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARNING_SPOOL_DIR", str(directory / "missing"))
    with pytest.raises(ConfigurationError, match=r"LEARNING_SPOOL_DIR: .*missing cannot be used.*mkdir -m 700"):
        LearningMachine(**NOWHERE)
    (directory / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"spool_dir: .*is not a directory"):
        LearningMachine(**NOWHERE, spool_dir=directory / "file")
    monkeypatch.setenv("LEARNING_SPOOL_DIR", "")
    LearningMachine(**NOWHERE)


@emits
def test_given_a_recovery_then_the_next_emit_has_the_file_drained_in_order_and_removed(
    fragile: Make, own_redis: Any, place: Place, proxy: TcpProxy, directory: Path, everything_db: Database,
    emit: Callable[[LearningMachine, str], Receipt],
) -> None:  # fmt: skip
    machine = fragile(database_url=through(proxy, place), spool_dir=directory)
    own_redis.stop()
    proxy.cut()
    receipts = [emit(machine, f"spooled {number}") for number in range(5)]
    assert {receipt.via for receipt in receipts} == {"spool"}

    proxy.open()
    own_redis.start()
    eventually(lambda: emit(machine, "later").via == "stream", "Redis is tried again", every=0.1)
    eventually(lambda: not spooled(directory), "the file is drained and removed")

    found = [row for row in logged(everything_db) if row["said"].startswith("spooled")]
    assert [(row["id"], row["via"], row["seq"]) for row in found] == [
        (receipt.event_id, "spool", receipt.seq) for receipt in receipts
    ]
    assert len(rows(everything_db, "SELECT hash FROM learning.machine_spec")) == 1


def test_given_postgres_that_stays_away_then_the_spool_is_drained_into_the_stream(
    fragile: Make, own_redis: Any, directory: Path, sent: Sent
) -> None:
    machine = fragile(database_url=NOWHERE["database_url"], spool_dir=directory)
    own_redis.stop()
    receipts = [_emit(machine, f"spooled {number}") for number in range(3)]
    own_redis.start()

    eventually(lambda: _emit(machine, "later").via == "stream", "Redis is tried again", every=0.1)
    eventually(lambda: not spooled(directory), "the file is drained and removed")

    spooled_ones = [fields for fields in sent(own_redis.url) if b"spooled" in fields[b"event"]]
    ids = [json.loads(fields[b"event"])["id"] for fields in spooled_ones]
    assert ids == [str(receipt.event_id) for receipt in receipts]
    assert all(b"spec" in fields for fields in spooled_ones)


def test_given_close_while_postgres_is_back_then_nothing_is_left_and_else_the_file_is_there_for_others(
    fragile: Make, own_redis: Any, place: Place, proxy: TcpProxy, directory: Path, everything_db: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    machine = fragile(database_url=through(proxy, place), spool_dir=directory, emit_deadline=10)
    own_redis.stop()
    proxy.cut()
    assert _emit(machine, "left").via == "spool"
    machine.close()
    assert [(each.in_use, each.waiting) for each in look(directory)] == [(False, 1)]
    assert "left in the spool file" in caplog.text

    assert _emit(machine, "drained").via == "spool"
    proxy.open()
    asyncio.run(machine.aclose())

    assert spooled(directory) == []
    assert [(row["said"], row["via"]) for row in logged(everything_db)] == [("left", "spool"), ("drained", "spool")]


def test_given_a_process_that_was_killed_then_the_next_one_drains_what_it_left_and_nothing_of_another_database(
    fragile: Make, place: Place, directory: Path, everything_db: Database
) -> None:
    script = """
import os, signal
from learning_machine import LearningMachine
machine = LearningMachine()
def away(*_):
    raise OSError("away")
machine._emitter._fallback._database.run = away
def emit(said):
    return machine.emit([{"role": "user", "content": said}], user_id="alice", session_id="s1").via
assert [emit(f"said {number}") for number in range(3)] == ["spool"] * 3
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
emit("not on the disk")
"""
    env = {**place.env, "LEARNING_REDIS_URL": NOWHERE["redis_url"], "LEARNING_SPOOL_DIR": str(directory)}
    ended = subprocess.run([sys.executable, "-c", script], check=False, timeout=60, capture_output=True, env=env)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    [path] = spooled(directory)
    with path.open("ab") as file:
        file.write(b"12345678 100 {torn")
    elsewhere = Spool(directory, "other:5432/db")
    elsewhere.append(ALICE, event().to_json(), DEFAULT_SPEC.to_json(), LIMIT)
    elsewhere.release()

    machine = fragile(spool_dir=directory)
    _emit(machine, "hello")
    eventually(lambda: len(spooled(directory)) == 1, "the file of the dead process is drained")

    # The one that was written and not brought to the disk was not accepted; it may be handed in or not.
    assert [row["said"] for row in logged(everything_db)][:3] == ["said 0", "said 1", "said 2"]
    assert [each.destination for each in look(directory)] == ["other:5432/db"]


def test_given_the_same_file_drained_twice_then_its_events_are_there_once(
    place: Place, directory: Path, everything_db: Database
) -> None:
    spec = DEFAULT_SPEC.to_json()
    path = lay(directory, place, *[(event().to_json(), spec) for _ in range(3)])
    copy = path.read_bytes()

    first = drained(directory, place)
    path.write_bytes(copy)
    second = drained(directory, place)

    assert (first.accepted, first.known, second.accepted, second.known) == (3, 0, 0, 3)
    assert spooled(directory) == []
    assert len(logged(everything_db)) == 3


def test_given_two_drainers_at_once_then_each_event_is_taken_by_one_of_them(
    place: Place, directory: Path, everything_db: Database
) -> None:
    spec = DEFAULT_SPEC.to_json()
    for _ in range(6):
        lay(directory, place, *[(event().to_json(), spec) for _ in range(10)])
    results: list[Drained] = []
    threads = [threading.Thread(target=lambda: results.append(drained(directory, place))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(each.accepted for each in results) == 60
    assert sum(each.known + each.refused + each.torn + each.damaged for each in results) == 0
    assert spooled(directory) == []
    assert len(logged(everything_db)) == 60


def test_given_a_drain_while_the_owner_writes_then_its_file_is_left_to_it_and_nothing_is_lost(
    fragile: Make, own_redis: Any, place: Place, proxy: TcpProxy, directory: Path, everything_db: Database
) -> None:
    machine = fragile(database_url=through(proxy, place), spool_dir=directory, emit_deadline=10)
    own_redis.stop()
    proxy.cut()
    receipts: list[Receipt] = []

    def emit(number: int) -> None:
        receipts.extend(_emit(machine, f"{number}/{count}") for count in range(20))

    threads = [threading.Thread(target=emit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    results = [drained(directory, place)]
    proxy.open()
    while any(thread.is_alive() for thread in threads):
        results.append(drained(directory, place))
    for thread in threads:
        thread.join()
    machine.close()
    results.append(drained(directory, place))

    assert sum(each.refused + each.torn + each.damaged for each in results) == 0
    assert spooled(directory) == []
    assert {row["id"] for row in logged(everything_db)} == {receipt.event_id for receipt in receipts}
    assert len(receipts) == 80


def test_given_records_that_are_refused_then_each_is_set_aside_with_its_reason_and_the_rest_goes_on(
    place: Place, directory: Path, everything_db: Database
) -> None:
    spec = DEFAULT_SPEC.to_json()
    known, closed, good = event(), event(user_id="gone"), event(user_id="bob")
    reused = known.model_copy(update={"history": "full"})
    with everything_db.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO learning.subject (tenant, subject, user_id, closed_at) VALUES ('default', 'user/gone', 'gone', now())"
            )
        )
    path = lay(
        directory, place,
        (known.to_json(), spec), (reused.to_json(), spec), (closed.to_json(), spec), (b'{"v":2}', spec),
        (event().to_json(), b"{}"), (b"damaged", spec), (good.to_json(), spec),
    )  # fmt: skip
    content = path.read_bytes()
    path.write_bytes(content.replace(b"damaged", b"dAmaged"))

    result = drained(directory, place)

    assert (result.accepted, result.refused, result.damaged, result.left) == (2, 4, 1, 0)
    assert spooled(directory) == []
    aside = [json.loads(line) for line in path.with_suffix(".refused").read_text().splitlines()]
    assert [each["reason"].partition(".")[0] for each in aside] == [
        "the id was used for another event",
        "the subject is closed",
        aside[2]["reason"].partition(".")[0],
        aside[3]["reason"],
        "the record is damaged",
    ]
    assert json.loads(aside[0]["event"])["id"] == str(known.id)
    assert (aside[1]["event_id"], "event" in aside[1]) == (str(closed.id), False)
    assert aside[2]["event"] == '{"v":2}'
    assert b"dAmaged" in base64.b64decode(aside[4]["raw"])
    assert [(each.waiting, each.refused) for each in look(directory)] == [(0, 5)]
    assert path.with_suffix(".refused").stat().st_mode & 0o777 == 0o600
    assert {row["id"] for row in logged(everything_db)} == {known.id, good.id}


def test_given_many_records_of_two_tenants_when_postgres_refuses_some_then_every_other_one_is_taken_in_order(
    place: Place, directory: Path, everything_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction takes several records: what is refused in it concerns no other."""
    spec, sizes = DEFAULT_SPEC.to_json(), list[int]()
    given = [event(tenant="acme" if number % 40 > 30 else "default") for number in range(2 * BATCH + 20)]
    bad = {given[7].id, given[60].id}

    def accept(session: Session, batch: Sequence[tuple[Incoming, MachineSpec]], *others: Any) -> Any:
        sizes.append(len(batch))
        if bad & {incoming.event.id for incoming, _ in batch}:
            session.execute(text("SELECT 1 / 0"))
        return accept_all_directly(session, batch, *others)

    monkeypatch.setattr(spool_taker, "accept_all_directly", accept)
    lay(directory, place, *[(each.to_json(), spec) for each in given], (given[3].to_json(), spec))

    result = drained(directory, place)

    assert (result.accepted, result.known, result.refused) == (len(given) - 2, 1, 2)
    assert [row["id"] for row in logged(everything_db)] == [each.id for each in given if each.id not in bad]
    assert max(sizes) > 1
    [path] = directory.glob("*.refused")
    aside = [json.loads(line) for line in path.read_text().splitlines()]
    assert {each["event_id"] for each in aside} == set(map(str, bad))
    assert all("DivisionByZero" in each["reason"] for each in aside)


def test_given_no_place_that_takes_events_then_what_was_taken_is_blanked_and_the_rest_stays(
    place: Place, directory: Path
) -> None:
    path = lay(directory, place, (event().to_json(), DEFAULT_SPEC.to_json()))
    before = path.read_bytes()

    result = drained(directory, place, "redis://127.0.0.1:1/0", NOWHERE["database_url"])

    assert (result.accepted, result.left) == (0, 1)
    assert result.cause is not None
    assert "postgres: " in result.cause
    assert "redis: " in result.cause
    assert path.read_bytes() == before


def test_given_somebody_to_forget_then_their_words_leave_every_file_even_one_in_use(
    place: Place, directory: Path, everything_db: Database
) -> None:
    spec, here = DEFAULT_SPEC.to_json(), destination_name(driver_url(place.app_url))
    theirs = [event(user_id="gone", messages=turn("my secret words")) for _ in range(3)]
    path = lay(directory, place, (theirs[0].to_json(), spec), (event().to_json(), spec))
    path.with_suffix(".refused").write_text(
        json.dumps({"reason": "r", "event": theirs[1].to_json().decode(), "spec": "{}"}) + "\n"
    )
    owner = Spool(directory, here)
    owner.append(ALICE, theirs[2].to_json(), spec, LIMIT)

    assert blank_matching(directory, here, lambda each: each.user_id == "gone") == 3

    assert all(b"secret" not in each.read_bytes() for each in directory.iterdir())
    assert json.loads(path.with_suffix(".refused").read_text()) == {"reason": "r"}
    owner.append(ALICE, event().to_json(), spec, LIMIT)
    owner.release()
    assert drained(directory, place).accepted == 2
    assert len(logged(everything_db)) == 2


def test_given_files_for_another_database_when_somebody_is_forgotten_then_what_is_in_them_stays(
    place: Place, directory: Path
) -> None:
    spec, here = DEFAULT_SPEC.to_json(), destination_name(driver_url(place.app_url))
    path = lay(directory, place, (event(user_id="gone").to_json(), b"{}"))
    elsewhere = Spool(directory, "elsewhere:5432/db")
    elsewhere.append(ALICE, event(user_id="gone").to_json(), b"{}", LIMIT)
    elsewhere.append(ALICE, event(user_id="gone").to_json(), spec, LIMIT)
    elsewhere.release()
    [other] = [each for each in spooled(directory) if each != path]
    assert drained(directory, place, database_url=NOWHERE["database_url"]).refused == 2  # by their specs

    before = other.read_bytes(), other.with_suffix(".refused").read_bytes()
    assert blank_matching(directory, here, lambda each: each.user_id == "gone") == 1

    assert (other.read_bytes(), other.with_suffix(".refused").read_bytes()) == before
    assert b"gone" not in path.with_suffix(".refused").read_bytes()
    assert blank_matching(directory, "elsewhere:5432/db", lambda each: each.user_id == "gone") == 2


def test_given_a_fork_while_events_are_spooled_then_parent_and_child_lose_none(
    place: Place, directory: Path, everything_db: Database
) -> None:
    machine = LearningMachine(**NOWHERE, spool_dir=directory)
    _emit(machine, "parent")

    def work() -> str:
        receipt = _emit(machine, "child")
        machine.close()
        return receipt.via

    assert in_child(work) == "spool"
    _emit(machine, "parent again")
    machine.close()

    assert drained(directory, place).accepted == 3
    assert {row["said"] for row in logged(everything_db)} == {"parent", "child", "parent again"}


async def test_given_many_emits_at_once_in_one_loop_then_all_are_spooled_and_the_loop_goes_on(
    place: Place, directory: Path, everything_db: Database
) -> None:
    machine = LearningMachine(**NOWHERE, spool_dir=directory, emit_deadline=20)
    receipts = await asyncio.gather(
        *(machine.aemit(turn(str(number)), user_id="alice", session_id="s1") for number in range(50))
    )
    await machine.aclose()

    assert {receipt.via for receipt in receipts} == {"spool"}
    assert drained(directory, place).accepted == 50
    assert {row["id"] for row in logged(everything_db)} == {receipt.event_id for receipt in receipts}


@pytest.mark.parametrize("way", ["close", "aclose"])
def test_given_a_close_then_the_last_number_is_in_the_stream_once(
    fragile: Make, own_redis: Any, sent: Sent, way: str
) -> None:
    machine = fragile()
    close = machine.close if way == "close" else lambda: asyncio.run(machine.aclose())
    close()
    receipts = [_emit(machine, str(number)) for number in range(3)]
    close()
    close()

    said = [ProducerClosed.from_json(fields[b"closed"]) for fields in sent(own_redis.url, b"closed")]
    assert said == [ProducerClosed(producer=receipts[-1].producer, last=receipts[-1].seq)]
    machine.close()


@pytest.mark.parametrize("way", ["close", "aclose"])
def test_given_a_close_while_redis_is_away_then_postgres_takes_the_last_number(
    fragile: Make, own_redis: Any, everything_db: Database, way: str
) -> None:
    machine = fragile()
    receipt = _emit(machine, "hello")
    own_redis.stop()
    machine.close() if way == "close" else asyncio.run(machine.aclose())

    reported = rows(everything_db, "SELECT producer, last_reported FROM learning.producer_seq")
    assert reported == [{"producer": receipt.producer, "last_reported": 1}]
    machine.close()


@pytest.mark.parametrize("way", ["close", "aclose"])
def test_given_a_close_while_every_server_is_away_then_it_is_said_and_nothing_else(
    fragile: Make, own_redis: Any, place: Place, proxy: TcpProxy, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    machine = fragile(database_url=through(proxy, place))
    _emit(machine, "hello")
    own_redis.stop()
    proxy.cut()
    machine.close() if way == "close" else asyncio.run(machine.aclose())

    assert "could not report its last number, 1" in caplog.text
    machine.close()


def test_given_a_file_that_is_gone_from_under_the_process_then_it_is_told_and_emitting_goes_on(
    fragile: Make,
    own_redis: Any,
    place: Place,
    proxy: TcpProxy,
    directory: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = fragile(database_url=through(proxy, place), spool_dir=directory)
    own_redis.stop()
    proxy.cut()
    with monkeypatch.context() as nobody_drains:  # who has the file open already would still read it
        nobody_drains.setattr(Drainer, "wake", lambda *_, **__: None)
        _emit(machine, "lost by somebody's rm")
        spooled(directory)[0].unlink()
    proxy.open()
    machine.close()

    assert "is gone, with what was not drained yet" in caplog.text
    assert opened(directory / "missing.spool") is None
