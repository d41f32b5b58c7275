"""Emit against a real Redis: what is in the stream, in which number, from threads, forks and loops."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis

from forking import in_child
from harness import Place, turn
from learning_machine import ConversationCompleted, InvalidEvent, Receipt
from learning_machine.numbering import numbering_for
from learning_machine.streams import ASYNC_CONNECTIONS
from learning_schemas.scope import shard_of, stream_name
from learning_schemas.spec import MachineSpec

Sent = Callable[[str], list[dict[bytes, bytes]]]


def events(found: list[dict[bytes, bytes]]) -> list[ConversationCompleted]:
    return [ConversationCompleted.from_json(fields[b"event"]) for fields in found]


def test_given_a_turn_then_its_event_is_in_its_shard_and_the_receipt_says_so(place: Place, sent: Sent) -> None:
    with place.machine() as machine:
        receipt = machine.emit(turn("I'm Alice"), user_id="alice", session_id="s1", agent_id="a", metadata={"k": [1]})

        with redis.Redis.from_url(place.redis_url) as client:
            assert client.xlen(stream_name(shard_of("default", "user/alice"))) == 1
        [event] = events(sent(place.redis_url))
        assert receipt == Receipt(
            event_id=event.id, tenant="default", user_id="alice", session_id="s1", via="stream",
            producer=numbering_for(place.redis_url).producer, seq=event.seq or 0, redactions={},
        )  # fmt: skip
        assert event.producer == numbering_for(place.redis_url).producer
        assert event.spec == machine.spec.spec_hash()
        assert event.metadata == {"k": [1]}
        assert [message.content for message in event.messages] == ["I'm Alice", "Noted."]


def test_given_a_spec_that_intake_does_not_know_then_it_rides_along_until_it_does(place: Place, sent: Sent) -> None:
    with place.machine(name="support") as machine, redis.Redis.from_url(place.redis_url) as client:
        for _ in range(2):
            machine.emit(turn("hi"), user_id="alice", session_id="s1")
        client.sadd("learning:specs", f"default/{machine.spec.spec_hash()}")
        for _ in range(2):
            machine.emit(turn("hi"), user_id="alice", session_id="s1")
        machine.for_tenant("acme").emit(turn("hi"), user_id="alice", session_id="s1")

        carried: dict[str, list[bool]] = {}
        for fields in sent(place.redis_url):
            event = ConversationCompleted.from_json(fields[b"event"])
            carried.setdefault(event.tenant, []).append(b"spec" in fields)
            if b"spec" in fields:
                assert MachineSpec.from_json(fields[b"spec"]) == machine.spec
        # The third learns that it is known, the fourth relies on it; another tenant's is registered for itself.
        assert carried == {"default": [True, True, True, False], "acme": [True]}


def test_given_eight_threads_and_two_machines_then_numbers_have_no_gap_and_every_event_is_in_the_stream(
    place: Place, sent: Sent
) -> None:
    machines = [place.machine(), place.machine(user_profile=True)]
    receipts: list[Receipt] = []

    def emit(number: int) -> None:
        for count in range(50):
            machine = machines[count % 2]
            receipts.append(machine.emit(turn(f"{number}/{count}"), user_id=f"u{number}", session_id="s1"))

    threads = [threading.Thread(target=emit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for machine in machines:
        machine.close()

    numbers = sorted(receipt.seq for receipt in receipts)
    assert {receipt.via for receipt in receipts} == {"stream"}
    assert {receipt.producer for receipt in receipts} == {numbering_for(place.redis_url).producer}
    assert numbers == list(range(numbers[0], numbers[0] + 400))
    found = events(sent(place.redis_url))
    assert sorted(event.seq or 0 for event in found) == numbers
    for number in range(8):
        mine = [event.messages[0].content for event in found if event.user_id == f"u{number}"]
        assert mine == [f"{number}/{count}" for count in range(50)]


def test_given_a_fork_then_the_child_is_another_producer_and_both_go_on(place: Place, sent: Sent) -> None:
    with place.machine() as machine:
        before = machine.emit(turn("before"), user_id="alice", session_id="s1")

        def emit() -> tuple[str, int, str]:
            receipt = machine.emit(turn("in the child"), user_id="alice", session_id="s1")
            machine.close()
            return str(receipt.producer), receipt.seq, receipt.via

        producer, seq, via = eval(in_child(emit))  # a tuple of our own words
        after = machine.emit(turn("after"), user_id="alice", session_id="s1")

        assert (seq, via) == (1, "stream")
        assert producer != str(before.producer)
        assert (after.producer, after.seq, after.via) == (before.producer, before.seq + 1, "stream")
        assert [event.messages[0].content for event in events(sent(place.redis_url))] == [
            "before",
            "in the child",
            "after",
        ]


def test_given_an_event_that_is_refused_then_it_takes_no_number(place: Place, sent: Sent) -> None:
    with place.machine() as machine:
        first = machine.emit(turn("hi"), user_id="alice", session_id="s1")
        refused: list[Any] = [[], [{"role": "x"}], turn("x" * 1_100_000), turn("a\x00")]
        for messages in refused:
            with pytest.raises(InvalidEvent):
                machine.emit(messages, user_id="alice", session_id="s1")

        assert machine.emit(turn("hi"), user_id="alice", session_id="s1").seq == first.seq + 1
        assert len(sent(place.redis_url)) == 2


def test_given_an_event_just_within_the_limit_then_it_is_taken(place: Place, sent: Sent) -> None:
    with place.machine() as machine:
        machine.emit([{"role": "user", "content": "x" * 1_048_000}], user_id="alice", session_id="s1")

    [fields] = sent(place.redis_url)
    assert 1_048_000 < len(fields[b"event"]) <= 1_048_576 + 100


def test_given_a_machine_that_was_closed_then_it_connects_anew(place: Place, sent: Sent) -> None:
    machine = place.machine()
    machine.emit(turn("one"), user_id="alice", session_id="s1")
    machine.close()
    machine.close()

    assert machine.emit(turn("two"), user_id="alice", session_id="s1").via == "stream"

    machine.close()
    assert len(sent(place.redis_url)) == 2


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> float:
    """A budget (seconds) that leaves Redis its time on a busy machine too: what is tested is not how fast it is."""
    for module in ("emitter", "streams"):
        monkeypatch.setattr(f"learning_machine.{module}.SOCKET_SECONDS", 10)
    return 20


async def test_given_fifty_emits_at_once_in_one_loop_then_all_are_in_the_stream(
    place: Place, sent: Sent, patient: float
) -> None:
    async with place.machine(emit_deadline=patient) as machine:
        receipts = await asyncio.gather(
            *(machine.aemit(turn(str(number)), user_id="alice", session_id="s1") for number in range(50))
        )

    assert {receipt.via for receipt in receipts} == {"stream"}
    numbers = sorted(receipt.seq for receipt in receipts)
    assert numbers == list(range(numbers[0], numbers[0] + 50))
    assert {event.messages[0].content for event in events(sent(place.redis_url))} == {str(n) for n in range(50)}


async def test_given_more_emits_at_once_than_there_are_connections_then_they_take_turns(
    place: Place, sent: Sent, patient: float
) -> None:
    many = ASYNC_CONNECTIONS + 36
    async with place.machine(emit_deadline=patient) as machine:
        receipts = await asyncio.gather(
            *(machine.aemit(turn("hi"), user_id=f"u{number}", session_id="s1") for number in range(many))
        )

    assert {receipt.via for receipt in receipts} == {"stream"}
    assert len(sent(place.redis_url)) == many


def test_given_one_loop_after_another_then_each_has_its_connections_and_leaves_none(place: Place, sent: Sent) -> None:
    machine = place.machine()

    async def use(number: int) -> None:
        await asyncio.gather(*(machine.aemit(turn(str(number)), user_id="alice", session_id="s1") for _ in range(3)))
        await machine.arecall(user_id="alice")

    with redis.Redis.from_url(place.redis_url) as client:
        before = client.info("clients")["connected_clients"]
        for number in range(4):
            asyncio.run(use(number))
        machine.emit(turn("and without a loop"), user_id="alice", session_id="s1")
        machine.close()

        assert len(sent(place.redis_url)) == 13
        assert client.info("clients")["connected_clients"] <= before


async def test_given_an_emit_that_is_cancelled_then_the_next_one_gets_its_own_answer(place: Place, sent: Sent) -> None:
    async with place.machine() as machine:
        for _ in range(20):
            task = asyncio.create_task(machine.aemit(turn("cancelled"), user_id="alice", session_id="s1"))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            receipt = await machine.aemit(turn("kept"), user_id="alice", session_id="s1")
            assert receipt.via == "stream"

    kept = [event for event in events(sent(place.redis_url)) if event.messages[0].content == "kept"]
    assert len(kept) == 20
