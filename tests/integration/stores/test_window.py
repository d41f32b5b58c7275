"""The window: in order of acceptance, of one spec, within the budget, with what came before for context."""

from typing import Any

from harness import event, rows, turn
from integration.stores.steps import BOTH_AT_ONCE, PROFILE_ONLY, claim, mailbox_id, take_in, window_of, work
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.database import Database
from learning_stores.mailbox import MAX_WINDOW_EVENTS
from learning_stores.window import tokens_of


def _held(app_db: Database, everything_db: Database, store: str = "user_profile") -> Any:
    return claim(app_db, mailbox_id(everything_db, store))


def test_given_many_small_events_when_a_window_is_read_then_it_has_all_of_them_in_order_of_acceptance(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    told = [event(messages=turn(f"Fact {number}."), session_id=f"s{number % 3}") for number in range(10)]
    take_in(dispatcher_db, *reversed(told), spec=PROFILE_ONLY)
    window = window_of(app_db, _held(app_db, everything_db))
    assert [each.event_id for each in window.deliveries] == [each.id for each in reversed(told)]
    assert not window.more
    assert [message.label for message in window.messages] == [f"m{number}" for number in range(1, 21)]
    assert {message.session_id for message in window.messages} == {"s0", "s1", "s2"}


def test_given_more_events_than_a_window_may_hold_when_read_then_more_is_said(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, *(event(messages=turn(f"F {n}.")) for n in range(MAX_WINDOW_EVENTS + 3)), spec=PROFILE_ONLY)
    held = _held(app_db, everything_db)
    window = window_of(app_db, held, budget=100_000)
    assert (len(window.deliveries), window.more) == (MAX_WINDOW_EVENTS, True)
    assert work(app_db, held, window=window, keep=True).go_on
    rest = window_of(app_db, held)
    assert (len(rest.deliveries), rest.more) == (3, False)


def test_given_events_of_two_specs_when_a_window_is_read_then_it_has_those_of_the_first(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    other = MachineSpec(name="other", stores={"user_profile": StoreSpec(scope="user", debounce=0)})
    for spec in (PROFILE_ONLY, PROFILE_ONLY, other, PROFILE_ONLY):
        take_in(dispatcher_db, event(messages=turn(f"By {spec.name}.")), spec=spec)
    held, sizes = _held(app_db, everything_db), []
    go_on = True
    while go_on:
        window = window_of(app_db, held)
        sizes.append((window.spec_hash, len(window.deliveries)))
        go_on = work(app_db, held, window=window, keep=True).go_on
    assert sizes == [(PROFILE_ONLY.spec_hash(), 2), (other.spec_hash(), 1), (PROFILE_ONLY.spec_hash(), 1)]


def test_given_an_event_larger_than_the_budget_when_read_then_it_is_read_in_parts_and_settled_with_the_last(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    messages = [{"role": "user", "content": f"Number {number:02}. " + "x" * 400} for number in range(10)]
    take_in(dispatcher_db, event(messages=messages), spec=PROFILE_ONLY)
    held, read, parts, go_on = _held(app_db, everything_db), [], 0, True
    while go_on:
        window = window_of(app_db, held, budget=400)
        read += [message.text[:10] for message in window.messages if not message.earlier]
        parts += 1
        states = rows(everything_db, "SELECT state FROM learning.delivery")
        assert states == [{"state": "pending"}]
        go_on = work(app_db, held, window=window, keep=True).go_on
    assert read == [f"Number {number:02}." for number in range(10)][: len(read)]
    assert len(read) == 10
    assert parts > 3
    assert rows(everything_db, "SELECT state, next_message FROM learning.delivery") == [
        {"state": "nothing_found", "next_message": 0}
    ]


def test_given_a_message_larger_than_the_budget_when_read_then_it_is_cut_visibly(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(messages=[{"role": "user", "content": "long " * 2_000}]), spec=PROFILE_ONLY)
    window = window_of(app_db, _held(app_db, everything_db), budget=300)
    (message,) = window.messages
    assert message.text.endswith(" […]")
    assert tokens_of(message.text) <= 305


def test_given_an_earlier_event_of_the_session_when_a_window_is_read_then_its_end_is_context_and_cannot_be_cited(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    take_in(dispatcher_db, event(messages=turn("Shall we go to Rome?", "In May?")), spec=BOTH_AT_ONCE)
    take_in(dispatcher_db, event(messages=turn("Other session."), session_id="s2"), spec=BOTH_AT_ONCE)
    work(app_db, _held(app_db, everything_db))
    take_in(dispatcher_db, event(messages=turn("Yes, May is good.")), spec=BOTH_AT_ONCE)
    window = window_of(app_db, _held(app_db, everything_db))
    assert [(message.text, message.earlier) for message in window.messages] == [
        ("Shall we go to Rome?", True),
        ("In May?", True),
        ("Yes, May is good.", False),
        ("Noted.", False),
    ]
    assert {message.text for message in window.by_label.values()} == {"Yes, May is good.", "Noted."}


def test_given_system_tool_and_recalled_text_when_a_window_is_read_then_none_of_it_is_there(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    memory = "<learning-machine-memory>\nLikes tea\n</learning-machine-memory>\n"
    messages = [
        {"role": "system", "content": "You are helpful."},
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": memory + "What do I like?"},
        {"role": "tool", "content": "tea", "tool_call_id": "1"},
        {"role": "assistant", "content": "Tea."},
    ]
    take_in(dispatcher_db, event(messages=messages), spec=PROFILE_ONLY)
    window = window_of(app_db, _held(app_db, everything_db))
    assert [(message.text, message.index) for message in window.messages] == [("What do I like?", 2), ("Tea.", 4)]
