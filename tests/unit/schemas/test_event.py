"""The event and its wire form."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import event
from learning_schemas.errors import InvalidEvent
from learning_schemas.event import ConversationCompleted, check_size
from learning_schemas.ids import uuid7
from learning_schemas.limits import MAX_MESSAGES

NOW = datetime.now(UTC)
SECRET = "hunter2-do-not-repeat"

clean = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=20)
an_id = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | clean,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(clean, inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(clean, json_values, max_size=3)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "developer", "tool"]), "content": clean},
    optional={"name": an_id, "id": an_id, "tool_calls": json_values, "tool_call_id": an_id, "metadata": json_objects},
)
events = st.fixed_dictionaries(
    {
        "id": st.builds(uuid7),
        "occurred_at": st.builds(
            datetime.fromtimestamp,
            st.floats(0, 1_790_000_000),
            st.sampled_from([UTC, timezone(timedelta(hours=-7))]),
        ),
        "messages": st.lists(messages, min_size=1, max_size=4),
        "user_id": an_id,
    },
    optional={
        "tenant": an_id,
        "session_id": an_id,
        "agent_id": an_id,
        "team_id": an_id,
        "history": st.sampled_from(["auto", "delta", "full"]),
        "end_of_session": st.booleans(),
        "spec": st.just("a" * 64),
        "producer": st.uuids(),
        "seq": st.integers(1, 2**63 - 1),
        "traceparent": clean,
        "metadata": json_objects,
    },
)


@given(events)
def test_given_any_event_when_it_travels_then_it_and_its_hash_are_the_same(values: dict[str, Any]) -> None:
    sent = ConversationCompleted.make(values)

    received = ConversationCompleted.from_json(sent.to_json())

    assert received == sent
    assert received.to_json() == sent.to_json()
    assert received.body_hash() == sent.body_hash()


def test_given_an_event_when_it_is_sent_by_another_producer_then_its_body_hash_stays() -> None:
    sent = event()
    numbered = sent.model_copy(update={"producer": uuid4(), "seq": 9, "traceparent": "00-x", "spec": "b" * 64})

    assert numbered.body_hash() == sent.body_hash()


@pytest.mark.parametrize(
    "change",
    [{"user_id": "bob"}, {"tenant": "acme"}, {"history": "full"}, {"end_of_session": True}, {"metadata": {"a": 1}},
     {"session_id": None}, {"messages": [{"role": "user", "content": "other"}]}, {"occurred_at": NOW - timedelta(days=1)}],
)  # fmt: skip
def test_given_an_event_that_says_something_else_then_its_body_hash_is_another(change: dict[str, Any]) -> None:
    values = {"id": uuid7(), "occurred_at": NOW}

    assert event(**{**values, **change}).body_hash() != event(**values).body_hash()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": {"role": "user", "content": SECRET}}, "messages"),
        ({"messages": [SECRET]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": "hi"}] * (MAX_MESSAGES + 1)}, "messages"),
        ({"messages": [{"role": "user"}, {"role": SECRET}]}, "messages[1].role"),
        ({"messages": [{"content": SECRET}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": SECRET + "\x00"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": {"a": SECRET}}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": SECRET}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "name": SECRET + "\n"}]}, "messages[0].name"),
        ({"messages": [{"role": "user", "metadata": {SECRET: "\x00"}}]}, "messages[0].metadata"),
        ({"messages": [{"role": "user", "tool_calls": {SECRET: {"a": ["\x00"]}}}]}, "messages[0].tool_calls"),
        ({"id": "not-a-uuid"}, "id"),
        ({"id": str(uuid4())}, "id"),
        ({"id": "ffffffff-ffff-7fff-bfff-ffffffffffff"}, "id"),
        ({"tenant": None}, "tenant"),
        ({"tenant": ""}, "tenant"),
        ({"user_id": SECRET + "\x00"}, "user_id"),
        ({"user_id": " " + SECRET}, "user_id"),
        ({"user_id": True}, "user_id"),
        ({"user_id": 5}, "user_id"),
        ({"session_id": SECRET * 20}, "session_id"),
        ({"agent_id": ""}, "agent_id"),
        ({"team_id": []}, "team_id"),
        ({"occurred_at": "2026-01-01T00:00:00"}, "occurred_at"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00Z"}, "occurred_at"),
        ({"occurred_at": "9999-12-31T23:59:59Z"}, "occurred_at"),
        ({"occurred_at": (NOW + timedelta(days=2)).isoformat()}, "occurred_at"),
        ({"occurred_at": 1_700_000_000}, "occurred_at"),
        ({"occurred_at": None}, "occurred_at"),
        ({"history": SECRET}, "history"),
        ({"end_of_session": "yes"}, "end_of_session"),
        ({"end_of_session": 1}, "end_of_session"),
        ({"metadata": [SECRET]}, "metadata"),
        ({"metadata": {"a": {SECRET: "\x00"}}}, "metadata"),
        ({"spec": SECRET}, "spec"),
        ({"seq": 0}, "seq"),
        ({"seq": 2**63}, "seq"),
        ({"producer": SECRET}, "producer"),
        ({"traceparent": SECRET + "\x00"}, "traceparent"),
        ({"traceparent": "x" * 129}, "traceparent"),
        ({"v": 2}, "v"),
        ({"sessionid": SECRET}, "sessionid"),
    ],
)  # fmt: skip
def test_given_a_wire_entry_with_one_fault_then_the_error_names_the_field_and_a_remedy_and_not_the_input(
    change: dict[str, Any], field: str
) -> None:
    body = json.dumps({**json.loads(event().to_json()), **change}).encode()

    with pytest.raises(InvalidEvent) as refused:
        ConversationCompleted.from_json(body)

    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: {refused.value.problem}. ")
    assert refused.value.remedy[0].isupper()
    assert SECRET not in str(refused.value)
    assert "function-" not in str(refused.value)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"5", b'"x"', b"\xff\xfe", b"{", b"[" * 100_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
     b'{"messages":[{"role":"user","content":"\\ud800"}]}', b"{}" * 2],
)  # fmt: skip
def test_given_what_is_no_event_at_all_then_it_is_invalid_and_nothing_else(body: bytes) -> None:
    with pytest.raises(InvalidEvent):
        ConversationCompleted.from_json(body)


def test_given_an_unknown_field_of_a_hostile_name_then_the_error_shows_a_part_of_it_that_can_be_stored() -> None:
    body = json.dumps({**json.loads(event().to_json()), "\x00\u202e" + "x" * 10_000: 1}).encode()

    with pytest.raises(InvalidEvent) as refused:
        ConversationCompleted.from_json(body)

    assert refused.value.field == "??" + "x" * 62


def test_given_an_event_over_the_limit_then_its_size_is_named() -> None:
    body = event().to_json()

    check_size(body, len(body))
    with pytest.raises(InvalidEvent, match=r"event: is .* over the limit of .* LEARNING_MAX_EVENT_BYTES"):
        ConversationCompleted.from_json(body, max_bytes=len(body) - 1)


def test_given_an_event_then_its_parts_cannot_be_replaced_and_follow_no_change_of_what_they_were_made_of() -> None:
    metadata: dict[str, Any] = {"a": [1]}
    made = event(metadata=metadata)

    metadata["a"].append(object())

    assert made.metadata == {"a": [1]}
    with pytest.raises(ValueError, match="frozen"):
        made.tenant = "other"  # type: ignore[misc]  # what the test is about


def test_given_an_event_whose_metadata_was_changed_into_what_json_cannot_hold_then_it_is_invalid() -> None:
    made = event(metadata={"a": 1})
    assert made.metadata is not None
    made.metadata["a"] = object()

    with pytest.raises(InvalidEvent, match="event: holds a value"):
        made.to_json()


def test_given_an_event_of_version_1_then_its_wire_form_is_this() -> None:
    made = event(id=UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), occurred_at=datetime(2026, 1, 2, tzinfo=UTC), seq=1)

    assert json.loads(made.to_json()) == {
        "v": 1,
        "id": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "tenant": "default",
        "user_id": "alice",
        "session_id": "s1",
        "occurred_at": "2026-01-02T00:00:00Z",
        "messages": [{"role": "user", "content": "I work at Netflix."}, {"role": "assistant", "content": "Noted."}],
        "history": "auto",
        "end_of_session": False,
        "seq": 1,
    }


@pytest.mark.parametrize(
    ("ids", "field"),
    [
        ({"user_id": "u" * 255, "session_id": "/" * 255, "tenant": "é" * 255}, "session_id"),
        ({"user_id": "%" * 255, "tenant": "\U0001f600" * 255}, "user_id"),
        ({"session_id": "\U0001f600" * 250, "tenant": "t" * 250, "user_id": "日" * 100}, "session_id"),
    ],
)
def test_given_ids_that_make_a_key_too_long_for_an_index_then_the_longer_is_named(
    ids: dict[str, str], field: str
) -> None:
    values = json.loads(event().to_json()) | ids

    for refuse in (ConversationCompleted.make, _read):
        with pytest.raises(InvalidEvent, match=r"over the limit of 1,500\. Give shorter ids, or hash them") as refused:
            refuse(values)
        assert refused.value.field == field


def _read(values: dict[str, Any]) -> ConversationCompleted:
    return ConversationCompleted.from_json(json.dumps(values).encode())


def test_given_the_longest_ids_of_ascii_then_they_are_taken() -> None:
    ids = {"user_id": "u" * 255, "session_id": "s" * 255, "tenant": "t" * 255}

    assert _read(json.loads(event().to_json()) | ids).session_id == ids["session_id"]
