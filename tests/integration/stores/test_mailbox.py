"""Mailboxes: when they are due, who may work on them, and what crashes do."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from harness import event, eventually, rows, turn
from integration.stores.steps import (
    PROFILE_ONLY,
    SHARDS,
    claim,
    incoming,
    mailbox_id,
    refused,
    take_in,
    window_of,
    work,
)
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores import mailbox
from learning_stores.commit import Fenced, settle_without_extraction
from learning_stores.database import Database
from learning_stores.deliveries import Settlement, delivery_states
from learning_stores.event_log import accept
from learning_stores.mailbox import CRASHES_ALONE, CRASHES_BEFORE_HALVING, Mail
from learning_stores.specs import SpecCache


def _spec(**values: Any) -> MachineSpec:
    return MachineSpec(stores={"user_profile": StoreSpec(scope="user", **values)})


def _box(database: Database) -> dict[str, Any]:
    (found,) = rows(database, "SELECT *, now() AS now FROM learning.mailbox")
    return found


def _later(database: Database, seconds: float) -> None:
    """Let so much time pass for every mailbox: all of its moments move into the past."""
    moments = ("due_at", "first_pending_at", "last_event_at", "not_before", "nudged_until", "lease_until")
    moved = ", ".join(f"{moment} = {moment} - interval '{seconds} s'" for moment in moments)
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE learning.mailbox SET {moved}")
        connection.exec_driver_sql(f"UPDATE learning.delivery SET accepted_at = accepted_at - interval '{seconds} s'")


def _lease_runs_out(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.mailbox SET lease_until = now() - interval '1 s'")


def test_given_a_first_event_when_accepted_then_its_mailbox_is_due_after_the_debounce(
    dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), spec=_spec(debounce=2, max_wait=30))
    box = _box(everything_db)
    assert box["due_at"] - box["first_pending_at"] == timedelta(seconds=2)


def test_given_a_max_wait_below_the_debounce_when_accepted_then_the_shorter_counts(
    dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), spec=_spec(debounce=20, max_wait=5))
    box = _box(everything_db)
    assert box["due_at"] - box["first_pending_at"] == timedelta(seconds=5)


def test_given_events_that_keep_coming_when_they_do_then_the_debounce_starts_again_but_max_wait_holds(
    dispatcher_db: Database, everything_db: Database
) -> None:
    spec = _spec(debounce=10, max_wait=30)
    take_in(dispatcher_db, event(), spec=spec)
    for passed in (8, 8, 8):
        _later(everything_db, passed)
        take_in(dispatcher_db, event(messages=turn(f"After {passed} more.")), spec=spec)
    box = _box(everything_db)
    assert box["due_at"] - box["first_pending_at"] == timedelta(seconds=30)
    assert box["due_at"] < box["last_event_at"] + timedelta(seconds=10)


def test_given_a_mailbox_that_is_due_when_another_event_comes_then_it_stays_due(
    dispatcher_db: Database, everything_db: Database
) -> None:
    spec = _spec(debounce=2)
    take_in(dispatcher_db, event(), spec=spec)
    _later(everything_db, 3)
    take_in(dispatcher_db, event(messages=turn("And more.")), spec=spec)
    box = _box(everything_db)
    assert box["due_at"] <= box["now"]


def test_given_the_session_end_trigger_when_turns_come_then_only_idleness_or_the_end_makes_it_due(
    dispatcher_db: Database, everything_db: Database
) -> None:
    spec = MachineSpec(
        stores={"session_context": StoreSpec(scope="session", trigger="session_end", idle_after=600, max_wait=1)}
    )
    take_in(dispatcher_db, event(), spec=spec)
    _later(everything_db, 500)
    take_in(dispatcher_db, event(messages=turn("Go on.")), spec=spec)
    box = _box(everything_db)
    assert box["due_at"] - box["last_event_at"] == timedelta(seconds=600)
    take_in(dispatcher_db, event(messages=turn("Goodbye now."), end_of_session=True), spec=spec)
    box = _box(everything_db)
    assert box["due_at"] <= box["now"]


def test_given_a_debounced_mailbox_when_it_is_flushed_then_it_is_due_at_once(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    told = event()
    take_in(dispatcher_db, told, spec=_spec(debounce=100, max_wait=100))
    assert refused(app_db, mailbox_id(everything_db)).reason == "not due"
    assert app_db.run("default", delivery_states, "default", told.id, flush=True).states == {"user_profile": "pending"}
    claim(app_db, mailbox_id(everything_db))


def test_given_a_flush_while_intake_is_under_way_when_it_brings_more_then_the_mailbox_stays_due(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    spec = _spec(debounce=100, max_wait=100)
    first, second = (
        each.model_copy(update={"spec": spec.spec_hash()})
        for each in (event(), event(messages=turn("I live in Oslo.")))
    )
    take_in(dispatcher_db, first, spec=spec)

    def intake(session: Session) -> None:
        session.execute(text("SELECT now()"))
        app_db.run("default", delivery_states, "default", first.id, flush=True)
        accept(session, incoming(second), {}, SpecCache(), SHARDS)

    dispatcher_db.run(None, intake)

    claim(app_db, mailbox_id(everything_db))


def test_given_a_flush_during_a_running_window_when_the_window_commits_then_what_came_meanwhile_is_due(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    spec = _spec(debounce=100, max_wait=100)
    first, second = event(), event(messages=turn("I live in Berlin."))
    take_in(dispatcher_db, first, spec=spec)
    app_db.run("default", delivery_states, "default", first.id, flush=True)
    held = claim(app_db, mailbox_id(everything_db))
    window = window_of(app_db, held)
    take_in(dispatcher_db, second, spec=spec)
    app_db.run("default", delivery_states, "default", second.id, flush=True)
    committed = work(app_db, held, window=window, keep=True)
    assert committed.go_on
    assert [each.event_id for each in window_of(app_db, held).deliveries] == [second.id]


def test_given_no_flush_during_a_running_window_when_it_commits_then_what_came_meanwhile_waits_its_debounce(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    spec = _spec(debounce=50, max_wait=100)
    first = event()
    take_in(dispatcher_db, first, spec=spec)
    app_db.run("default", delivery_states, "default", first.id, flush=True)
    held = claim(app_db, mailbox_id(everything_db))
    window = window_of(app_db, held)
    take_in(dispatcher_db, event(messages=turn("I live in Berlin.")), spec=spec)
    assert not work(app_db, held, window=window, keep=True).go_on
    box = _box(everything_db)
    assert box["lease_until"] is None
    assert box["owner"] is None
    assert box["due_at"] == box["last_event_at"] + timedelta(seconds=50)


def test_given_a_pause_when_the_mailbox_is_flushed_then_the_pause_holds(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    told = event()
    take_in(dispatcher_db, told, spec=PROFILE_ONLY)
    held = claim(app_db, mailbox_id(everything_db))
    assert app_db.run("default", mailbox.wait, held, "provider", "429", 60.0, 1)
    app_db.run("default", delivery_states, "default", told.id, flush=True)
    answer = refused(app_db, held.mailbox_id)
    assert (answer.reason, answer.wait_reason, answer.wait_note) == ("paused", "provider", "429")
    assert dispatcher_db.run(None, mailbox.take_due, "user_profile", 10) == []
    _later(everything_db, 61)
    again = claim(app_db, held.mailbox_id)
    assert (again.failures, again.window_limit, again.crashes_alone) == (1, None, 0)


def test_given_a_lease_when_another_worker_tries_then_it_is_refused_until_the_lease_runs_out(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), spec=PROFILE_ONLY)
    first = claim(app_db, mailbox_id(everything_db), owner="first")
    assert refused(app_db, first.mailbox_id).reason == "leased"
    assert app_db.run("default", mailbox.extend, "default", first.mailbox_id, first.token)
    _lease_runs_out(everything_db)
    assert not app_db.run("default", mailbox.extend, "default", first.mailbox_id, first.token)
    second = claim(app_db, first.mailbox_id, owner="second")
    assert second.token > first.token
    assert not app_db.run("default", mailbox.wait, first, "provider", "late", 60.0, 1)
    window = window_of(app_db, first)
    with pytest.raises(Fenced):
        work(app_db, first, window=window)
    assert rows(everything_db, "SELECT FROM learning.extraction") == []
    work(app_db, second, window=window)
    assert refused(app_db, first.mailbox_id).reason == "gone"
    with pytest.raises(Fenced):
        work(app_db, first, window=window)


def test_given_an_expired_lease_that_nobody_took_when_its_worker_commits_then_it_still_may(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), spec=PROFILE_ONLY)
    held = claim(app_db, mailbox_id(everything_db))
    window = window_of(app_db, held)
    _lease_runs_out(everything_db)
    assert work(app_db, held, window=window).outcome == "nothing_found"


def test_given_an_event_that_kills_its_workers_when_they_are_counted_then_windows_halve_and_it_dies_alone(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    """Eight events, the fifth of which kills whoever reads it. The other seven must go in, by the fewest crashes."""
    told = [event(messages=turn(f"Fact number {number}.")) for number in range(8)]
    take_in(dispatcher_db, *told, spec=PROFILE_ONLY)
    poison, number, crashes, sizes = told[4].id, mailbox_id(everything_db), 0, []
    buried = False
    while not buried:
        held = claim(app_db, number)
        window = window_of(app_db, held)
        sizes.append(len(window.deliveries))
        go_on = True
        while go_on:
            if poison in {each.event_id for each in window.deliveries}:
                if held.crashes_alone >= CRASHES_ALONE:
                    dead = Settlement(event_id=poison, generation=1, state="dead", reason="crashes")
                    app_db.run("default", settle_without_extraction, held, [dead], keep=False, at_once=True)
                    buried = True
                else:
                    crashes += 1
                    _lease_runs_out(everything_db)
                break
            go_on = work(app_db, held, window=window, keep=True).go_on
            window = window_of(app_db, held)
    assert sizes[:CRASHES_BEFORE_HALVING] == [8, 8]
    assert sizes[CRASHES_BEFORE_HALVING] == 4
    assert sizes[-1] == 1
    assert crashes <= 8
    work(app_db, claim(app_db, number))
    states = rows(everything_db, "SELECT state, count(*) AS n FROM learning.delivery GROUP BY 1 ORDER BY 1")
    assert states == [{"state": "dead", "n": 1}, {"state": "nothing_found", "n": 7}]
    assert rows(everything_db, "SELECT FROM learning.mailbox") == []


def test_given_due_mailboxes_when_they_are_taken_then_each_is_nudged_once_until_the_nudge_is_lost(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, *(event(user_id=f"user{number}") for number in range(3)), spec=PROFILE_ONLY)
    assert dispatcher_db.run(None, mailbox.mail) == [Mail("user_profile", nudged=0, due=True)]
    assert len(dispatcher_db.run(None, mailbox.take_due, "user_profile", 2)) == 2
    assert dispatcher_db.run(None, mailbox.mail) == [Mail("user_profile", nudged=2, due=True)]
    assert len(dispatcher_db.run(None, mailbox.take_due, "user_profile", 9)) == 1
    assert dispatcher_db.run(None, mailbox.mail) == [Mail("user_profile", nudged=3, due=False)]
    assert dispatcher_db.run(None, mailbox.take_due, "user_profile", 9) == []
    _later(everything_db, 31)
    nudges = dispatcher_db.run(None, mailbox.take_due, "user_profile", 9)
    assert len(nudges) == 3
    claim(app_db, nudges[0].mailbox_id)
    assert dispatcher_db.run(None, mailbox.mail) == [Mail("user_profile", nudged=2, due=False)]


def test_given_a_tenant_with_a_large_backlog_when_mailboxes_are_taken_then_the_others_are_not_behind_it(
    dispatcher_db: Database,
) -> None:
    many = [event(tenant="flood", user_id=f"user{number}") for number in range(60)]
    few = [event(tenant=f"small{number}") for number in range(5)]
    take_in(dispatcher_db, *many, spec=PROFILE_ONLY)
    take_in(dispatcher_db, *few, spec=PROFILE_ONLY)
    taken = dispatcher_db.run(None, mailbox.take_due, "user_profile", 20)
    by_tenant = [nudge.tenant for nudge in taken]
    assert by_tenant.count("flood") == 8
    assert {each.tenant for each in few} <= set(by_tenant)


def test_given_a_store_that_is_not_installed_when_it_is_postponed_then_its_mail_waits_with_that_reason(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), spec=PROFILE_ONLY)
    dispatcher_db.run(None, mailbox.postpone_unknown, ["session_context"], 60.0)
    answer = refused(app_db, mailbox_id(everything_db))
    assert (answer.reason, answer.wait_reason) == ("paused", "waiting for store")


def test_given_another_tenant_when_a_mailbox_is_claimed_by_its_number_then_there_is_none(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(tenant="acme"), spec=PROFILE_ONLY)
    number = mailbox_id(everything_db, tenant="acme")
    assert refused(app_db, number, tenant="globex").reason == "gone"
    claim(app_db, number, tenant="acme")


def test_given_a_delivery_that_was_replayed_meanwhile_when_its_window_commits_then_nothing_is_written(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), spec=PROFILE_ONLY)
    held = claim(app_db, mailbox_id(everything_db))
    window = window_of(app_db, held)
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE learning.delivery SET generation = generation + 1")
    with pytest.raises(Fenced):
        work(app_db, held, window=window)
    assert rows(everything_db, "SELECT FROM learning.extraction") == []
    assert len(rows(everything_db, "SELECT FROM learning.mailbox")) == 1


def test_given_intake_that_holds_an_events_first_mailbox_when_it_is_flushed_then_the_second_is_not_held_meanwhile(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    """Both lock in the order of stores: the other way round, one of the two is ended as a deadlock."""
    told = event()
    take_in(dispatcher_db, told)
    lock = text("SELECT true FROM learning.mailbox WHERE store = :store FOR UPDATE NOWAIT")
    blocked = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:
        with everything_db.transaction() as intake:
            assert intake.scalar(lock, {"store": "session_context"})
            flushing = pool.submit(app_db.run, "default", delivery_states, "default", told.id, flush=True)
            eventually(lambda: rows(everything_db, blocked), "the flush waits")
            assert intake.scalar(lock, {"store": "user_profile"})
        assert flushing.result().states == {"session_context": "pending", "user_profile": "pending"}
    assert [row["n"] for row in rows(everything_db, "SELECT flush_no > 0 AS n FROM learning.mailbox")] == [True, True]


def test_given_another_machine_with_a_longer_timing_when_it_writes_too_then_the_earlier_promise_holds(
    dispatcher_db: Database, everything_db: Database
) -> None:
    quick = MachineSpec(name="quick", stores={"user_profile": StoreSpec(scope="user", debounce=3, max_wait=6)})
    patient = MachineSpec(
        name="patient", stores={"user_profile": StoreSpec(scope="user", trigger="session_end", idle_after=86_400)}
    )
    take_in(dispatcher_db, event(), spec=quick)
    take_in(dispatcher_db, event(session_id="s2"), spec=patient)

    (found,) = rows(
        everything_db,
        "SELECT extract(epoch FROM due_at - first_pending_at) AS due, extract(epoch FROM max_wait) AS longest "
        "FROM learning.mailbox",
    )

    assert float(found["due"]) <= 6
    assert float(found["longest"]) == 6
