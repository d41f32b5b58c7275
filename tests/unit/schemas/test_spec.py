"""Specs: equal configurations are one, whoever wrote them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from learning_schemas.spec import DEFAULT_SPEC, MachineSpec, StoreSpec

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
