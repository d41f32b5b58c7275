"""The ledger: numbers, events and deliveries add up, and what does not is named."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from harness import event, rows
from integration.stores.steps import (
    BOTH_AT_ONCE,
    PROFILE_ONLY,
    SHARDS,
    claim,
    field,
    mailbox_id,
    take_in,
    window_of,
    work,
)
from learning_schemas.closing import ProducerClosed
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import uuid7
from learning_schemas.spec import DEFAULT_SPEC, MachineSpec, StoreSpec
from learning_stores import mailbox
from learning_stores.database import Database
from learning_stores.event_log import Incoming, Verdict, accept_directly
from learning_stores.forgetting import forget
from learning_stores.forgetting_target import Target
from learning_stores.gaps import sample
from learning_stores.ledger import Ledger, ledger
from learning_stores.producers import report_last, report_last_directly
from learning_stores.reconcile import last_findings, reconcile
from learning_stores.rejected import Rejection, reject
from learning_stores.specs import SpecCache
from learning_stores.unprepared import prepare


@pytest.fixture
def add_up(dispatcher_db: Database) -> "AddUp":
    """The ledger as the command reads it."""
    return AddUp(dispatcher_db)


class AddUp:
    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, tenant: str | None = None) -> Ledger:
        with self._database.snapshot() as session:
            found = ledger(session, tenant)
        made, seen, numbers = found.deliveries, found.events, found.numbers
        parts = (made.settled, made.pending, made.dead, made.removed)
        assert made.accepted == sum(sum(part.values()) for part in parts)
        assert made.settled.get("skipped", 0) == sum(made.skipped.values())
        assert seen.accepted == seen.in_log + sum(seen.removed.values())
        assert seen.in_log == seen.prepared + sum(seen.not_prepared.values())
        if numbers is not None:
            arrived = numbers.received + numbers.waiting + numbers.refused
            assert numbers.numbered + numbers.twice == arrived + numbers.missing + numbers.on_their_way
        return found


def numbered(producer: UUID, seq: int, **values: object) -> ConversationCompleted:
    """An event with a number."""
    return event(producer=producer, seq=seq, **values)


def directly(app_db: Database, told: ConversationCompleted) -> Verdict:
    """As emit's fallback hands it in."""
    incoming = Incoming(event=told, via="postgres", body_bytes=len(told.to_json()))
    return app_db.run(told.tenant, accept_directly, incoming, DEFAULT_SPEC, SpecCache(), SHARDS)


def refused_in_stream(told: ConversationCompleted, entry_id: str) -> Rejection:
    """As intake refuses what a stream holds."""
    return Rejection(
        stream="learning:events:0",
        entry_id=entry_id,
        tenant=told.tenant,
        event_id=str(told.id),
        field="user_id",
        reason="user_id: closed",
        body=b"",
        producer=told.producer,
        seq=told.seq,
    )


def change(everything_db: Database, statement: str) -> None:
    """Do to the tables what no code of ours does."""
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(statement)


def silent_for_two_minutes(everything_db: Database) -> None:
    change(everything_db, "UPDATE learning.producer_seq SET last_seen = now() - interval '2 minutes'")


def names(found: Ledger) -> dict[str, int]:
    return {each.name: each.count for each in found.findings}


def test_given_events_in_every_state_when_added_up_then_each_has_its_place_and_nothing_is_found(
    app_db: Database, dispatcher_db: Database, everything_db: Database, add_up: AddUp
) -> None:
    producer = uuid7()
    slow = MachineSpec(stores={"user_profile": StoreSpec(scope="user", debounce=100, max_wait=100)})
    take_in(dispatcher_db, numbered(producer, 1), numbered(producer, 2, user_id=None), spec=BOTH_AT_ONCE)
    take_in(dispatcher_db, numbered(producer, 3, tenant="slow"), spec=slow)
    take_in(dispatcher_db, numbered(producer, 4, tenant="paused"), event(tenant="dead"), spec=PROFILE_ONLY)
    take_in(dispatcher_db, numbered(producer, 5, tenant="stranger", spec="c" * 64))
    directly(app_db, numbered(producer, 6, tenant="late"))
    held = claim(app_db, mailbox_id(everything_db))
    window = window_of(app_db, held)
    work(app_db, held, field(window, "name", "Alex"), window=window)
    paused = claim(app_db, mailbox_id(everything_db, tenant="paused"), "paused")
    app_db.run("paused", mailbox.wait, paused, "provider", "429 of the provider", 60.0, 1)
    change(
        everything_db,
        "UPDATE learning.delivery SET state = 'dead', reason = 'crashes', settled_at = now() WHERE tenant = 'dead'; "
        "DELETE FROM learning.mailbox WHERE tenant = 'dead'",
    )

    found = add_up()

    assert found.adds_up, found.findings
    assert found.numbers is not None
    assert (found.numbers.numbered, found.numbers.received, found.numbers.waiting) == (6, 5, 1)
    assert (found.events.accepted, found.events.with_number, found.events.prepared) == (7, 6, 5)
    assert found.events.not_prepared == {"waiting for spec": 1, "not prepared yet": 1}
    assert found.deliveries.settled == {"extracted": 1, "skipped": 1}
    assert found.deliveries.skipped == {"no user_id": 1}
    assert found.deliveries.pending == {"due": 2, "debounce": 1, "provider": 1}
    assert found.deliveries.dead == {"crashes": 1}

    own = add_up("slow")
    assert (own.numbers, own.events.accepted, own.deliveries.pending) == (None, 1, {"debounce": 1})
    assert add_up("nobody").events.accepted == 0


def test_given_numbers_that_never_arrived_when_a_minute_has_passed_then_the_producer_is_named_with_them(
    dispatcher_db: Database, everything_db: Database, add_up: AddUp
) -> None:
    producer, whole = uuid7(), uuid7()
    take_in(dispatcher_db, numbered(producer, 2), numbered(producer, 6, session_id="s2"), numbered(whole, 1))
    dispatcher_db.run(None, reject, [refused_in_stream(numbered(producer, 4), "1-0")])
    dispatcher_db.run(None, report_last, [ProducerClosed(producer=producer, last=9)])
    young = add_up()
    assert young.adds_up
    assert young.numbers is not None
    assert young.numbers.on_their_way == 6

    silent_for_two_minutes(everything_db)
    found = add_up()

    assert names(found) == {"numbers_missing": 6}
    assert found.findings[0].ids == (str(producer),)
    (gap,) = found.gaps
    assert (gap.producer, gap.missing, gap.numbered, gap.refused, gap.closed) == (producer, 6, 9, 1, True)
    assert gap.numbers == ((1, 1), (3, 3), (5, 5), (7, 9))


def test_given_a_producer_that_goes_on_when_a_number_is_lost_then_it_is_missed_by_the_next_minute_and_no_number_on_its_way(
    dispatcher_db: Database, everything_db: Database, add_up: AddUp
) -> None:
    producer = uuid7()
    minute_later = "UPDATE learning.producer_seq SET sampled_at = sampled_at - interval '1 minute'"
    take_in(dispatcher_db, numbered(producer, 1), numbered(producer, 4))  # 2 is lost, 3 is on its way
    dispatcher_db.run(None, sample)
    change(everything_db, minute_later)
    take_in(dispatcher_db, numbered(producer, 3), numbered(producer, 5), numbered(producer, 7))  # 6 is on its way
    assert names(add_up()) == {"numbers_missing": 1}
    dispatcher_db.run(None, sample)
    take_in(dispatcher_db, numbered(producer, 8))
    assert names(add_up()) == {"numbers_missing": 1}
    take_in(dispatcher_db, numbered(producer, 2), numbered(producer, 6))  # both came late, from a spool
    assert add_up().adds_up
    dispatcher_db.run(None, sample)
    assert rows(everything_db, "SELECT sampled, missing, missing_since FROM learning.producer_seq") == [
        {"sampled": None, "missing": 0, "missing_since": None}
    ]


def test_given_a_closed_user_when_events_are_refused_by_every_way_again_and_again_then_each_number_is_counted_once(
    app_db: Database, dispatcher_db: Database, everything_db: Database, add_up: AddUp
) -> None:
    producer = uuid7()
    take_in(dispatcher_db, numbered(producer, 1))
    change(everything_db, "UPDATE learning.subject SET closed_at = now()")
    told = numbered(producer, 2)
    for _ in range(2):
        assert directly(app_db, told) == "closed"
    dispatcher_db.run(None, reject, [refused_in_stream(told, "1-0"), refused_in_stream(told, "2-0")])
    silent_for_two_minutes(everything_db)

    found = add_up()

    assert found.adds_up, found.findings
    assert found.numbers is not None
    assert (found.numbers.numbered, found.numbers.received, found.numbers.refused) == (2, 1, 1)
    kept = rows(everything_db, "SELECT stream, body FROM learning.rejected_event ORDER BY id")
    assert (kept[0]["stream"], bytes(kept[0]["body"])) == ("postgres", b"")

    change(everything_db, "UPDATE learning.subject SET closed_at = NULL")  # let in again, and it is sent once more
    assert directly(app_db, told) == "accepted"
    assert dispatcher_db.run(None, prepare, SpecCache(), list(range(SHARDS))) == 1
    again = add_up()
    assert again.adds_up, again.findings
    assert again.numbers is not None
    assert (again.numbers.received, again.numbers.refused) == (2, 0)


def test_given_an_accepted_event_when_its_id_and_number_come_with_other_words_then_the_number_is_not_counted_as_refused(
    app_db: Database, dispatcher_db: Database, everything_db: Database, add_up: AddUp
) -> None:
    told = numbered(uuid7(), 1)
    take_in(dispatcher_db, told)
    other = told.model_copy(update={"occurred_at": datetime(2020, 1, 1, tzinfo=UTC)})
    assert directly(app_db, other) == "id_reused"
    found = add_up()
    assert found.adds_up, found.findings
    assert found.numbers is not None
    assert found.numbers.refused == 0


def test_given_two_events_of_one_number_when_added_up_then_the_producer_is_named(
    dispatcher_db: Database, add_up: AddUp
) -> None:
    producer = uuid7()
    take_in(dispatcher_db, numbered(producer, 1), numbered(producer, 1, session_id="s2"))
    found = add_up()
    assert names(found) == {"numbers_twice": 1}
    assert found.findings[0].ids == (str(producer),)


def test_given_redis_that_is_away_when_a_producer_closes_then_its_lost_tail_is_seen(
    app_db: Database, everything_db: Database, add_up: AddUp
) -> None:
    producer = uuid7()
    for last in (3, 2):
        app_db.run(None, report_last_directly, ProducerClosed(producer=producer, last=last))
    silent_for_two_minutes(everything_db)
    (gap,) = add_up().gaps
    assert (gap.producer, gap.missing, gap.closed, gap.numbers) == (producer, 3, True, ((1, 3),))


def test_given_an_event_that_vanished_from_the_log_when_added_up_then_its_producer_is_named(
    dispatcher_db: Database, everything_db: Database, add_up: AddUp
) -> None:
    producer = uuid7()
    told = numbered(producer, 1)
    take_in(dispatcher_db, told, numbered(uuid7(), 1), spec=PROFILE_ONLY)
    change(everything_db, f"DELETE FROM learning.conversation_event WHERE id = '{told.id}'")
    found = add_up()
    assert names(found) == {"events_vanished": 1, "deliveries_without_event": 1}
    ids = {each.name: each.ids for each in found.findings}
    assert ids["events_vanished"] == (str(producer),)
    assert ids["deliveries_without_event"] == (f"default/{told.id}/user_profile",)


def test_given_an_event_that_vanished_beside_a_forgotten_user_when_added_up_then_nobody_who_lost_none_is_named(
    app_db: Database, dispatcher_db: Database, everything_db: Database, add_up: AddUp
) -> None:
    told = numbered(uuid7(), 1, user_id="bob")
    take_in(dispatcher_db, told, numbered(uuid7(), 1), spec=PROFILE_ONLY)
    forget(app_db, Target(kind="subject", tenant="default", subject="user/alice", user_id="alice", session_id=None))
    change(everything_db, f"DELETE FROM learning.conversation_event WHERE id = '{told.id}'")

    found = {each.name: each for each in add_up().findings}

    assert (found["events_vanished"].count, found["events_vanished"].ids) == (1, ())


def test_given_a_delivery_that_vanished_when_added_up_then_its_event_is_named(
    dispatcher_db: Database, everything_db: Database, add_up: AddUp
) -> None:
    told = event(tenant="acme")
    take_in(dispatcher_db, told, event(tenant="acme", session_id="s2"), spec=BOTH_AT_ONCE)
    take_in(dispatcher_db, event())
    change(
        everything_db,
        f"DELETE FROM learning.delivery WHERE event_id = '{told.id}' AND store = 'user_profile'; "
        "UPDATE learning.conversation_event SET accepted_at = now() - interval '3 days'",
    )
    for found in (add_up(), add_up("acme")):
        assert names(found) == {"events_without_delivery": 1}
        assert found.findings[0].ids == (f"acme/{told.id}",)
    assert add_up("default").adds_up
    assert dispatcher_db.run(None, reconcile).counts["events_without_delivery"] == 0  # it looks at the last day


def test_given_a_user_who_is_forgotten_when_added_up_then_what_was_removed_is_counted(
    app_db: Database, dispatcher_db: Database, everything_db: Database, add_up: AddUp
) -> None:
    producer = uuid7()
    single = numbered(producer, 1, user_id="bob")
    take_in(dispatcher_db, numbered(producer, 2), numbered(producer, 3, session_id="s2"), single, spec=BOTH_AT_ONCE)
    directly(app_db, numbered(producer, 4))
    whole = Target(kind="subject", tenant="default", subject="user/alice", user_id="alice", session_id=None)
    forget(app_db, whole)
    silent_for_two_minutes(everything_db)

    found = add_up()

    assert found.adds_up, found.findings
    assert found.numbers is not None
    assert (found.numbers.numbered, found.numbers.received, found.numbers.missing) == (4, 4, 0)
    assert (found.events.accepted, found.events.in_log, found.events.removed) == (4, 1, {"forgotten": 3})
    assert (found.deliveries.accepted, found.deliveries.removed) == (6, {"forgotten": 4})


def test_given_something_that_stays_wrong_when_reconciled_each_minute_then_it_is_kept_with_its_beginning_and_news_once(
    dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(spec="0" * 64))
    assert not dispatcher_db.run(None, reconcile).changed
    change(everything_db, "UPDATE learning.conversation_event SET accepted_at = now() - interval '2 minutes'")
    assert dispatcher_db.run(None, reconcile).changed
    first = {each.name: each for each in dispatcher_db.run(None, last_findings)}["events_unprepared"]
    assert not dispatcher_db.run(None, reconcile).changed
    second = {each.name: each for each in dispatcher_db.run(None, last_findings)}["events_unprepared"]
    assert (second.count, second.since) == (1, first.since)
    assert second.since is not None
    assert second.looked_at > first.looked_at
    change(everything_db, "DELETE FROM learning.conversation_event")
    assert dispatcher_db.run(None, reconcile).changed
    over = {each.name: each for each in dispatcher_db.run(None, last_findings)}["events_unprepared"]
    assert (over.count, over.since, over.ids) == (0, None, ())


def test_given_events_that_lack_a_delivery_when_reconciled_again_and_again_then_they_are_counted_until_they_have_it(
    dispatcher_db: Database, everything_db: Database
) -> None:
    old, new = event(), event(session_id="s2")
    take_in(dispatcher_db, old, new, spec=PROFILE_ONLY)
    change(
        everything_db,
        f"DELETE FROM learning.delivery; UPDATE learning.conversation_event SET accepted_at = now() - interval '2 hours' "
        f"WHERE id = '{old.id}'; INSERT INTO learning.ledger_finding (name, count) VALUES ('events_without_delivery', 1)",
    )
    for _ in range(2):
        assert dispatcher_db.run(None, reconcile).counts["events_without_delivery"] == 2
