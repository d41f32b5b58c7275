"""Specs under fuzz: one that anybody could have put into the stream is read and asked with, or refused as extraction expects."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.json_values import BOUNDED, changed, damaged, dumped, values
from learning_schemas.errors import ConfigurationError
from learning_schemas.spec import DEFAULT_SPEC, Approval, MachineSpec, StoreSpec
from learning_stores.admission import admission
from learning_stores.place import read_scopes, written_scope
from learning_stores.registry import installed

STORES = installed()
_SCHEMA = {
    "type": "object",
    "properties": {
        "plan": {"type": "string", "maxLength": 20, "pattern": "^[a-z]+$"},
        "seats": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
        "extra": {"type": "object", "additionalProperties": {"type": "number"}},
        "place": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
    },
}
_FULL = MachineSpec(
    name="full",
    model="m",
    language="german",
    stores={
        name: StoreSpec(
            scope=store.scope, user_schema=_SCHEMA, namespace="team" if store.namespaced else None, instructions="Be brief.",
            approval=Approval(confidence_below=0.5, namespaces=("team",)), options={"types": ["company"], "planning": True},
        )
        for name, store in STORES.items()
    },
)  # fmt: skip
VALID = (json.loads(_FULL.to_json()), json.loads(DEFAULT_SPEC.to_json()))
# What a worker takes for a spec that it cannot use (learning_workers.asking).
_EXPECTED = (ConfigurationError, ValueError, TypeError, KeyError, AttributeError)


def read(body: bytes) -> MachineSpec | None:
    """The spec; None where it is none. Any other error than ValueError fails the test."""
    try:
        spec = MachineSpec.from_json(body)
    except ValueError:
        return None
    again = MachineSpec.from_json(spec.to_json())
    assert again.to_json() == spec.to_json()
    assert again.spec_hash() == spec.spec_hash()
    return spec


@settings(BOUNDED, max_examples=120)
@given(changed(VALID))
def test_given_a_spec_with_changes_then_every_store_asks_with_it_or_refuses_it(value: Any) -> None:
    spec = read(dumped(value))
    if spec is None:
        return
    for name, store_spec in spec.stores.items():
        if (store := STORES.get(name)) is None:
            continue
        admission(store, store_spec, "extraction")
        whose = (store.scope, store.namespaced, store_spec, "bob", "s1")
        assert written_scope(*whose) is not None
        assert read_scopes(*whose)
        try:
            store.patch_model(store_spec).model_json_schema()
        except _EXPECTED:
            continue
        store.prompt(store_spec)


@BOUNDED
@given(st.one_of(values.map(dumped), st.binary(max_size=100), damaged(_FULL.to_json())))
def test_given_any_json_or_bytes_then_it_is_a_spec_or_refused(body: bytes) -> None:
    read(body)
