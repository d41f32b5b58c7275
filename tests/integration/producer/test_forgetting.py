"""Forgetting through a machine: what is still on its way into the database goes too, and what cannot be reached is said."""

from pathlib import Path

import pytest
import redis

from harness import Place, event, rows, turn
from integration.stores.steps import take_in
from learning_machine import EventForgotten, InvalidArgument, LearningMachine, MemoryUnavailable, SettleTimeout
from learning_machine.spool import Spool, destination_name
from learning_schemas.scope import DEFAULT_SHARDS, stream_name
from learning_schemas.spec import DEFAULT_SPEC
from learning_stores.database import Database, driver_url
from learning_workers.intake import GROUP


def _bodies(place: Place) -> bytes:
    with redis.Redis.from_url(place.redis_url) as client:
        streams = [client.xrange(stream_name(shard)) for shard in range(DEFAULT_SHARDS)]
    return b"".join(fields[b"event"] for entries in streams for _, fields in entries if b"event" in fields)


def test_given_events_in_the_stream_when_their_user_is_forgotten_then_they_leave_it_counted_as_refused(
    place: Place, everything_db: Database
) -> None:
    with place.machine() as machine:
        for number in range(250):
            last = machine.emit(turn(f"zorblax {number}"), user_id="gonzalo", session_id="s1")
        machine.emit(turn("Oslo"), user_id="kim", session_id="s1")
        with redis.Redis.from_url(place.redis_url) as client:
            for shard in range(DEFAULT_SHARDS):  # one that a dispatcher has read
                client.xgroup_create(stream_name(shard), GROUP, id="0", mkstream=True)
                client.xreadgroup(GROUP, "someone", {stream_name(shard): ">"}, count=1)

        receipt = machine.forget(user_id="gonzalo")

        assert receipt.counts == {"stream": 250}
        assert b"zorblax" not in _bodies(place)
        assert b"Oslo" in _bodies(place)
        assert machine.recall(user_id="gonzalo", session_id="s1").unprocessed == ()
        assert machine.forget(user_id="gonzalo").counts == {}
    [counted] = rows(everything_db, "SELECT highest, received, refused FROM learning.producer_seq")
    # The process counts over all that it sends to this Redis, whichever test did.
    assert counted == {"highest": last.seq, "received": 0, "refused": 250}
    kept = rows(everything_db, "SELECT count(*) AS n, sum(body_bytes) AS bytes FROM learning.rejected_event")
    assert kept == [{"n": 250, "bytes": 0}]


def test_given_one_session_or_one_event_in_the_stream_when_it_is_forgotten_then_the_others_stay(place: Place) -> None:
    with place.machine() as machine:
        machine.emit(turn("zorblax"), user_id="gonzalo", session_id="s1")
        machine.emit(turn("Oslo"), user_id="gonzalo", session_id="s2")
        machine.forget(user_id="gonzalo", session_id="s1")
    assert b"zorblax" not in _bodies(place)
    assert b"Oslo" in _bodies(place)


def test_given_a_spool_on_this_host_when_its_user_is_forgotten_then_their_words_leave_it(
    place: Place, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    said = event(user_id="gonzalo", messages=turn("I like zorblax"))
    other = event(user_id="kim", messages=turn("I like Oslo"))
    spool = Spool(tmp_path, destination_name(driver_url(place.app_url)))
    for each in (said, other):
        spool.append(("default", f"user/{each.user_id}"), each.to_json(), DEFAULT_SPEC.to_json(), 1_000_000)
    try:
        with place.machine(spool_dir=tmp_path) as machine:
            receipt = machine.forget(user_id="gonzalo")
    finally:
        spool.release()
    kept = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert receipt.counts["spool"] == 1
    assert b"zorblax" not in kept
    assert b"Oslo" in kept


def test_given_no_redis_then_everything_else_is_forgotten_and_the_receipt_says_so(place: Place) -> None:
    with LearningMachine(database_url=place.app_url, redis_url="redis://:secret@127.0.0.1:1/0") as machine:
        machine.add("Likes zorblax", user_id="gonzalo", by="support")
        receipt = machine.forget(user_id="gonzalo")
        assert machine.learnings(user_id="gonzalo") == ()
    assert receipt.counts["learning"] == 1
    [stream, spool, *_] = receipt.beyond_reach
    assert stream.startswith("the stream of events (")
    assert "secret" not in stream
    assert spool.startswith("the spool of this host: no directory")


async def test_given_asyncio_when_somebody_is_forgotten_then_it_is_the_same(place: Place) -> None:
    async with place.machine() as machine:
        await machine.aadd("Likes zorblax", user_id="gonzalo", by="support")
        receipt = await machine.aforget(user_id="gonzalo", close=True, by="dpo")
        assert receipt.counts["learning"] == 1
        assert await machine.areopen("gonzalo")
        assert await machine.alearnings(user_id="gonzalo") == ()


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ({}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"event_id": "x"}, "event_id"),
        ({"event_id": "0198c0de-1111-7222-8333-444455556666", "user_id": "a"}, "event_id"),
        ({"event_id": "0198c0de-1111-7222-8333-444455556666", "close": True}, "close"),
        ({"user_id": "a", "close": 1}, "close"),
        ({"user_id": "a", "by": " "}, "by"),
        ({"event_id": "0198c0de-1111-7222-8333-444455556666"}, "event_id"),
    ],
)
def test_given_a_call_that_does_not_say_what_is_meant_then_the_argument_is_named(
    place: Place, given: dict[str, object], argument: str
) -> None:
    with place.machine() as machine, pytest.raises(InvalidArgument) as refused:
        machine.forget(**given)  # type: ignore[arg-type]  # on purpose
    assert refused.value.argument == argument


def test_given_no_postgres_then_it_is_said_that_nothing_was_forgotten() -> None:
    machine = LearningMachine(database_url="postgresql://nobody@127.0.0.1:1/none", redis_url="redis://127.0.0.1:1/0")
    with pytest.raises(MemoryUnavailable):
        machine.forget(user_id="gonzalo")


@pytest.mark.parametrize("taken_in", [False, True])
@pytest.mark.parametrize("whole", [{"user_id": "gonzalo"}, {"user_id": "gonzalo", "session_id": "s1"}])
async def test_given_an_event_whose_user_or_session_was_forgotten_when_settled_then_it_is_said_at_once(
    place: Place, dispatcher_db: Database, whole: dict[str, str], taken_in: bool
) -> None:
    with place.machine() as machine:
        gone = machine.emit(turn("zorblax"), user_id="gonzalo", session_id="s1")
        other = machine.emit(turn("Oslo"), user_id="kim", session_id="s1")
        if taken_in:
            take_in(dispatcher_db, event(id=gone.event_id, user_id="gonzalo", session_id="s1"))
        with pytest.raises(SettleTimeout) as before:
            machine.settle(gone, timeout=0)
        assert not isinstance(before.value, EventForgotten)
        machine.forget(**whole)
        with pytest.raises(EventForgotten, match=f"{gone.event_id} was forgotten") as told:
            machine.settle(gone, timeout=3_600)
        assert told.value.states == {}
        with pytest.raises(EventForgotten):
            await machine.asettle(gone, timeout=3_600)
        with pytest.raises(SettleTimeout, match="no delivery has appeared yet"):
            machine.settle(other, timeout=0)
        await machine.aclose()
