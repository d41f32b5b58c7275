"""Deliveries: which are skipped for an id that the store needs, and what a pending one says that it waits for."""

import pytest

from harness import event, rows
from integration.stores.steps import PROFILE_ONLY, claim, mailbox_id, take_in, window_of
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores import mailbox
from learning_stores.database import Database
from learning_stores.deliveries import delivery_states

SHARED = {"entity_memory": StoreSpec(scope="session", debounce=0)}
OWN = {"entity_memory": StoreSpec(scope="session", debounce=0, namespace="user")}
TEAM = {"entity_memory": StoreSpec(scope="session", debounce=0, namespace="team", also_reads=("user",))}
PROFILE = dict(PROFILE_ONLY.stores)


@pytest.mark.parametrize(
    ("stores", "user", "session", "state", "reason"),
    [
        (OWN, "alice", "s1", "pending", None),
        (OWN, None, "s1", "skipped", "no user_id"),
        (OWN, "alice", None, "skipped", "no session_id"),
        (SHARED, None, "s1", "pending", None),
        (TEAM, None, "s1", "pending", None),
        (PROFILE, None, "s1", "skipped", "no user_id"),
    ],
)
def test_given_a_store_that_needs_an_id_when_an_event_lacks_it_then_the_delivery_is_skipped_and_says_so(
    dispatcher_db: Database,
    everything_db: Database,
    stores: dict[str, StoreSpec],
    user: str | None,
    session: str | None,
    state: str,
    reason: str | None,
) -> None:
    take_in(dispatcher_db, event(user_id=user, session_id=session), spec=MachineSpec(stores=stores))
    [delivery] = rows(everything_db, "SELECT * FROM learning.delivery")
    assert (delivery["state"], delivery["reason"]) == (state, reason)
    assert (delivery["settled_at"] is None) == (state == "pending")
    assert len(rows(everything_db, "SELECT FROM learning.mailbox")) == (state == "pending")


def test_given_a_mailbox_that_waits_when_its_event_is_asked_for_then_what_for_is_told(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    told = event()
    take_in(dispatcher_db, told, spec=PROFILE_ONLY)
    assert app_db.run("default", delivery_states, "default", told.id) == ({"user_profile": "pending"}, {})
    held = claim(app_db, mailbox_id(everything_db))
    window_of(app_db, held)
    app_db.run("default", mailbox.wait, held, "provider", "429", 60.0, 1)
    assert app_db.run("default", delivery_states, "default", told.id) == (
        {"user_profile": "pending"},
        {"user_profile": "provider"},
    )


def test_given_a_store_that_was_lacking_when_it_is_there_then_its_mailboxes_are_ready_and_others_wait_on(
    dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(), spec=MachineSpec(stores=PROFILE | SHARED))
    dispatcher_db.run(None, mailbox.postpone_unknown, [], 60.0)
    waiting = (
        "SELECT store FROM learning.mailbox WHERE wait_reason = 'waiting for store' AND ready_at > now() ORDER BY 1"
    )
    assert [row["store"] for row in rows(everything_db, waiting)] == ["entity_memory", "user_profile"]

    dispatcher_db.run(None, mailbox.resume_known, ["user_profile"])

    assert [row["store"] for row in rows(everything_db, waiting)] == ["entity_memory"]
    ready = "SELECT store FROM learning.mailbox WHERE ready_at <= now() AND wait_note IS NULL"
    assert [row["store"] for row in rows(everything_db, ready)] == ["user_profile"]
