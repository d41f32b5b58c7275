"""The patch model of learned knowledge: strict, in the form that is agreed on, and with own fields where there are some."""

from typing import Any

import pytest
from pydantic import ValidationError

from learning_ops.offline.strict_schema import check_strict_schema
from learning_schemas.knowledge_patch import fields_model, insight_fields, knowledge_patch_model
from learning_schemas.spec import StoreSpec

SCHEMA = {
    "type": "object",
    "properties": {
        "severity": {"type": "string", "enum": ["low", "high"], "description": "How bad it is"},
        "seen": {"type": "integer", "minimum": 1},
        "versions": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
SAID = {"message": "m1", "quote": "always pin the versions"}
INSIGHT: dict[str, Any] = {"title": "Pin", "learning": "Pin versions", "context": None, "tags": ["pin"], **SAID}


def _spec(schema: dict[str, Any] | None = None) -> StoreSpec:
    return StoreSpec(scope="session", user_schema=schema)


def test_given_no_schema_of_ones_own_then_the_format_is_the_one_that_is_agreed_on() -> None:
    model = knowledge_patch_model(_spec())
    schema = model.model_json_schema()

    check_strict_schema(schema)
    assert model.__name__ == "learned_knowledge_patch"
    assert set(schema["properties"]) == {"insights", "confirm", "retract"}
    assert set(schema["$defs"]["Insight"]["properties"]) == {"title", "learning", "context", "tags", "message", "quote"}
    assert set(schema["$defs"]["KnownInsight"]["properties"]) == {"learning", "message", "quote"}


def test_given_own_fields_then_each_insight_has_them_typed_or_null() -> None:
    model = knowledge_patch_model(_spec(SCHEMA))
    check_strict_schema(model.model_json_schema())
    fields = {"severity": "high", "seen": None, "versions": [{"name": "pip", "value": "25"}]}

    patch: Any = model.model_validate({"insights": [{**INSIGHT, "fields": fields}], "confirm": [], "retract": []})

    assert patch.insights[0].fields.severity == "high"
    assert patch.insights[0].fields.seen is None


@pytest.mark.parametrize(
    "insight",
    [
        {**INSIGHT, "fields": {}},
        {name: value for name, value in INSIGHT.items() if name != "quote"},
        {**INSIGHT, "tags": None},
        {**INSIGHT, "score": 1},
    ],
)
def test_given_an_insight_of_another_form_then_the_answer_is_refused(insight: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        knowledge_patch_model(_spec()).model_validate({"insights": [insight], "confirm": [], "retract": []})


def test_given_a_tools_fields_then_those_left_out_are_null_and_unknown_ones_are_refused() -> None:
    model = fields_model(insight_fields(_spec(SCHEMA)), required=False)

    assert model.model_validate({"severity": "low"}).model_dump() == {"severity": "low", "seen": None, "versions": None}
    with pytest.raises(ValidationError):
        model.model_validate({"colour": "red"})
