"""From a patch to operations: what holds is kept, what does not is counted."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from learning_schemas.errors import ConfigurationError
from learning_schemas.ids import uuid7
from learning_schemas.patch import MAX_OPERATIONS
from learning_schemas.spec import StoreSpec
from learning_stores.operations import MAX_CONTENT, LiveLearning, Operations, Put, Retire
from learning_stores.user_profile import UserProfileStore
from learning_stores.window import Window, WindowDelivery, WindowMessage

NOW = datetime(2026, 11, 22, tzinfo=UTC)
EVENT = uuid7()
STORE = UserProfileStore()
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"type": "string"}},
        "pro": {"type": "boolean"},
    },
}
CITED = {"message": "m2", "quote": "I am Alex and I am 42"}


def _window() -> Window:
    said = [
        ("m1", "user", "Earlier words of mine.", True),
        ("m2", "user", "I am Alex and I am 42, a vegetarian", False),
        ("m3", "assistant", "You like jazz, I guess", False),
    ]
    messages = tuple(
        WindowMessage(
            label=label,
            event_id=EVENT,
            index=index,
            role=role,
            name=None,
            text=text,
            at=NOW,
            session_id="s1",
            earlier=earlier,
        )
        for index, (label, role, text, earlier) in enumerate(said)
    )
    delivery = WindowDelivery(event_id=EVENT, generation=1, attempts=0, accepted_no=1, occurred_at=NOW)
    return Window(user_id="alice", spec_hash="x", deliveries=(delivery,), messages=messages, more=False)


def _known() -> dict[str, LiveLearning]:
    def known(kind: str, content: str) -> LiveLearning:
        return LiveLearning(id=uuid7(), kind=kind, content=content, content_key=content, data={}, valid_from=NOW)

    return {"k1": known("memory", "Eats meat"), "k2": known("field", "name: Al")}


def _operations(known: dict[str, LiveLearning] | None = None, **patch: Any) -> Operations:
    spec = StoreSpec(scope="user", user_schema=SCHEMA)
    fields = dict.fromkeys(SCHEMA["properties"]) | patch.pop("fields", {})  # type: ignore[call-overload]  # the schema is JSON
    values = {"fields": fields, "add": [], "update": [], "retract": [], **patch}
    return STORE.operations(STORE.patch_model(spec).model_validate(values), _window(), known or {}, spec)


def test_given_a_field_a_memory_an_update_and_a_retraction_when_grounded_then_all_are_kept_with_their_citation() -> (
    None
):
    known = _known()
    found = _operations(
        known,
        fields={"age": {"value": 42, **CITED}},
        add=[{"content": "Is  called\nAlex", **CITED}],
        update=[{"learning": "k1", "content": "Is vegetarian", **CITED}],
        retract=[{"learning": "k2", **CITED}],
    )
    assert found.dropped == Counter()
    field, added, updated, retired = found.kept
    assert isinstance(field, Put)
    assert (field.kind, field.content, field.content_key, field.data) == (
        "field",
        "age: 42",
        "age",
        {"name": "age", "value": 42},
    )
    assert isinstance(added, Put)
    assert added.content == "Is called Alex"
    assert isinstance(updated, Put)
    assert updated.replaces == known["k1"].id
    assert isinstance(retired, Retire)
    assert retired.learning_id == known["k2"].id
    (citation,) = added.citations
    assert (citation.event_id, citation.message, citation.quote, citation.user_id) == (
        EVENT,
        1,
        CITED["quote"],
        "alice",
    )


@pytest.mark.parametrize(
    ("addition", "reason"),
    [
        ({"message": "m9", "quote": "I am Alex"}, "unknown message"),
        ({"message": "m1", "quote": "Earlier words of mine."}, "unknown message"),
        ({"message": "m3", "quote": "You like jazz, I guess"}, "not the user's message"),
        ({"message": "m2", "quote": "I am Alexander the Great"}, "quote not in the message"),
        ({"message": "m2", "quote": "am 42"}, "quote not in the message"),
        ({"content": " \x00 ", **CITED}, "empty"),
        ({"content": "x" * (MAX_CONTENT + 1), **CITED}, "too long"),
    ],
)
def test_given_a_memory_that_does_not_hold_when_grounded_then_it_is_dropped_and_counted(
    addition: dict[str, str], reason: str
) -> None:
    found = _operations(add=[{"content": "Likes jazz", **addition}])
    assert (found.kept, found.dropped) == ((), Counter({reason: 1}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("age", 400), ("age", "old"), ("age", True), ("name", ""), ("name", None), ("tags", []), ("tags", [1])],
)
def test_given_a_value_that_the_users_schema_refuses_when_grounded_then_it_is_dropped(name: str, value: Any) -> None:
    found = _operations(fields={name: {"value": value, **CITED}})
    assert (found.kept, found.dropped) == ((), Counter({"invalid value": 1}))


def test_given_values_of_other_types_when_grounded_then_they_are_told_in_words() -> None:
    found = _operations(fields={"tags": {"value": ["a", "b"], **CITED}, "pro": {"value": False, **CITED}})
    assert [operation.content for operation in found.kept if isinstance(operation, Put)] == ["tags: a, b", "pro: no"]


def test_given_labels_of_nothing_known_when_grounded_then_they_are_dropped() -> None:
    found = _operations(
        _known(),
        update=[{"learning": "k7", "content": "New", **CITED}, {"learning": "k2", "content": "Alex", **CITED}],
        retract=[{"learning": "k9", **CITED}],
    )
    assert found.kept == ()
    assert found.dropped == Counter({"unknown learning": 2, "not a memory": 1})


def test_given_a_flood_of_operations_when_grounded_then_only_so_many_are_kept() -> None:
    found = _operations(add=[{"content": f"Fact {number}", **CITED} for number in range(MAX_OPERATIONS + 5)])
    assert len(found.kept) == MAX_OPERATIONS
    assert found.dropped == Counter({"too many operations": 5})


def test_given_a_schema_that_this_worker_may_not_import_when_grounded_then_the_value_is_not_dropped_silently() -> None:
    spec = StoreSpec(scope="user", user_schema=SCHEMA, schema_import="no.such:Profile")
    values = {"fields": dict.fromkeys(SCHEMA["properties"]) | {"age": {"value": 42, **CITED}}}  # type: ignore[call-overload]  # the schema is JSON
    model = STORE.patch_model(StoreSpec(scope="user", user_schema=SCHEMA))
    patch = model.model_validate({**values, "add": [], "update": [], "retract": []})

    with pytest.raises(ConfigurationError, match="LEARNING_SCHEMA_IMPORTS"):
        STORE.operations(patch, _window(), {}, spec)


def test_given_a_value_that_is_too_long_when_grounded_then_it_is_dropped_before_it_is_checked() -> None:
    found = _operations(fields={"name": {"value": "x" * (MAX_CONTENT + 1), **CITED}})
    assert (found.kept, found.dropped) == ((), Counter({"too long": 1}))
