"""What is dead is looked at, tried again, or given up; what was rejected is told apart from it."""

from typing import Any

import pytest

from harness import event, rows
from integration.stores.past import Past, said
from integration.stores.steps import PROFILE_ONLY
from learning_schemas.ids import uuid7
from learning_stores import dead
from learning_stores.database import Database
from learning_stores.dead import Meant
from learning_stores.deliveries import Settlement, settle_deliveries
from learning_stores.rejected import Rejection, reject


@pytest.fixture
def past(app_db: Database, dispatcher_db: Database, everything_db: Database) -> Past:
    return Past(app_db, dispatcher_db, everything_db)


def die(past: Past, reason: str, tenant: str = "default") -> Any:
    """An event whose delivery is dead."""
    (told,) = past.accept(event(tenant=tenant, messages=said("I live in Oslo.")), spec=PROFILE_ONLY)
    gone = Settlement(event_id=told, generation=1, state="dead", reason=reason, error=f"{reason} twice")
    assert past.app_db.run(tenant, settle_deliveries, tenant, "user_profile", None, [gone])
    return told


def test_given_dead_deliveries_of_two_tenants_when_listed_then_the_last_is_first_and_options_choose(past: Past) -> None:
    ours, theirs = die(past, "refusal"), die(past, "crashes", "acme")
    found, count = past.dispatcher_db.run(None, dead.dead, Meant(), 10)
    assert [
        (each.event_id, each.tenant, each.reason, each.error, each.attempts, each.generation) for each in found
    ] == [
        (theirs, "acme", "crashes", "crashes twice", 1, 1),
        (ours, "default", "refusal", "refusal twice", 1, 1),
    ]
    assert count == 2
    for meant, who in ((Meant(tenant="acme"), theirs), (Meant(reason="refusal"), ours), (Meant(event_id=ours), ours)):
        chosen, _ = past.dispatcher_db.run(None, dead.dead, meant, 10)
        assert [each.event_id for each in chosen] == [who]
    assert past.dispatcher_db.run(None, dead.dead, Meant(store="session_context"), 10) == ([], 0)


def test_given_a_dead_delivery_when_looked_at_then_its_words_are_shown_only_where_asked_for(past: Past) -> None:
    told = die(past, "refusal")
    found = past.dispatcher_db.run(None, dead.look, "default", told, "user_profile", words=False)
    assert found is not None
    assert [(each["role"], each["characters"]) for each in found["messages"]] == [("user", 15), ("assistant", 6)]
    assert "Oslo" not in str(found)
    found = past.dispatcher_db.run(None, dead.look, "default", told, "user_profile", words=True)
    assert found is not None
    assert found["messages"][0]["content"] == "I live in Oslo."
    assert past.dispatcher_db.run(None, dead.look, "acme", told, "user_profile", words=True) is None
    assert past.dispatcher_db.run(None, dead.look, "default", uuid7(), "user_profile", words=True) is None


def test_given_dead_deliveries_when_some_are_discarded_then_these_are_skipped_and_replayed_only_by_their_id(
    past: Past,
) -> None:
    refused, crashed = die(past, "refusal"), die(past, "crashes")
    assert past.dispatcher_db.run(None, dead.discard, Meant(reason="refusal"), "not worth it") == 1
    assert past.dispatcher_db.run(None, dead.discard, Meant(reason="refusal"), "not worth it") == 0
    assert past.deliveries() == [("skipped", "discarded by operator: not worth it", 1), ("dead", "crashes", 1)]
    (done,) = past.replay(user_id="alice")
    assert done.selected.events == (crashed,)
    (done,) = past.replay(event_id=refused)
    assert done.selected.events == (refused,)
    assert past.deliveries() == [("pending", None, 2)] * 2
    past.check()


def test_given_dead_deliveries_when_replayed_by_what_they_died_of_then_these_are_pending(past: Past) -> None:
    die(past, "refusal")
    crashed = die(past, "crashes")
    (done,) = past.replay(dead=True, reason="crashes")
    assert done.selected.events == (crashed,)
    assert past.deliveries() == [("dead", "refusal", 1), ("pending", None, 2)]
    past.check()


def test_given_a_rejected_event_when_listed_then_it_shows_why_and_no_body(past: Past, everything_db: Database) -> None:
    why = Rejection(
        stream="learning:events:0",
        entry_id="1-1",
        tenant="acme",
        event_id="x",
        field="user_id",
        reason="is empty",
        body=b"secret",
    )
    past.dispatcher_db.run(None, reject, [why])
    found, count = past.dispatcher_db.run(None, dead.rejected, None, 10)
    assert count == 1
    assert (found[0]["reason"], found[0]["body_bytes"], "body" in found[0]) == ("is empty", 6, False)
    assert past.dispatcher_db.run(None, dead.rejected, "default", 10) == ([], 0)
    assert len(rows(everything_db, "SELECT FROM learning.rejected_event")) == 1
