"""An operator gives up one delivery, and what waits behind it goes on."""

from typing import Any

import pytest

from harness import event, rows
from integration.stores.steps import BOTH_AT_ONCE, PROFILE_ONLY, claim, mailbox_id, take_in, window_of, work
from learning_schemas.ids import uuid7
from learning_stores import mailbox
from learning_stores.commit import Fenced
from learning_stores.database import Database
from learning_stores.skipping import Skip, skip_delivery


def skip(dispatcher_db: Database, event_id: Any, store: str = "user_profile", tenant: str = "default") -> Skip:
    return dispatcher_db.run(None, skip_delivery, tenant, event_id, store, "kills its worker")


def test_given_a_paused_mailbox_when_one_of_two_is_skipped_then_it_is_due_and_the_other_is_extracted(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    stuck, behind = event(), event(session_id="s2")
    take_in(dispatcher_db, stuck, behind, spec=PROFILE_ONLY)
    number = mailbox_id(everything_db)
    app_db.run("default", mailbox.wait, claim(app_db, number), "retry", "crashed", 600.0, 3)

    assert skip(dispatcher_db, stuck.id) == Skip(state="pending", waiting=1)

    held = claim(app_db, number)
    assert {message.event_id for message in window_of(app_db, held).messages} == {behind.id}
    work(app_db, held)
    told = rows(everything_db, "SELECT event_id, state, reason FROM learning.delivery ORDER BY accepted_no")
    assert [(row["event_id"], row["state"], row["reason"]) for row in told] == [
        (stuck.id, "skipped", "skipped by operator: kills its worker"),
        (behind.id, "nothing_found", None),
    ]
    assert rows(everything_db, "SELECT 1 FROM learning.mailbox") == []


def test_given_the_only_delivery_of_a_mailbox_when_skipped_then_the_mailbox_is_gone_and_other_stores_keep_theirs(
    dispatcher_db: Database, everything_db: Database
) -> None:
    told = event()
    take_in(dispatcher_db, told, spec=BOTH_AT_ONCE)

    assert skip(dispatcher_db, told.id) == Skip(state="pending")

    assert rows(everything_db, "SELECT store FROM learning.mailbox") == [{"store": "session_context"}]
    assert rows(everything_db, "SELECT store FROM learning.delivery WHERE state = 'pending'") == [
        {"store": "session_context"}
    ]


@pytest.mark.parametrize("behind", [0, 1])
def test_given_a_worker_that_has_read_it_when_skipped_then_its_commit_is_refused(
    behind: int, app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    stuck = event()
    take_in(dispatcher_db, stuck, *(event(session_id=f"b{n}") for n in range(behind)), spec=PROFILE_ONLY)
    held = claim(app_db, mailbox_id(everything_db))
    window = window_of(app_db, held)

    assert skip(dispatcher_db, stuck.id) == Skip(state="pending", waiting=behind, worker="worker")

    with pytest.raises(Fenced):
        work(app_db, held, window=window)
    states = rows(everything_db, "SELECT state FROM learning.delivery ORDER BY accepted_no")
    assert [row["state"] for row in states] == ["skipped", *["pending"] * behind]
    assert rows(everything_db, "SELECT 1 FROM learning.extraction") == []


def test_given_a_settled_or_unknown_delivery_when_skipped_then_nothing_changes(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    told = event()
    take_in(dispatcher_db, told, spec=PROFILE_ONLY)
    work(app_db, claim(app_db, mailbox_id(everything_db)))

    assert skip(dispatcher_db, told.id) == Skip(state="nothing_found")
    assert not skip(dispatcher_db, told.id).done
    assert skip(dispatcher_db, told.id, tenant="acme") == Skip(state=None)
    assert skip(dispatcher_db, told.id, store="no_such_store") == Skip(state=None)
    assert skip(dispatcher_db, uuid7()) == Skip(state=None)
    assert rows(everything_db, "SELECT state FROM learning.delivery") == [{"state": "nothing_found"}]
