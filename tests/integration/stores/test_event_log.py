"""Accepting events: what is written together, what counts once, and what a second writer sees."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from harness import event, rows, turn
from integration.stores.steps import BOTH_AT_ONCE, PROFILE_ONLY, SHARDS, incoming, take_in
from learning_schemas.ids import uuid7
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.database import Database
from learning_stores.event_log import Incoming, Interference, accept, accept_directly
from learning_stores.specs import SpecCache
from learning_stores.unprepared import prepare, set_first_aside, take_up_again


def test_given_one_event_when_it_is_accepted_then_log_deliveries_and_mailboxes_are_there_together(
    dispatcher_db: Database, everything_db: Database
) -> None:
    told = event()
    verdicts = take_in(dispatcher_db, told)
    assert list(verdicts.values()) == ["accepted"]
    (logged,) = rows(everything_db, "SELECT * FROM learning.conversation_event")
    assert logged["id"] == told.id
    assert logged["accepted_no"] is not None
    assert logged["messages"][0]["content"] == "I work at Netflix."
    deliveries = rows(everything_db, "SELECT store, scope, state, reason FROM learning.delivery ORDER BY store")
    assert deliveries == [
        {"store": "session_context", "scope": "session/alice/s1", "state": "pending", "reason": None},
        {"store": "user_profile", "scope": "user/alice", "state": "pending", "reason": None},
    ]
    assert len(rows(everything_db, "SELECT FROM learning.mailbox")) == 2


def test_given_events_of_two_tenants_in_one_batch_when_it_is_accepted_then_each_tenant_has_its_own(
    app_db: Database, dispatcher_db: Database
) -> None:
    first, second = event(tenant="acme"), event(tenant="globex")
    take_in(dispatcher_db, first, second)
    for tenant, expected in (("acme", first), ("globex", second), ("third", None)):
        for table, column in (("conversation_event", "id"), ("delivery", "event_id")):
            with app_db.transaction(tenant) as session:
                seen = set(session.scalars(text(f"SELECT {column} FROM learning.{table}")))
            assert seen == ({expected.id} if expected else set())


def test_given_a_user_in_two_tenants_when_both_speak_in_sessions_of_one_name_then_histories_do_not_mix(
    dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(tenant="acme"), event(tenant="globex"))
    assert {
        row["shown_before"] for row in rows(everything_db, "SELECT shown_before FROM learning.conversation_event")
    } == {0}


def test_given_the_same_event_twice_in_a_batch_and_again_later_when_accepted_then_it_is_there_once(
    dispatcher_db: Database, everything_db: Database
) -> None:
    told = event()
    assert set(take_in(dispatcher_db, told, told).values()) == {"accepted"}
    assert set(take_in(dispatcher_db, told).values()) == {"duplicate"}
    assert len(rows(everything_db, "SELECT FROM learning.conversation_event")) == 1
    assert len(rows(everything_db, "SELECT FROM learning.delivery")) == 2


def test_given_an_id_used_again_with_another_body_when_accepted_then_it_is_refused_and_the_first_stays(
    dispatcher_db: Database, everything_db: Database
) -> None:
    told = event()
    take_in(dispatcher_db, told)
    verdicts = take_in(dispatcher_db, event(id=told.id, messages=turn("I work at Disney.")))
    assert set(verdicts.values()) == {"id_reused"}
    (logged,) = rows(everything_db, "SELECT messages FROM learning.conversation_event")
    assert logged["messages"][0]["content"] == "I work at Netflix."


def test_given_a_closed_subject_when_it_speaks_then_nothing_is_written(
    dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event())
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.subject SET closed_at = now()")
    assert set(take_in(dispatcher_db, event()).values()) == {"closed"}
    assert len(rows(everything_db, "SELECT FROM learning.conversation_event")) == 1


def test_given_an_event_without_user_when_accepted_then_the_profile_delivery_is_skipped_with_the_reason(
    dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(user_id=None))
    found = rows(
        everything_db, "SELECT store, state, reason, settled_at IS NOT NULL AS at FROM learning.delivery ORDER BY 1"
    )
    assert found == [
        {"store": "session_context", "state": "pending", "reason": None, "at": False},
        {"store": "user_profile", "state": "skipped", "reason": "no user_id", "at": True},
    ]


def test_given_a_batch_when_accepted_then_acceptance_numbers_are_in_its_order(
    dispatcher_db: Database, everything_db: Database
) -> None:
    told = [event(messages=turn(f"Fact number {number}.")) for number in range(50)]
    take_in(dispatcher_db, *reversed(told))
    found = rows(everything_db, "SELECT id FROM learning.conversation_event ORDER BY accepted_no")
    assert [row["id"] for row in found] == [each.id for each in reversed(told)]


def test_given_twenty_writers_of_the_same_batch_when_they_run_at_once_then_each_event_is_there_once(
    dispatcher_db: Database, everything_db: Database, place: Any
) -> None:
    batch = incoming(*(event(user_id=f"user{number % 5}", messages=turn(f"Fact {number}.")) for number in range(20)))
    barrier = threading.Barrier(20)

    def write(_: int) -> int:
        """As the dispatcher does: a batch that somebody interfered with is taken again."""
        interfered = 0
        with Database(place.dispatcher_url, pool_size=1) as database:
            barrier.wait()
            while True:
                try:
                    database.run(None, accept, batch, {}, SpecCache(), SHARDS)
                except Interference:
                    interfered += 1
                else:
                    return interfered

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(write, range(20)))
    assert len(rows(everything_db, "SELECT FROM learning.conversation_event")) == 20
    assert len(rows(everything_db, "SELECT FROM learning.delivery")) == 40
    lacking = """
        SELECT FROM learning.delivery d WHERE d.state = 'pending' AND NOT EXISTS (
            SELECT FROM learning.mailbox m WHERE m.tenant = d.tenant AND m.store = d.store AND m.scope = d.scope)"""
    assert rows(everything_db, lacking) == []


def test_given_a_spec_that_came_with_a_batch_when_its_transaction_is_rolled_back_then_the_next_try_registers_it(
    dispatcher_db: Database, everything_db: Database
) -> None:
    """A cache that kept it would leave the events with a spec that no worker can ever read."""
    cache = SpecCache()

    class Cut(Exception):
        pass

    def cut_short(session: Session, *arguments: Any) -> None:
        accept(session, *arguments)
        raise Cut

    told = event(spec=PROFILE_ONLY.spec_hash())
    carried = {("default", PROFILE_ONLY.spec_hash()): PROFILE_ONLY}
    with pytest.raises(Cut):
        dispatcher_db.run(None, cut_short, incoming(told), carried, cache, SHARDS)
    dispatcher_db.run(None, accept, incoming(told), carried, cache, SHARDS)
    assert len(rows(everything_db, "SELECT FROM learning.machine_spec")) == 1
    assert len(rows(everything_db, "SELECT FROM learning.delivery")) == 1


def test_given_a_spec_that_is_not_known_when_it_comes_later_then_prepare_makes_the_deliveries(
    dispatcher_db: Database, everything_db: Database
) -> None:
    early = event(spec=PROFILE_ONLY.spec_hash(), messages=turn("I live in Berlin."))
    cache = SpecCache()
    assert set(take_in(dispatcher_db, early, cache=cache).values()) == {"accepted"}
    assert rows(everything_db, "SELECT FROM learning.delivery") == []
    assert dispatcher_db.run(None, prepare, cache, list(range(SHARDS))) == 0
    take_in(dispatcher_db, event(), spec=PROFILE_ONLY, cache=cache)
    assert dispatcher_db.run(None, prepare, cache, list(range(SHARDS))) == 1
    assert dispatcher_db.run(None, prepare, cache, list(range(SHARDS))) == 0
    found = rows(everything_db, "SELECT event_id FROM learning.delivery WHERE event_id = :id", id=early.id)
    assert len(found) == 1


def test_given_the_fallback_when_an_event_goes_in_as_the_app_then_the_dispatcher_makes_its_deliveries_once(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    producer = uuid7()
    told = event(spec=BOTH_AT_ONCE.spec_hash(), producer=producer, seq=1)
    direct = Incoming(event=told, via="postgres", body_bytes=100)
    assert app_db.run("default", accept_directly, direct, BOTH_AT_ONCE, SpecCache(), SHARDS) == "accepted"
    assert app_db.run("default", accept_directly, direct, BOTH_AT_ONCE, SpecCache(), SHARDS) == "duplicate"
    assert rows(everything_db, "SELECT FROM learning.delivery") == []
    # Redis took it as well, and answered too late.
    assert set(take_in(dispatcher_db, told, spec=BOTH_AT_ONCE).values()) == {"duplicate"}
    shards = list(range(SHARDS))
    assert dispatcher_db.run(None, prepare, SpecCache(), shards) == 1
    assert len(rows(everything_db, "SELECT FROM learning.delivery")) == 2
    (numbered,) = rows(everything_db, "SELECT highest, received FROM learning.producer_seq")
    assert numbered == {"highest": 1, "received": 1}


def test_given_events_of_other_shards_when_prepared_then_they_are_left_to_their_reader(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    direct = Incoming(event=event(spec=PROFILE_ONLY.spec_hash()), via="postgres", body_bytes=100)
    app_db.run("default", accept_directly, direct, PROFILE_ONLY, SpecCache(), SHARDS)
    (logged,) = rows(everything_db, "SELECT shard FROM learning.conversation_event")
    others = [shard for shard in range(SHARDS) if shard != logged["shard"]]
    assert dispatcher_db.run(None, prepare, SpecCache(), others) == 0


def test_given_the_longest_ids_allowed_when_accepted_then_no_index_refuses_them(
    dispatcher_db: Database, everything_db: Database
) -> None:
    """255 characters of four bytes, which no compression shortens: an index row holds 2,704 bytes."""
    random.seed(7)

    def longest() -> str:
        return "".join(chr(random.randrange(0x20000, 0x2A6D0)) for _ in range(180))

    told = event(user_id=longest(), session_id=longest())
    assert set(take_in(dispatcher_db, told).values()) == {"accepted"}
    assert len(rows(everything_db, "SELECT FROM learning.mailbox")) == 2


def test_given_a_store_that_is_not_extracted_always_when_accepted_then_it_has_no_delivery(
    dispatcher_db: Database, everything_db: Database
) -> None:
    spec = MachineSpec(stores={"user_profile": StoreSpec(mode="AGENTIC", scope="user")})
    take_in(dispatcher_db, event(), spec=spec)
    assert rows(everything_db, "SELECT FROM learning.delivery") == []
    (logged,) = rows(everything_db, "SELECT accepted_no FROM learning.conversation_event")
    assert logged["accepted_no"] is not None


def _fallen_back(app_db: Database, *events: Any, spec: MachineSpec = PROFILE_ONLY) -> None:
    for each in events:
        told = each.model_copy(update={"spec": spec.spec_hash()})
        given = Incoming(event=told, via="postgres", body_bytes=len(told.to_json()))
        app_db.run(told.tenant, accept_directly, given, spec, SpecCache(), SHARDS)


def test_given_rows_that_cannot_be_read_when_prepared_then_they_are_set_aside_and_the_others_go_in(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    strange, unknown, good = event(tenant="acme"), event(tenant="acme"), event(tenant="globex")
    _fallen_back(app_db, strange, unknown, good)
    with everything_db.engine.begin() as connection:
        connection.execute(
            text('UPDATE learning.conversation_event SET messages = \'[{"role": "narrator"}]\' WHERE id = :id'),
            {"id": strange.id},
        )
        connection.execute(
            text("INSERT INTO learning.machine_spec (tenant, hash, spec) VALUES ('acme', :hash, '{\"v\": 2}')"),
            {"hash": "b" * 64},
        )
        connection.execute(
            text("UPDATE learning.conversation_event SET spec_hash = :hash WHERE id = :id"),
            {"hash": "b" * 64, "id": unknown.id},
        )

    dispatcher_db.run(None, prepare, SpecCache(), range(SHARDS))

    found = rows(
        everything_db, "SELECT id, accepted_no IS NOT NULL AS prepared, set_aside FROM learning.conversation_event"
    )
    by_id = {row["id"]: (row["prepared"], row["set_aside"]) for row in found}
    assert by_id == {
        strange.id: (False, "the event cannot be read by this version"),
        unknown.id: (False, "its spec cannot be read by this version"),
        good.id: (True, None),
    }
    assert dispatcher_db.run(None, prepare, SpecCache(), range(SHARDS)) == 0
    dispatcher_db.run(None, take_up_again, range(SHARDS))
    assert dispatcher_db.run(None, prepare, SpecCache(), range(SHARDS)) == 2


def test_given_a_spec_that_is_not_what_its_hash_says_when_loaded_then_it_is_not_known(
    app_db: Database, everything_db: Database
) -> None:
    with everything_db.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO learning.machine_spec (tenant, hash, spec) VALUES ('acme', :hash, cast(:spec AS json))"),
            {"hash": "c" * 64, "spec": PROFILE_ONLY.to_json().decode()},
        )

    assert app_db.run("acme", SpecCache().load, [("acme", "c" * 64)]) == {}


def test_given_an_event_that_postgres_refuses_when_it_is_first_then_it_can_be_set_aside(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    first, second = event(), event(session_id="s2")
    _fallen_back(app_db, first, second)

    dispatcher_db.run(None, set_first_aside, range(SHARDS), "the database refuses it")
    dispatcher_db.run(None, prepare, SpecCache(), range(SHARDS))

    found = rows(everything_db, "SELECT id, set_aside FROM learning.conversation_event ORDER BY id")
    assert found == [{"id": first.id, "set_aside": "the database refuses it"}, {"id": second.id, "set_aside": None}]
    assert [row["event_id"] for row in rows(everything_db, "SELECT event_id FROM learning.delivery")] == [second.id]


def test_given_a_spec_with_a_large_number_when_it_is_read_back_then_it_is_still_what_its_hash_says(
    app_db: Database, dispatcher_db: Database
) -> None:
    schema = {"type": "object", "properties": {"score": {"type": "number", "maximum": 1e20}}}
    large = MachineSpec(stores={"user_profile": StoreSpec(scope="user", user_schema=schema)})
    take_in(dispatcher_db, event(), spec=large)

    key = ("default", large.spec_hash())
    assert app_db.run("default", SpecCache().load, [key]) == {key: large}
