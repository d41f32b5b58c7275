"""Dispatchers: killed, told to end, started before their servers, and given entries that nobody can read."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.engine import make_url

from harness import event, eventually, turn
from learning_machine import UserProfileConfig
from learning_schemas.ids import uuid7
from learning_schemas.scope import DEFAULT_SHARDS, shard_of, stream_name, subject_of
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.shards import LEASE_SECONDS
from tcp_proxy import TcpProxy

# The real dispatcher, which is killed at the moment after the commit and before the acknowledgement.
KILLED_BEFORE_ACK = """
import os, signal
from learning_workers import dispatcher, intake
intake.Intake._acknowledge = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
dispatcher.main()
"""

STREAMS = [stream_name(shard) for shard in range(DEFAULT_SHARDS)]


def left_in_streams(system: Any) -> tuple[int, int]:
    """Entries in the streams, and those of them that are read and not acknowledged."""
    there = [stream for stream in STREAMS if system.redis.exists(stream)]
    pending = sum(group["pending"] for stream in there for group in system.redis.xinfo_groups(stream))
    return sum(system.redis.xlen(stream) for stream in there), pending


def events(system: Any) -> int:
    return int(system.rows("SELECT count(*) FROM learning.conversation_event")[0]["count"])


def test_given_a_dispatcher_killed_between_insert_and_ack_when_another_takes_over_then_there_is_one_event_row(
    own_system: Any,
) -> None:
    system = own_system
    with system.place.machine() as machine:
        first = system.processes.start("killed", ["-c", KILLED_BEFORE_ACK])
        receipt = machine.emit(turn("I work at Netflix."), user_id="alice", session_id="s1")
        first.wait(30)
        assert first.ending == "killed by SIGKILL"
        assert events(system) == 1
        assert left_in_streams(system) == (1, 1)

        second = system.processes.dispatcher()
        eventually(lambda: left_in_streams(system) == (0, 0), "the entry is acknowledged", timeout=LEASE_SECONDS + 60)

    assert second.alive
    [row] = system.rows("SELECT * FROM learning.conversation_event")
    assert row["id"] == receipt.event_id
    deliveries = system.rows("SELECT store FROM learning.delivery ORDER BY store")
    assert [delivery["store"] for delivery in deliveries] == ["session_context", "user_profile"]
    assert system.rows("SELECT * FROM learning.rejected_event") == []
    assert system.rows("SELECT received FROM learning.producer_seq") == [{"received": 1}]  # counted once
    stream = stream_name(shard_of("default", subject_of("alice", "s1")))
    assert len(system.redis.xinfo_consumers(stream, "learning")) == 1  # the dead one's is gone, once nothing is on it


def test_given_a_dispatcher_told_to_end_when_another_waits_then_it_has_the_shards_at_once(own_system: Any) -> None:
    system = own_system
    held = "SELECT DISTINCT owner FROM learning.shard_lease WHERE owner IS NOT NULL"
    first = system.processes.dispatcher()
    eventually(lambda: len(system.rows("SELECT FROM learning.shard_lease WHERE owner IS NOT NULL")) == 8, "all shards")
    [owner] = system.rows(held)
    second = system.processes.dispatcher()
    eventually(lambda: len(system.rows("SELECT FROM learning.dispatcher")) == 2, "both are there")

    first.stop()

    assert first.returncode == 0
    assert owner not in system.rows(held)  # it gave them back: nobody has to wait until they run out
    with system.place.machine() as machine:
        machine.emit(turn("I work at Netflix."), user_id="alice", session_id="s1")
        eventually(lambda: events(system) == 1, "the other takes the event in")
    [new] = system.rows(held)
    assert new != owner
    assert [row["owner"] for row in system.rows("SELECT owner FROM learning.dispatcher")] == [new["owner"]]
    second.stop()
    assert second.returncode == 0
    assert system.rows(held) == []


def test_given_redis_and_postgres_are_down_when_a_dispatcher_starts_then_it_waits_and_works_when_they_come_and_come_back(
    own_system: Any,
) -> None:
    system = own_system
    redis_url, postgres_url = make_url(system.place.redis_url), make_url(system.place.dispatcher_url)
    redis_way = TcpProxy("127.0.0.1", redis_url.port or 0)
    postgres_way = TcpProxy("127.0.0.1", postgres_url.port or 0)
    dispatcher = system.processes.dispatcher(
        env={
            "LEARNING_REDIS_URL": redis_url.set(port=redis_way.port).render_as_string(hide_password=False),
            "LEARNING_DISPATCHER_DATABASE_URL": postgres_url.set(port=postgres_way.port).render_as_string(
                hide_password=False
            ),
        }
    )
    try:
        with system.place.machine() as machine:
            machine.emit(turn("I work at Netflix."), user_id="alice", session_id="s1")
            waiting = "waiting for a server"
            eventually(lambda: waiting in dispatcher.log_path.read_text(), "it waits for Postgres")
            postgres_way.open()
            eventually(lambda: "shards taken" in dispatcher.log_path.read_text(), "Postgres is there")
            eventually(lambda: "ConnectionError" in dispatcher.log_path.read_text(), "it waits for Redis")
            redis_way.open()
            eventually(lambda: events(system) == 1, "the event is taken in")

            redis_way.cut()
            machine.emit(turn("I live in Berlin."), user_id="alice", session_id="s1", history="delta")
            redis_way.open()
            eventually(lambda: events(system) == 2, "Redis is back")

            postgres_way.cut()
            machine.emit(turn("I love tea."), user_id="alice", session_id="s1", history="delta")
            postgres_way.open()
            eventually(lambda: events(system) == 3, "Postgres is back")
            eventually(lambda: left_in_streams(system) == (0, 0), "everything is acknowledged")
        assert dispatcher.alive
        dispatcher.stop()
        assert dispatcher.returncode == 0
    finally:
        dispatcher.stop()
        redis_way.cut()
        postgres_way.cut()


def id_made(moment: datetime) -> UUID:
    """An event's id that was made at another time."""
    return UUID(int=uuid7().int & (1 << 80) - 1 | int(moment.timestamp() * 1000) << 80)


def test_given_a_batch_of_200_with_entries_at_fault_when_taken_in_then_they_are_rejected_with_reasons_and_the_rest_is_in(
    own_system: Any,
) -> None:
    system = own_system
    shard = shard_of("default", subject_of("alice", "s1"))
    stream, other = stream_name(shard), stream_name((shard + 1) % DEFAULT_SHARDS)

    def wire(**values: Any) -> dict[str, Any]:
        made = event(messages=turn(f"I love number {uuid7().int}.")).to_json()
        return {**json.loads(made), "history": "delta", **values}

    spec = MachineSpec(stores={"user_profile": StoreSpec(scope="user")})
    reused, twice = wire(), wire()
    faults: list[tuple[str, str, dict[str, Any]]] = [
        ("event", "invalid JSON", {"event": "{not json"}),
        ("event", "no field of that name", {"body": "{}"}),
        ("event", "over the limit", {"event": json.dumps(wire(metadata={"long": "x" * 1_100_000}))}),
        ("colour", "Remove it", {"event": json.dumps(wire(colour="red"))}),
        (
            "messages[0].role",
            "Use one of",
            {"event": json.dumps(wire(messages=[{"role": "pirate", "content": "Arr"}]))},
        ),
        ("id", "before what is kept", {"event": json.dumps(wire(id=str(id_made(datetime(2019, 1, 1, tzinfo=UTC)))))}),
        (
            "id",
            "which is to come",
            {"event": json.dumps(wire(id=str(id_made(datetime.now(UTC) + timedelta(hours=1)))))},
        ),
        (
            "id",
            "after the year 9999",
            {"event": json.dumps(wire(id=str(UUID(int=uuid7().int | ((1 << 48) - 1) << 80))))},
        ),
        ("id", "used before", {"event": json.dumps({**reused, "messages": turn("Something else.")})}),
        ("user_id", "neither", {"event": json.dumps({k: v for k, v in wire().items() if not k.endswith("_id")})}),
        (
            "spec",
            "hash",
            {"event": json.dumps(wire(spec=spec.spec_hash())), "spec": json.dumps({"v": 1, "stores": {}})},
        ),
        ("spec", "cannot be read", {"event": json.dumps(wire(spec="0" * 64)), "spec": "[]"}),
        ("event", "the database refuses it", {"event": json.dumps(wire(metadata={"refuse": "me"}))}),
    ]
    valid = [wire() for _ in range(200 - len(faults) - 3)] + [reused, twice, twice]
    entries = [{"event": json.dumps(each)} for each in valid]
    for number, (_, _, fields) in enumerate(faults):
        entries.insert(13 * number + 7, fields)
    # After the first use of its id, and in the same batch with it.
    again = faults[8][2]
    entries.remove(again)
    entries.append(again)
    assert len(entries) == 200
    system.change("ALTER TABLE learning.conversation_event ADD CHECK (NOT metadata ? 'refuse')")
    for fields in entries:
        system.redis.xadd(stream, fields)
    system.redis.xadd(other, {"event": json.dumps(wire())})

    system.processes.dispatcher()
    eventually(lambda: events(system) and left_in_streams(system) == (0, 0), "everything is acknowledged")

    expected = [each["id"] for each in valid[:-1]]
    taken = system.rows("SELECT id, accepted_no FROM learning.conversation_event ORDER BY accepted_no")
    assert [str(row["id"]) for row in taken] == expected
    deliveries = system.rows("SELECT event_id, count(*) FROM learning.delivery GROUP BY 1")
    assert {row["count"] for row in deliveries} == {2}
    assert len(deliveries) == len(expected)
    rejected = system.rows("SELECT * FROM learning.rejected_event")
    assert len(rejected) == len(faults) + 1
    for field, reason, fields in [*faults, ("event", f"belongs into {stream}", {})]:
        found = [row for row in rejected if row["field"] == field and reason in row["reason"]]
        assert len(found) == 1, (field, reason, [(row["field"], row["reason"]) for row in rejected])
        if "event" in fields:
            assert bytes(found[0]["body"]) == fields["event"].encode()[:1_048_576]
            assert found[0]["body_bytes"] == len(fields["event"].encode())
    assert {row["stream"] for row in rejected} == {stream, other}


def test_given_a_spec_that_nobody_registered_when_its_event_comes_then_it_waits_visibly_and_goes_on_once_it_is_known(
    own_system: Any,
) -> None:
    system = own_system
    spec = MachineSpec(name="late", stores={"user_profile": StoreSpec(scope="user", debounce=0)})
    body = event(spec=spec.spec_hash()).to_json()
    system.redis.xadd(stream_name(shard_of("default", subject_of("alice", "s1"))), {"event": body})
    system.processes.dispatcher()
    eventually(lambda: events(system) == 1, "the event is in the log")
    assert system.rows("SELECT accepted_no FROM learning.conversation_event") == [{"accepted_no": None}]
    assert system.rows("SELECT FROM learning.delivery") == []

    with system.place.machine(
        name="late", user_profile=UserProfileConfig(debounce=0), session_context=False
    ) as machine:
        assert machine.spec.spec_hash() == spec.spec_hash()
        machine.emit(turn("I live in Berlin."), user_id="bob", session_id="s1")
        eventually(lambda: len(system.rows("SELECT FROM learning.delivery")) == 2, "both have their delivery")
