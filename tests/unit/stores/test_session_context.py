"""The session's parts from a patch: whole messages cited, null kept, steps cleaned."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from learning_schemas.errors import ConfigurationError
from learning_schemas.ids import uuid7
from learning_schemas.spec import StoreSpec
from learning_stores.operations import Operations, Put
from learning_stores.session_context import MAX_STEPS, SessionContextStore
from learning_stores.store import MAX_EXCERPT
from learning_stores.window import Window, WindowDelivery, WindowMessage

NOW = datetime(2026, 11, 22, tzinfo=UTC)
EVENT = uuid7()
STORE = SessionContextStore()


SCHEMA = {
    "type": "object",
    "properties": {"ticket": {"type": "string", "pattern": "^T-[0-9]+$"}, "seats": {"type": "integer", "minimum": 1}},
}


def _operations(planning: bool = True, schema: dict[str, Any] | None = None, **patch: Any) -> Operations:
    messages = tuple(
        WindowMessage(
            label=f"m{number}",
            event_id=EVENT,
            index=number,
            role=role,
            name=None,
            text=text,
            at=NOW,
            session_id="s1",
            earlier=False,
        )
        for number, (role, text) in enumerate([("user", "Find me a flight to Rome"), ("assistant", "Sure. " * 100)], 1)
    )
    delivery = WindowDelivery(event_id=EVENT, generation=1, attempts=0, accepted_no=1, occurred_at=NOW)
    window = Window(user_id="alice", spec_hash="x", deliveries=(delivery,), messages=messages, more=False)
    spec = StoreSpec(scope="session", options={"planning": planning}, user_schema=schema)
    parts = dict.fromkeys(STORE.patch_model(spec).model_fields) | patch
    return STORE.operations(STORE.patch_model(spec).model_validate(parts), window, {}, spec)


def _puts(found: Operations) -> list[Put]:
    return [operation for operation in found.kept if isinstance(operation, Put)]


def test_given_a_summary_alone_when_grounded_then_the_other_parts_are_left_as_they_are() -> None:
    found = _operations(summary={"content": "Wants  a flight.", "messages": ["m1", "m2", "m1", "m9"]})
    (summary,) = _puts(found)
    assert (summary.kind, summary.content, summary.content_key, summary.data) == (
        "summary",
        "Wants a flight.",
        "summary",
        {},
    )
    assert [(citation.message, citation.user_id) for citation in summary.citations] == [(1, "alice"), (2, None)]
    assert [len(citation.quote or "") <= MAX_EXCERPT for citation in summary.citations] == [True, True]
    assert (summary.citations[1].quote or "").endswith("…")


def test_given_plan_and_progress_when_grounded_then_steps_are_kept_typed_and_as_text() -> None:
    found = _operations(
        goal={"content": "Fly to Rome", "messages": ["m1"]},
        plan={"steps": [" search ", "", "bo\x00ok\n it"], "messages": ["m1"]},
        progress={"steps": [f"step {number}" for number in range(MAX_STEPS + 9)], "messages": ["m1"]},
    )
    by_kind = {put.kind: put for put in _puts(found)}
    assert by_kind["plan"].data == {"steps": ["search", "book it"]}
    assert by_kind["plan"].content == "1. search; 2. book it"
    assert len(by_kind["progress"].data["steps"]) == MAX_STEPS
    assert by_kind["goal"].data == {}


def test_given_parts_that_cite_nothing_or_say_nothing_when_grounded_then_they_are_dropped_and_counted() -> None:
    found = _operations(
        summary={"content": "Made up.", "messages": ["m7"]},
        goal={"content": " ", "messages": ["m1"]},
        plan={"steps": [], "messages": ["m1"]},
    )
    assert found.kept == ()
    assert found.dropped == Counter({"cites no message": 1, "empty": 2})


def test_given_planning_off_when_grounded_then_there_is_only_a_summary() -> None:
    found = _operations(planning=False, summary={"content": "Wants a flight.", "messages": ["m1"]})
    assert [put.kind for put in _puts(found)] == ["summary"]


def test_given_fields_of_ones_own_when_grounded_then_they_are_facts_of_the_session_typed_and_as_text() -> None:
    found = _operations(
        schema=SCHEMA,
        fields={"ticket": {"value": "T-42", "messages": ["m1"]}, "seats": {"value": 2, "messages": ["m1", "m2"]}},
    )

    ticket, seats = _puts(found)
    assert (ticket.kind, ticket.content, ticket.content_key) == ("field", "ticket: T-42", "ticket")
    assert ticket.data == {"name": "ticket", "value": "T-42"}
    assert seats.data == {"name": "seats", "value": 2}
    assert [citation.message for citation in seats.citations] == [1, 2]


def test_given_fields_that_do_not_hold_when_grounded_then_they_are_dropped_and_counted() -> None:
    found = _operations(
        schema=SCHEMA,
        fields={"ticket": {"value": "forty-two", "messages": ["m1"]}, "seats": {"value": 2, "messages": ["m9"]}},
    )

    assert found.kept == ()
    assert found.dropped == Counter({"invalid value": 1, "cites no message": 1})


def test_given_null_fields_when_grounded_then_what_is_known_stays() -> None:
    found = _operations(schema=SCHEMA, fields={"ticket": None, "seats": None})

    assert (found.kept, found.dropped) == ((), Counter())


def test_given_an_unusable_schema_when_a_patch_is_asked_for_then_it_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError):
        _operations(schema={"type": "object", "properties": {"ticket": {"pattern": "("}}}, fields={"ticket": None})


@pytest.mark.parametrize("planning", [True, False])
def test_given_fields_of_ones_own_then_the_prompt_is_the_same_with_a_word_on_them(planning: bool) -> None:
    options = {"planning": planning}
    plain = STORE.prompt(StoreSpec(scope="session", options=options))
    asking = STORE.prompt(StoreSpec(scope="session", options=options, user_schema=SCHEMA))

    assert asking.text.startswith(plain.text)
    assert "\n- fields: " in asking.text.removeprefix(plain.text.rstrip("\n"))
    assert (asking.name, asking.version) != (plain.name, plain.version)
