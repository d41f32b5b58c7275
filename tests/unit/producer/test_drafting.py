"""Drafts: what an agent's loop has becomes a valid event without secrets."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from learning_machine import ConfigurationError, ConversationCompleted, InvalidEvent, LearningMachine, Message
from learning_machine.drafting import draft, redacted, redacted_json
from learning_schemas.redaction import Redactor
from learning_schemas.spec import DEFAULT_SPEC, MachineSpec, StoreSpec

KEY = "sk-abcdefghijklmnopqrstuvwx1234"
ARGUMENTS: dict[str, Any] = {
    "tenant": "default", "user_id": "alice", "session_id": "s1", "agent_id": None, "team_id": None, "occurred_at": None,
    "history": "auto", "end_of_session": False, "metadata": None,
}  # fmt: skip
HI = [{"role": "user", "content": "hi"}]


def drafted(
    messages: Any, *, spec: MachineSpec = DEFAULT_SPEC, hooks: Any = (), enabled: bool = True, **values: Any
) -> tuple[ConversationCompleted, dict[str, int]]:
    return draft({**ARGUMENTS, **values}, messages, spec, Redactor(hooks, enabled=enabled))


def test_given_a_turn_then_the_event_has_an_id_a_time_and_its_messages() -> None:
    before = datetime.now(UTC)

    event, redactions = drafted(HI)

    assert event.id.version == 7
    assert before <= event.occurred_at <= datetime.now(UTC)
    assert event.messages == (Message(role="user", content="hi"),)
    assert redactions == {}


def _generated() -> Iterator[object]:
    yield {"role": "user", "content": "one"}
    yield Message(role="assistant", content="two")


@pytest.mark.parametrize("messages", [_generated(), list(_generated()), tuple(_generated())])
def test_given_messages_of_any_iterable_then_they_are_taken_in_order(messages: Any) -> None:
    event, _ = drafted(messages)

    assert [message.content for message in event.messages] == ["one", "two"]


@pytest.mark.parametrize("messages", ["hi", b"hi", {"role": "user"}, Message(role="user"), None, 5, object()])
def test_given_what_is_no_list_of_messages_then_it_is_refused_with_a_remedy(messages: Any) -> None:
    with pytest.raises(InvalidEvent, match=r"messages: must be a list .* Wrap a single message in a list") as refused:
        drafted(messages)

    assert refused.value.field == "messages"


@pytest.mark.parametrize("field", ["user_id", "session_id"])
def test_given_a_missing_id_that_a_store_needs_then_the_error_names_both(field: str) -> None:
    store = {"user_id": "user_profile", "session_id": "session_context"}[field]

    with pytest.raises(InvalidEvent, match=rf"{field}: is missing, and the store {store} needs it") as refused:
        drafted(HI, **{field: None})

    assert refused.value.field == field


@pytest.mark.parametrize("value", ["", 0, False])
def test_given_an_id_that_is_there_and_wrong_then_it_is_not_called_missing(value: Any) -> None:
    with pytest.raises(InvalidEvent) as refused:
        drafted(HI, user_id=value)

    assert "missing" not in refused.value.problem


def test_given_a_machine_of_one_store_then_the_other_stores_id_is_not_needed() -> None:
    only_session = MachineSpec(stores={"session_context": StoreSpec(scope="session")})
    only_user = MachineSpec(stores={"user_profile": StoreSpec(scope="user")})

    assert drafted(HI, spec=only_session, user_id=None)[0].user_id is None
    assert drafted(HI, spec=only_user, session_id=None)[0].session_id is None


def test_given_secrets_in_every_part_then_they_are_redacted_and_counted() -> None:
    event, redactions = drafted(
        [
            {"role": "user", "content": f"my key is {KEY}", "metadata": {"note": KEY}},
            {"role": "assistant", "content": None,
             "tool_calls": ({"function": {"arguments": '{"password": "hunter2-Aa!"}'}, "ids": (KEY,)},)},
            {"role": "assistant", "tool_calls": [{"input": {"password": "hunter2-Aa!", "api_key": "abcd1234efgh",
                                                            "limit": "12", "query": "shoes", KEY: "name"}}]},
        ],
        metadata={"trace": ["x", KEY]},
    )  # fmt: skip

    body = event.to_json().decode()
    assert KEY not in body
    assert "hunter2" not in body
    assert "abcd1234efgh" not in body
    assert event.messages[2].tool_calls[0]["input"] == {
        "password": "[redacted: password]",
        "api_key": "[redacted: api key]",
        "limit": "12",
        "query": "shoes",
        "[redacted: api key]": "name",
    }
    assert redactions == {"api key": 6, "password": 2}


def test_given_a_redacted_event_then_redacting_it_again_changes_nothing() -> None:
    event, _ = drafted([{"role": "user", "content": f"my key is {KEY}"}], metadata={"password": "hunter2-Aa!"})

    assert redacted(event, Redactor()) == (event, {})


def test_given_redaction_switched_off_then_nothing_is_changed() -> None:
    event, redactions = drafted([{"role": "user", "content": KEY}], enabled=False, metadata={"password": "hunter2-Aa!"})

    assert event.messages[0].content == KEY
    assert event.metadata == {"password": "hunter2-Aa!"}
    assert redactions == {}


def test_given_a_hook_then_its_text_travels_and_is_counted() -> None:
    event, redactions = drafted(HI, hooks=(lambda text: text.replace("hi", "[name]"),))

    assert event.messages[0].content == "[name]"
    assert redactions == {"custom": 1}


def test_given_a_hook_that_fails_then_its_error_reaches_the_caller() -> None:
    def fails(text: str) -> str:
        raise RuntimeError("no dictionary")

    with pytest.raises(RuntimeError, match="no dictionary"):
        drafted(HI, hooks=(fails,))


@pytest.mark.parametrize("given", [None, 5, b"x", "a\x00", "\ud800"])
def test_given_a_hook_whose_text_cannot_travel_then_the_hook_is_named(given: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        drafted(HI, hooks=(lambda text: given,))

    assert refused.value.field == "redaction_hooks"


def test_given_a_machine_then_it_drafts_with_its_spec(machine_of: Callable[..., LearningMachine]) -> None:
    machine = machine_of()

    event, _ = machine._draft(HI, **ARGUMENTS)

    assert event.spec == machine.spec.spec_hash()


@pytest.mark.parametrize("naming", ["name", "field", "key"])
def test_given_a_secret_in_a_pair_of_name_and_value_then_the_name_announces_it(naming: str) -> None:
    counts: dict[str, int] = {}

    kept = redacted_json(
        [{naming: "password", "value": "hunter22"}, {naming: "city", "value": "Rome"}], Redactor(), counts
    )

    assert kept == [{naming: "password", "value": "[redacted: password]"}, {naming: "city", "value": "Rome"}]
    assert counts == {"password": 1}


def test_given_a_store_that_extracts_nothing_then_the_event_needs_no_id_for_it() -> None:
    agentic = MachineSpec(stores={"user_profile": StoreSpec(scope="user", mode="AGENTIC")})

    event, _ = drafted(HI, spec=agentic, user_id=None)

    assert event.user_id is None
