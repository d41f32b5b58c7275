"""Arguments of tools under fuzz: a model, or a program, may pass anything; it is read, or refused in words."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.json_values import BOUNDED, texts, values
from learning_machine.tool_arguments import BadArguments, Parameters
from learning_schemas.redaction import Redactor
from learning_schemas.spec import StoreSpec
from learning_stores.registry import installed
from learning_stores.tooling import ToolDefinition

_SCHEMA = {
    "type": "object",
    "properties": {
        "plan": {"type": "string", "maxLength": 20},
        "extra": {"type": "object", "additionalProperties": {"type": "number"}},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}
DEFINITIONS: list[ToolDefinition] = [
    definition
    for store in installed().values()
    for schema in (None, _SCHEMA)
    for definition in store.tools(StoreSpec(scope=store.scope, mode=store.modes[-1], tools=True, user_schema=schema))
]
REDACT = Redactor()
_round: list[Any] = []
_round.append(_round)
odd = st.sampled_from(
    [b"bytes", {1: 2}, {1, 2}, object(), float("nan"), float("inf"), "\ud800", _round, 10**400, (1, 2), Redactor]
)
anything = st.one_of(values, odd, st.lists(odd, max_size=2), st.dictionaries(texts, odd, max_size=2))


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
def test_given_anything_at_all_when_a_tool_is_called_with_it_then_it_is_read_or_refused(
    definition: ToolDefinition,
) -> None:
    parameters = Parameters(definition.name, definition.arguments)
    names = [*parameters.strict["properties"], "other"]

    @settings(BOUNDED, max_examples=80)
    @given(st.dictionaries(st.sampled_from(names), anything, max_size=len(names)))
    def call(given_arguments: dict[str, Any]) -> None:
        try:
            read, _ = parameters.read(given_arguments, REDACT)
        except BadArguments as refused:
            told = str(refused)
        else:
            told = read.model_dump_json()
        assert "Traceback" not in told
        assert len(told) < 100_000

    call()
