"""What waits, as metrics and probes read it."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from harness import event
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.backlog import AtWork, at_work, backlog, bound, dispatchers
from learning_stores.database import Database
from learning_stores.event_log import Incoming, accept, accept_directly
from learning_stores.specs import SpecCache

SPEC = MachineSpec(stores={"user_profile": StoreSpec(scope="user", debounce=0)})


@pytest.fixture
def change(everything_db: Database) -> Callable[..., None]:
    """Change rows as the superuser."""

    def run(statement: str, **values: Any) -> None:
        with everything_db.engine.begin() as connection:
            connection.execute(text(statement), values)

    return run


def take_in(database: Database, *users: str) -> None:
    batch = [Incoming(event=event(spec=SPEC.spec_hash(), user_id=user), via="stream", body_bytes=1) for user in users]
    database.run(None, accept, batch, {each.spec_key: SPEC for each in batch}, SpecCache(), 8)


def test_given_nothing_when_read_then_nothing_waits(dispatcher_db: Database) -> None:
    found = dispatcher_db.run(None, backlog, 5)
    assert (found.deliveries, found.events, found.dead, found.findings) == ((), (), {}, {})
    assert (found.embeddings.number, found.shards, found.reconciled) == (0, 0, None)


def test_given_deliveries_in_every_state_when_read_then_each_reason_has_its_number_and_its_oldest(
    dispatcher_db: Database, change: Callable[..., None]
) -> None:
    take_in(dispatcher_db, "a", "a", "b", "c", "d", "e")
    box = "UPDATE learning.mailbox SET"
    change(f"{box} due_at = now() + interval '1 minute' WHERE user_id = 'b'")
    change(f"{box} not_before = now() + interval '1 minute', wait_reason = 'budget' WHERE user_id = 'c'")
    change(f"{box} lease_until = now() + interval '1 minute' WHERE user_id = 'd'")
    change("DELETE FROM learning.mailbox WHERE user_id = 'e'")
    change("UPDATE learning.delivery SET accepted_at = now() - interval '1 hour' WHERE scope = 'user/c'")
    found = {each.reason: each for each in dispatcher_db.run(None, backlog, 5).deliveries}
    assert {reason: each.number for reason, each in found.items()} == {
        "due": 2,
        "debounce": 1,
        "budget": 1,
        "in work": 1,
        "no mailbox": 1,
    }
    assert 3600 <= found["budget"].seconds < 3700
    assert 0 <= found["due"].seconds < 600
    assert {each.store for each in found.values()} == {"user_profile"}


def test_given_events_without_deliveries_when_read_then_they_are_there_by_reason(
    app_db: Database, dispatcher_db: Database, change: Callable[..., None]
) -> None:
    for user in ("a", "b", "c"):
        incoming = Incoming(event=event(spec=SPEC.spec_hash(), user_id=user), via="postgres", body_bytes=1)
        app_db.run("default", accept_directly, incoming, SPEC, SpecCache(), 8)
    change("UPDATE learning.conversation_event SET set_aside = 'it cannot be read' WHERE user_id = 'a'")
    change("UPDATE learning.conversation_event SET spec_hash = 'unknown' WHERE user_id = 'b'")
    found = {each.reason: each.number for each in dispatcher_db.run(None, backlog, 5).events}
    assert found == {"set aside": 1, "waiting for spec": 1, "not prepared": 1}


def test_given_a_statement_that_takes_too_long_when_bounded_then_it_is_cancelled(dispatcher_db: Database) -> None:
    def sleep(session: Session) -> None:
        bound(session, 0.1)
        session.execute(text("SELECT pg_sleep(30)"))

    with pytest.raises(DBAPIError) as raised:
        dispatcher_db.run(None, sleep)
    assert isinstance(raised.value.orig, psycopg.errors.QueryCanceled)


@pytest.mark.parametrize(
    ("row", "waits", "works"),
    [
        ("due_at = now() - interval '90 s'", True, False),
        ("due_at = now() - interval '90 s', nudged_until = now() + interval '30 s'", True, False),
        ("due_at = now() - interval '2 h', lease_until = now() - interval '90 s', owner = 'lost'", True, False),
        ("due_at = now() - interval '2 h', lease_until = now() + interval '9 s', owner = 'there'", False, True),
        ("due_at = now() + interval '1 h'", False, False),
        (
            "due_at = now() - interval '2 h', not_before = now() + interval '1 h', wait_reason = 'provider'",
            False,
            False,
        ),
    ],
)
def test_given_a_mailbox_when_its_store_is_judged_then_it_waits_only_if_a_worker_could_take_it(
    dispatcher_db: Database, change: Callable[..., None], row: str, waits: bool, works: bool
) -> None:
    take_in(dispatcher_db, "a")
    change(f"UPDATE learning.mailbox SET {row}")
    found = dispatcher_db.run(None, at_work, "user_profile")
    assert found.working is works
    assert (found.waiting is not None) is waits
    if found.waiting is not None:
        assert 90 <= found.waiting < 150
    assert dispatcher_db.run(None, at_work, "session_context") == AtWork(waiting=None, working=False)


def test_given_dispatchers_when_counted_then_both_of_their_loops_must_have_turned_lately(
    dispatcher_db: Database, change: Callable[..., None]
) -> None:
    change("INSERT INTO learning.dispatcher (owner, host) VALUES ('a', 'one'), ('b', 'two'), ('c', 'two')")
    change("UPDATE learning.dispatcher SET pump_at = now() - interval '1 minute' WHERE owner = 'b'")
    assert dispatcher_db.run(None, dispatchers, 20) == 2
