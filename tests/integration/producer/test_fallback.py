"""What emit does when Redis does not take an event: straight to Postgres, and with the same id when it is sent again."""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
import redis

from harness import Place, event, eventually, rows, turn
from learning_machine import ConversationCompleted, LearningMachine, NotAccepted, Receipt
from learning_ops.embedded import EmbeddedRedis
from learning_schemas.spec import DEFAULT_SPEC, MachineSpec
from learning_stores.database import Database

Make = Callable[..., LearningMachine]
Emit = Callable[[LearningMachine, str], Receipt]


def _emit(machine: LearningMachine, text: str) -> Receipt:
    return machine.emit(turn(text), user_id="alice", session_id="s1")


def _aemit(machine: LearningMachine, text: str) -> Receipt:
    async def work() -> Receipt:
        return await machine.aemit(turn(text), user_id="alice", session_id="s1")

    return asyncio.run(work())


def _if_accepted(machine: LearningMachine, given: ConversationCompleted) -> Receipt | None:
    try:
        return machine.emit_event(given)
    except NotAccepted:
        return None


emits = pytest.mark.parametrize("emit", [_emit, _aemit])


@contextmanager
def stopped(server: EmbeddedRedis) -> Iterator[None]:
    server.stop()
    yield
    server.start()


@contextmanager
def silent(server: EmbeddedRedis) -> Iterator[None]:
    """Takes connections and never answers."""
    pid = server.process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def full(server: EmbeddedRedis) -> Iterator[None]:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", "1mb")
        yield
        client.config_set("maxmemory", "0")


@contextmanager
def read_only(server: EmbeddedRedis) -> Iterator[None]:
    with redis.Redis.from_url(server.url) as client:
        client.replicaof("127.0.0.1", "1")
        yield
        client.replicaof("NO", "ONE")


@emits
@pytest.mark.parametrize("failing", [stopped, silent, full, read_only])
def test_given_redis_that_takes_nothing_then_the_event_is_in_the_log_once_and_the_stream_is_used_again_afterwards(
    fragile: Make, own_redis: EmbeddedRedis, everything_db: Database, emit: Emit, failing: Callable[..., object],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    machine = fragile()
    before = emit(machine, "before")

    with caplog.at_level(logging.WARNING), failing(own_redis):  # type: ignore[attr-defined]  # a context manager
        first, second = emit(machine, "meanwhile"), emit(machine, "and again")
    after: list[Receipt] = []

    def is_back() -> bool:
        after.append(emit(machine, "after"))
        return after[-1].via == "stream"

    eventually(is_back, "Redis is tried again after a while", every=0.1)

    assert [receipt.via for receipt in (before, first, second)] == ["stream", "postgres", "postgres"]
    assert [receipt.seq - before.seq for receipt in (first, second, *after)] == list(range(1, 3 + len(after)))
    found = rows(
        everything_db,
        "SELECT id, via, seq, spec_hash FROM learning.conversation_event ORDER BY id",
    )
    assert [(row["id"], row["via"], row["seq"]) for row in found[:2]] == [
        (first.event_id, "postgres", first.seq),
        (second.event_id, "postgres", second.seq),
    ]
    assert {row["spec_hash"] for row in found} == {machine.spec.spec_hash()}
    assert [row["hash"] for row in rows(everything_db, "SELECT hash FROM learning.machine_spec")] == [
        machine.spec.spec_hash()
    ]
    warned = [record for record in caplog.records if record.name == "learning_machine"]
    assert len(warned) == 1
    assert "accepted by postgres" in warned[0].getMessage()
    assert "meanwhile" not in caplog.text
    assert machine._emitter.counts.by_place == {"stream": 2, "postgres": 1 + len(after)}


@emits
def test_given_neither_redis_nor_postgres_then_the_event_comes_back_numbered_and_is_accepted_later_under_its_id(
    place: Place, fragile: Make, own_redis: EmbeddedRedis, emit: Emit
) -> None:
    down = fragile(database_url="postgresql://app:pw@127.0.0.1:1/x")
    with stopped(own_redis), pytest.raises(NotAccepted) as refused:
        emit(down, "sk-abcdefghijklmnopqrstuvwx1234 is my key")

    error = refused.value
    assert set(error.causes) == {"redis", "postgres"}
    assert error.event.producer is not None
    assert error.event.seq is not None
    assert "sk-abc" not in error.event.to_json().decode()

    receipt = eventually(lambda: _if_accepted(down, error.event), "Redis is tried again after a second", every=0.1)
    again = asyncio.run(fragile().aemit_event(error.event))
    assert (receipt.event_id, receipt.producer, receipt.seq) == (error.event.id, error.event.producer, error.event.seq)
    assert (again.event_id, again.producer, again.seq) == (error.event.id, error.event.producer, error.event.seq)
    with redis.Redis.from_url(own_redis.url) as client:
        bodies = {fields[b"event"] for _, fields in client.xrange(next(iter(client.scan_iter("learning:events:*"))))}
    assert bodies == {error.event.to_json()}


def test_given_an_event_that_is_sent_again_to_postgres_then_it_is_there_once(
    fragile: Make, own_redis: EmbeddedRedis, everything_db: Database
) -> None:
    machine = fragile()
    given = event(spec=machine.spec.spec_hash(), producer=UUID(int=7), seq=3)
    own_redis.stop()

    receipts: list[Receipt] = []
    threads = [threading.Thread(target=lambda: receipts.append(machine.emit_event(given))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [receipt.via for receipt in receipts] == ["postgres"] * 4
    assert len(rows(everything_db, "SELECT id FROM learning.conversation_event")) == 1
    with pytest.raises(NotAccepted, match="the id was used for another event"):
        machine.emit_event(given.model_copy(update={"history": "full"}))


def test_given_an_event_of_the_default_spec_then_any_machine_can_send_it_and_registers_no_other_spec_for_it(
    fragile: Make, own_redis: EmbeddedRedis, everything_db: Database
) -> None:
    machine = fragile(name="support")
    own_redis.stop()

    machine.emit_event(event())

    [row] = rows(everything_db, "SELECT hash, spec::text AS spec FROM learning.machine_spec")
    assert row["hash"] == DEFAULT_SPEC.spec_hash()
    assert MachineSpec.from_json(row["spec"]) == DEFAULT_SPEC


def test_given_an_event_that_was_never_emitted_then_sending_it_redacts_it(
    fragile: Make, own_redis: EmbeddedRedis
) -> None:
    receipt = fragile().emit_event(event(messages=turn("my key is sk-abcdefghijklmnopqrstuvwx1234")))

    assert receipt.redactions == {"api key": 1}
    with redis.Redis.from_url(own_redis.url) as client:
        stream = next(iter(client.scan_iter("learning:events:*")))
        assert b"sk-abc" not in client.xrange(stream)[0][1][b"event"]


@emits
def test_given_a_server_that_speaks_another_protocol_then_the_event_goes_to_postgres(fragile: Make, emit: Emit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            for _ in range(2):
                taken, _ = listening.accept()
                with taken:
                    taken.recv(100)
                    taken.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        machine = fragile(redis_url=f"redis://127.0.0.1:{listening.getsockname()[1]}/0")

        assert emit(machine, "hi").via == "postgres"


@emits
def test_given_redis_that_was_restarted_then_the_idle_connection_is_replaced_and_no_event_falls_back(
    fragile: Make, own_redis: EmbeddedRedis, emit: Emit
) -> None:
    machine = fragile()
    emit(machine, "before")
    own_redis.stop()
    own_redis.start()

    assert emit(machine, "after").via == "stream"


async def test_given_redis_that_was_restarted_within_one_loop_then_no_event_falls_back(
    fragile: Make, own_redis: EmbeddedRedis
) -> None:
    async with fragile() as machine:
        await machine.aemit(turn("before"), user_id="alice", session_id="s1")
        await asyncio.to_thread(own_redis.stop)
        await asyncio.to_thread(own_redis.start)

        receipt = await machine.aemit(turn("after"), user_id="alice", session_id="s1")

    assert receipt.via == "stream"
