"""History sent again, through intake: what is read is what is new, in one batch as in many."""

from typing import Any

import pytest

from harness import event, rows
from integration.stores.steps import BOTH_AT_ONCE, claim, mailbox_id, take_in, window_of
from learning_schemas.ids import uuid7
from learning_stores.database import Database


def _said(*words: str, **values: Any) -> Any:
    roles = ("user", "assistant")
    return event(messages=[{"role": roles[number % 2], "content": word} for number, word in enumerate(words)], **values)


def _read(app_db: Database, everything_db: Database, store: str = "user_profile") -> list[str]:
    held = claim(app_db, mailbox_id(everything_db, store))
    return [message.text for message in window_of(app_db, held).messages if not message.earlier]


@pytest.mark.parametrize("one_batch", [True, False])
def test_given_a_growing_history_when_it_is_taken_in_then_each_message_is_read_once(
    app_db: Database, dispatcher_db: Database, everything_db: Database, one_batch: bool
) -> None:
    told = [_said("u1", "a1"), _said("u1", "a1", "u2", "a2"), _said("u2", "a2", "u3", "a3")]
    if one_batch:
        take_in(dispatcher_db, *told, spec=BOTH_AT_ONCE)
    else:
        for each in told:
            take_in(dispatcher_db, each, spec=BOTH_AT_ONCE)
    assert _read(app_db, everything_db) == ["u1", "a1", "u2", "a2", "u3", "a3"]
    assert _read(app_db, everything_db, "session_context") == ["u1", "a1", "u2", "a2", "u3", "a3"]


def test_given_a_regenerated_answer_when_the_history_goes_on_then_the_new_answer_is_its_part(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    for each in (_said("u1", "a1"), _said("u1", "other"), _said("u1", "other", "u2", "a2")):
        take_in(dispatcher_db, each, spec=BOTH_AT_ONCE)
    assert _read(app_db, everything_db) == ["u1", "a1", "other", "u2", "a2"]
    kept = "SELECT role, superseded FROM learning.session_message ORDER BY position"
    assert [row["superseded"] for row in rows(everything_db, kept)] == [False, True, False, False, False]


def test_given_the_same_words_twice_when_they_are_taken_in_then_both_are_read(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, _said("yes", "ok"), _said("yes", "ok"), spec=BOTH_AT_ONCE)
    assert _read(app_db, everything_db) == ["yes", "ok", "yes", "ok"]


def test_given_events_out_of_order_when_a_whole_history_follows_then_nothing_is_read_twice(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    first, second, third = uuid7(), uuid7(), uuid7()
    take_in(dispatcher_db, _said("u2", "a2", id=second), spec=BOTH_AT_ONCE)
    take_in(dispatcher_db, _said("u1", "a1", id=first), spec=BOTH_AT_ONCE)
    take_in(dispatcher_db, _said("u1", "a1", "u2", "a2", "u3", "a3", id=third), spec=BOTH_AT_ONCE)
    assert _read(app_db, everything_db) == ["u2", "a2", "u1", "a1", "u3", "a3"]


def test_given_message_ids_when_they_are_sent_again_from_the_table_then_they_are_history(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    def turns(count: int) -> Any:
        messages = []
        for number in range(count):
            messages.append({"role": "user", "content": "yes", "id": f"m{number}"})
            messages.append({"role": "assistant", "content": f"answer {number}"})
        return event(messages=messages)

    for count in (1, 2, 3):
        take_in(dispatcher_db, turns(count), spec=BOTH_AT_ONCE)
    assert _read(app_db, everything_db) == ["yes", "answer 0", "yes", "answer 1", "yes", "answer 2"]


def test_given_an_event_that_is_all_history_when_it_is_taken_in_then_its_deliveries_are_skipped_as_such(
    dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, _said("u1", "a1"), spec=BOTH_AT_ONCE)
    again = _said("u1", "a1", history="full")
    take_in(dispatcher_db, again, spec=BOTH_AT_ONCE)
    found = rows(everything_db, "SELECT state, reason FROM learning.delivery WHERE event_id = :id", id=again.id)
    assert found == [{"state": "skipped", "reason": "history"}] * 2


def test_given_tool_messages_that_come_and_go_when_history_is_sent_again_then_it_is_recognised(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    tool = [
        {"role": "assistant", "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": "sunny", "tool_call_id": "1"},
    ]
    question, answer = {"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "Sunny."}
    thanks = {"role": "user", "content": "Thanks, I love sunny days."}
    take_in(dispatcher_db, event(messages=[question, *tool, answer]), spec=BOTH_AT_ONCE)
    take_in(dispatcher_db, event(messages=[question, answer, thanks]), spec=BOTH_AT_ONCE)
    assert _read(app_db, everything_db) == ["Weather?", "Sunny.", "Thanks, I love sunny days."]


def test_given_two_users_sessions_of_one_name_when_they_say_the_same_then_neither_is_the_others_history(
    dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(
        dispatcher_db, _said("u1", "a1", user_id="alice"), _said("u1", "a1", "u2", user_id="bob"), spec=BOTH_AT_ONCE
    )
    assert {
        row["shown_before"] for row in rows(everything_db, "SELECT shown_before FROM learning.conversation_event")
    } == {0}


def test_given_a_very_long_session_when_the_whole_of_it_is_sent_again_then_it_is_history(
    dispatcher_db: Database, everything_db: Database
) -> None:
    words = [f"word {number}" for number in range(600)]
    take_in(dispatcher_db, _said(*words), spec=BOTH_AT_ONCE)
    take_in(dispatcher_db, _said(*words, "new", "answer"), spec=BOTH_AT_ONCE)
    found = rows(everything_db, "SELECT shown_before FROM learning.conversation_event ORDER BY accepted_no")
    assert [row["shown_before"] for row in found] == [0, 600]
