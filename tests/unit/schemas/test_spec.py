"""Specs: equal configurations are one, whoever wrote them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from learning_schemas.spec import DEFAULT_SPEC, MAX_SPEC_BYTES, MachineSpec, StoreSpec

DEFAULT_HASH = "e4d90456a3c2a3907fdb7adff4e932ecda03e93a90def5ff134fbfc898ff3737"


def test_given_the_default_machine_then_its_hash_never_changes() -> None:
    """Events in the wild name it: another hash is another spec, and a new version of it."""
    assert DEFAULT_SPEC.spec_hash() == DEFAULT_HASH


def test_given_a_spec_then_its_json_is_canonical_and_reads_back() -> None:
    body = DEFAULT_SPEC.to_json()

    assert body == (
        b'{"name":"default","stores":{"session_context":{"debounce":2.0,"idle_after":900.0,"max_wait":30.0,"mode":"ALWAYS",'
        b'"options":{},"scope":"session","trigger":"turn"},"user_profile":{"debounce":2.0,"idle_after":900.0,'
        b'"max_wait":30.0,"mode":"ALWAYS","options":{},"scope":"user","trigger":"turn"}},"v":1}'
    )
    assert MachineSpec.from_json(body) == DEFAULT_SPEC


def test_given_equal_configurations_in_another_order_or_notation_then_their_hashes_are_equal() -> None:
    one = MachineSpec(
        name="a",
        stores={"x": StoreSpec(scope="user", options={"a": 1, "b": {"c": 1, "d": 2}}), "y": StoreSpec(scope="session")},
    )
    other = MachineSpec(
        stores={
            "y": StoreSpec(scope="session", debounce=2, instructions=None),
            "x": StoreSpec(options={"b": {"d": 2, "c": 1}, "a": 1}, scope="user"),
        },
        name="a",
    )

    assert one.spec_hash() == other.spec_hash()


store_values = st.fixed_dictionaries(
    {"scope": st.sampled_from(["user", "session"])},
    optional={
        "debounce": st.floats(0, 100),
        "trigger": st.sampled_from(["turn", "session_end"]),
        "model": st.sampled_from(["a", "b"]),
        "instructions": st.text("ab é\n", max_size=5),
        "options": st.dictionaries(st.text("ab", max_size=2), st.integers() | st.none() | st.text("xy"), max_size=3),
    },
)


@given(store_values, store_values)
def test_given_two_configurations_then_their_hashes_are_equal_only_where_they_are_and_survive_travel(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    specs = [MachineSpec(stores={"s": StoreSpec(**values)}) for values in (one, other)]

    assert (specs[0].spec_hash() == specs[1].spec_hash()) == (specs[0] == specs[1])
    again = MachineSpec.from_json(specs[0].to_json())
    assert again == specs[0]
    assert again.spec_hash() == specs[0].spec_hash()


@pytest.mark.parametrize(
    "change",
    [{"unknown": 1}, {"scope": "team"}, {"mode": "SOMETIMES"}, {"trigger": "never"}, {"debounce": -1}, {"max_wait": 1e9},
     {"idle_after": float("nan")}, {"model": ""}, {"instructions": "a\x00"}, {"instructions": "x" * 20_001},
     {"user_schema": {"description": "\x00"}}, {"user_schema": []}, {"options": {"a": object()}}],
)  # fmt: skip
def test_given_a_store_that_cannot_be_then_it_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StoreSpec(**{"scope": "user", **change})


@pytest.mark.parametrize(
    "change", [{"unknown": 1}, {"v": 2}, {"name": ""}, {"model": " a"}, {"stores": {"": {"scope": "user"}}}]
)
def test_given_a_spec_that_cannot_be_then_it_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MachineSpec.model_validate({"stores": {}, **change})


def test_given_what_is_no_json_then_it_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="EOF"):
        MachineSpec.from_json(b"{")


def _nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        value = {"type": "array", "items": value}
    return value


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "object"}, "not the schema of an object"),
        ({"type": "object", "properties": {}}, "not the schema of an object"),
        ({"type": "array", "properties": {"a": {}}}, "not the schema of an object"),
        ({"type": "object", "properties": {"a": True}}, "which is not a schema"),
        ({"type": "object", "properties": {"a b": {}}}, "a name that cannot be used"),
        ({"type": "object", "properties": {"model_fields": {}}}, "a name that cannot be used"),
        ({"type": "object", "properties": {"a" * 65: {}}}, "a name that cannot be used"),
        ({"type": "object", "properties": {f"f{n}": {} for n in range(101)}}, "more than 100 fields"),
        ({"type": "object", "properties": {"a": {"description": "x" * 65_536}}}, "more than 65,536 bytes"),
        ({"type": "object", "properties": {"a": _nested(64)}}, "nested too deeply"),
        ({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/x"}}}, "'\\$ref'"),
        ({"type": "object", "properties": {"a": {"items": {"$dynamicRef": "#x"}}}}, "'\\$dynamicRef'"),
        ({"type": "object", "properties": {"a": {"anyOf": [{"$schema": "x"}]}}}, "'\\$schema'"),
        ({"type": "object", "properties": {"a": {"properties": {"properties": {"$ref": "#"}}}}}, "'\\$ref'"),
        ({"type": "object", "properties": {"a": {"patternProperties": {"properties": {"$ref": "#"}}}}}, "patternProp"),
        ({"type": "object", "properties": {"a": {"unevaluatedProperties": False}}}, "unevaluatedProperties"),
    ],
)
def test_given_a_users_schema_that_does_not_travel_when_read_then_the_spec_is_refused_by_that_field(
    schema: dict[str, Any], told: str
) -> None:
    body = json.dumps({"stores": {"user_profile": {"scope": "user", "user_schema": schema}}})

    with pytest.raises(ValidationError, match=told) as refused:
        MachineSpec.from_json(body)

    assert refused.value.errors()[0]["loc"][:3] == ("stores", "user_profile", "user_schema")


def test_given_a_users_schema_with_a_property_that_is_called_like_a_keyword_then_it_is_taken() -> None:
    inner = {"type": "object", "properties": {"patternProperties": {"type": "string"}, "$ref": {"type": "string"}}}

    assert StoreSpec(scope="user", user_schema={"type": "object", "properties": {"a": inner}}).user_schema is not None


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "a b", "a" * 64, "a\n", "é"])
def test_given_a_store_name_that_cannot_be_then_the_spec_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        MachineSpec.model_validate({"stores": {name: {"scope": "user"}}})


def test_given_as_many_stores_and_options_as_may_be_then_they_are_taken_and_more_are_not() -> None:
    stores = {f"s{number}": StoreSpec(scope="user") for number in range(17)}
    with pytest.raises(ValidationError, match="16"):
        MachineSpec(stores=stores)
    del stores["s16"]
    assert len(MachineSpec(stores=stores).stores) == 16
    assert StoreSpec(scope="user", options={"a": "x" * 16_000}).options
    with pytest.raises(ValidationError, match="16,384 bytes"):
        StoreSpec(scope="user", options={"a": "x" * 16_384})


def test_given_a_spec_over_the_limit_when_made_or_read_then_it_is_refused_and_one_below_reads_back_with_spaces() -> (
    None
):
    stores = {f"s{number}": StoreSpec(scope="user", instructions="é" * 20_000) for number in range(6)}
    largest = MachineSpec(stores=stores)

    assert MachineSpec.from_json(json.dumps(json.loads(largest.to_json()), ensure_ascii=False)) == largest
    with pytest.raises(ValidationError, match="262,144 bytes"):
        MachineSpec(stores={**stores, "t": stores["s0"]})
    with pytest.raises(ValueError, match="262,144 bytes"):
        MachineSpec.from_json(b"[" * (2 * MAX_SPEC_BYTES + 1))
