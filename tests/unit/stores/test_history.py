"""How much of an event is history: the rule, case by case."""

from uuid import UUID

import pytest

from harness import event
from learning_schemas.event import History
from learning_stores.history import Division, Shown, compared, divide

SALT = b"salt"


def _event_id(number: int) -> UUID:
    return UUID(int=(number << 80) | (7 << 76) | (2 << 62))


def _shown(words: str, made: int, *, start: int = 0) -> list[Shown]:
    """Messages from words such as `u:hello a:hi a#7:hi`: role, id where there is one, and what was said."""
    found = []
    for index, word in enumerate(words.split()):
        head, _, said = word.partition(":")
        role = "user" if head[0] == "u" else "assistant"
        key = f"id {head[2:]}" if "#" in head else f"{role} {said}"
        found.append(Shown(key.encode(), role, index, _event_id(made), start + index, by_id="#" in head))
    return found


def _session(*events: str) -> list[Shown]:
    """What a session has shown, event by event; `3>` before the words says when the event was made."""
    shown: list[Shown] = []
    for number, words in enumerate(events, 1):
        made, _, said = words.rpartition(">")
        shown += _shown(said, int(made or number), start=len(shown))
    # As loaded from the table, which does not keep what was compared by id.
    return [Shown(each.key, each.role, each.index, each.event_id, each.position) for each in shown]


CASES: list[tuple[str, History, list[str], str, Division]] = [
    ("nothing shown", "auto", [], "u:hi a:hello", Division(0)),
    ("a new turn", "auto", ["u:hi a:hello"], "u:more a:sure", Division(0)),
    ("the whole history", "auto", ["u:hi a:hello"], "u:hi a:hello u:more a:sure", Division(2)),
    ("the whole history, three turns", "auto", ["u:1 a:1", "u:2 a:2"], "u:1 a:1 u:2 a:2 u:3 a:3", Division(4)),
    ("a sliding window", "auto", ["u:1 a:1", "u:2 a:2", "u:3 a:3"], "u:2 a:2 u:3 a:3 u:4 a:4", Division(4)),
    ("a window that begins with an answer", "auto", ["u:1 a:1", "u:2 a:2"], "a:2 u:3 a:3", Division(1)),
    ("a truncated history", "auto", ["u:1 a:1", "u:2 a:2", "u:3 a:3"], "u:3 a:3 u:4 a:4", Division(2)),
    ("the user's message before, the answer now", "auto", ["u:1"], "u:1 a:1", Division(1)),
    ("the same turn said twice", "auto", ["u:yes a:ok"], "u:yes a:ok", Division(0)),
    ("the same turn said a third time", "auto", ["u:yes a:ok", "u:yes a:ok"], "u:yes a:ok", Division(0)),
    ("twice the same, as whole history", "auto", ["u:yes a:ok"], "u:yes a:ok u:yes a:ok", Division(2)),
    (
        "three times the same, as whole history",
        "auto",
        ["u:yes a:ok", "u:yes a:ok"],
        "u:yes a:ok u:yes a:ok u:yes a:ok",
        Division(4),
    ),
    ("the last words said again, and more", "auto", ["u:1 a:1", "u:2 a:1"], "u:1 a:1 u:2 a:1 u:2 a:3", Division(4)),
    ("a regenerated answer", "auto", ["u:1 a:1"], "u:1 a:other", Division(1, (1,))),
    (
        "a regenerated answer, whole history",
        "auto",
        ["u:1 a:1", "u:2 a:2"],
        "u:1 a:1 u:2 a:other",
        Division(3, (3,)),
    ),
    (
        "a regenerated answer and the next turn",
        "auto",
        ["u:1 a:1", "u:2 a:2"],
        "u:1 a:1 u:2 a:other u:3 a:3",
        Division(3, (3,)),
    ),
    ("an answer of two messages regenerated", "auto", ["u:1 a:1 a:2"], "u:1 a:other", Division(1, (1, 2))),
    ("the second half of an answer", "auto", ["u:1 a:1"], "u:1 a:1 a:2", Division(2)),
    ("an edited question is new", "auto", ["u:1 a:1"], "u:one a:1", Division(0)),
    ("late, and shown by the event that overtook it", "auto", ["2>u:1 a:1 u:2 a:2"], "1>u:1 a:1", Division(2)),
    (
        "late, whole history, overtaken by a longer one",
        "auto",
        ["3>u:1 a:1 u:2 a:2 u:3 a:3"],
        "2>u:1 a:1 u:2 a:2",
        Division(4),
    ),
    ("late, and new", "auto", ["2>u:2 a:2"], "1>u:1 a:1", Division(0)),
    (
        "whole history after two that overtook each other",
        "auto",
        ["2>u:2 a:2", "1>u:1 a:1"],
        "u:1 a:1 u:2 a:2 u:3 a:3",
        Division(4),
    ),
    ("late, whole history of what was before it", "auto", ["1>u:1 a:1", "3>u:3 a:3"], "2>u:1 a:1 u:2 a:2", Division(2)),
    ("whole history though clocks differ", "auto", ["5>u:1 a:1", "2>u:2 a:2"], "u:1 a:1 u:2 a:2 u:3 a:3", Division(4)),
    ("the same words made later are said twice", "auto", ["1>u:1 a:1", "2>u:2 a:2"], "3>u:1 a:1", Division(0)),
    ("delta: nothing is history", "delta", ["u:1 a:1"], "u:1 a:1 u:2 a:2", Division(0)),
    ("full: the same again is all history", "full", ["u:1 a:1"], "u:1 a:1", Division(2)),
    ("full: nothing new of two turns", "full", ["u:1 a:1", "u:2 a:2"], "u:1 a:1 u:2 a:2", Division(4)),
    ("full: history and a turn", "full", ["u:1 a:1"], "u:1 a:1 u:2 a:2", Division(2)),
    ("full: truncated by the agent", "full", ["u:1 a:1", "u:2 a:2"], "u:2 a:2 u:3 a:3", Division(2)),
    (
        "full: an edited question in the middle",
        "full",
        ["u:1 a:1", "u:2 a:2", "u:3 a:3"],
        "u:1 a:1 u:two a:2",
        Division(2),
    ),
    ("ids: known ones are history", "auto", ["u#1:x a#2:x"], "u#1:x a#2:x u#3:x a#4:x", Division(2)),
    ("ids: the same words under a new id are new", "auto", ["u#1:yes a#2:ok"], "u#3:yes a#4:ok", Division(0)),
    ("ids: sent again, nothing is new", "auto", ["u#1:x a#2:x"], "u#1:x a#2:x", Division(2)),
    ("ids: an edited text under a known id is history", "auto", ["u#1:x a#2:x"], "u#1:edited u#5:y", Division(1)),
    ("ids: out of order", "auto", ["2>u#3:x a#4:x", "1>u#1:x a#2:x"], "u#1:x a#2:x u#3:x a#4:x u#5:x", Division(4)),
    ("ids: a regenerated answer", "auto", ["u#1:x a#2:x"], "u#1:x a#9:y", Division(1)),
    ("ids of users only: answers follow", "auto", ["u#1:x a:1"], "u#1:x a:1 u#2:x a:2", Division(2)),
    ("ids of users only: a regenerated answer", "auto", ["u#1:x a:1"], "u#1:x a:other u#2:y", Division(1)),
    ("ids of assistants only", "auto", ["u:1 a#1:x"], "u:1 a#1:x u:2 a#2:x", Division(2)),
    ("ids: delta overrides them", "delta", ["u#1:x"], "u#1:x", Division(0)),
]


@pytest.mark.parametrize(
    ("mode", "session", "words", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_given_what_a_session_has_shown_when_an_event_comes_then_its_history_is_known(
    mode: History, session: list[str], words: str, expected: Division
) -> None:
    made, _, said = words.rpartition(">")
    assert divide(mode, _shown(said, int(made or 9)), _session(*session)) == expected


def test_given_tools_in_between_when_compared_then_only_users_and_assistants_count() -> None:
    told = event(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]},
            {"role": "tool", "content": "sunny", "tool_call_id": "1"},
            {"role": "assistant", "content": "Sunny."},
        ]
    )
    assert [(each.role, each.index) for each in compared(told, SALT)] == [("user", 1), ("assistant", 4)]


def test_given_recalled_context_in_a_message_when_compared_then_what_memory_said_does_not_count() -> None:
    def keys(memory: str) -> list[bytes]:
        content = f"<learning-machine-memory>\n{memory}\n</learning-machine-memory>\nWhat now?"
        return [each.key for each in compared(event(messages=[{"role": "user", "content": content}]), SALT)]

    assert keys("Nothing.") == keys("Likes tea.")
    plain = compared(event(messages=[{"role": "user", "content": "What now?"}]), SALT)
    assert keys("Likes tea.") == [each.key for each in plain]


def test_given_two_subjects_when_they_say_the_same_then_the_hashes_tell_nothing() -> None:
    told = event()
    assert compared(told, b"one")[0].key != compared(told, b"other")[0].key


def test_given_the_same_words_of_different_speakers_when_compared_then_they_differ() -> None:
    def key(**message: str) -> bytes:
        return compared(event(messages=[{"content": "hi", **message}]), SALT)[0].key

    assert len({key(role="user"), key(role="assistant"), key(role="user", name="Bo")}) == 3


def test_given_a_conversation_of_several_turns_when_it_is_sent_twice_then_nothing_of_it_is_new() -> None:
    session = _session("u:1 a:1 u:2 a:2")

    assert divide("auto", _shown("u:1 a:1 u:2 a:2", 2), session) == Division(4)


@pytest.mark.parametrize("repeats", [1, 40])
def test_given_one_message_said_over_and_over_when_compared_then_each_is_looked_at_a_few_times_only(
    repeats: int,
) -> None:
    """What a comparison costs is counted, not timed: a row of equal words must not make it quadratic."""
    looks = 0

    class Counted(bytes):
        def __eq__(self, other: object) -> bool:
            nonlocal looks
            looks += 1
            return bytes.__eq__(self, other) if isinstance(other, bytes) else False

        __hash__ = bytes.__hash__

    def said(count: int, made: int) -> list[Shown]:
        return [Shown(Counted(b"again"), "user", place, _event_id(made), place) for place in range(count)]

    length = 50 * repeats
    last = Shown(Counted(b"other"), "user", length, _event_id(2), length)

    divide("auto", [*said(length, 2), last], said(length + 50, 1))

    assert looks <= 20 * (length + 50)
