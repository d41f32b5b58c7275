"""Values and the schemas they fit, and the emptiest value of a schema."""

from typing import Any

import pytest

from learning_ops.offline.instance import NoInstance, emptiest, fits

TEXT: dict[str, Any] = {"type": "string"}


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


EMPTIEST: dict[str, tuple[dict[str, Any], Any]] = {
    "null where allowed": ({"anyOf": [TEXT, {"type": "null"}]}, None),
    "null among types": ({"type": ["integer", "null"]}, None),
    "an empty text": (TEXT, ""),
    "the shortest text": ({"type": "string", "minLength": 3}, "   "),
    "the least number": ({"type": "integer", "minimum": 5}, 5),
    "no items": ({"type": "array", "items": TEXT}, []),
    "the fewest items": ({"type": "array", "items": TEXT, "minItems": 2}, ["", ""]),
    "the first of an enum": ({"type": "string", "enum": ["a", "b"]}, "a"),
    "a constant": ({"const": 7}, 7),
    "the first choice that has one": ({"anyOf": [{"type": "string", "pattern": "^x+$"}, {"type": "boolean"}]}, False),
    "an object of these": (closed(a=TEXT, b=closed(c={"type": "number"})), {"a": "", "b": {"c": 0}}),
}


@pytest.mark.parametrize("case", EMPTIEST)
def test_given_a_schema_when_the_emptiest_instance_is_made_then_it_fits(case: str) -> None:
    schema, expected = EMPTIEST[case]

    assert emptiest(schema, schema) == expected
    assert fits(expected, schema, schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^x+$"},
        {"type": "number", "exclusiveMinimum": 0},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}},
        {**closed(again={"$ref": "#"})},
        {"type": "array", "items": TEXT, "minItems": 10**9},
    ],
)
def test_given_a_schema_without_a_small_instance_when_one_is_made_then_it_says_so(schema: dict[str, Any]) -> None:
    with pytest.raises(NoInstance):
        emptiest(schema, schema)


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (True, {"type": "integer"}),
        (1, {"type": "boolean"}),
        ("c", {"type": "string", "enum": ["a", "b"]}),
        ({}, closed(a=TEXT)),
        ({"a": "", "b": 1}, closed(a=TEXT)),
        (["a", 1], {"type": "array", "items": TEXT}),
        ([], {"type": "array", "items": TEXT, "minItems": 1}),
        (3, {"type": "number", "maximum": 2}),
        ("y", {"type": "string", "pattern": "^x"}),
        (None, {"anyOf": [TEXT, {"type": "integer"}]}),
    ],
)
def test_given_a_value_outside_a_schema_when_checked_then_it_does_not_fit(
    value: object, schema: dict[str, Any]
) -> None:
    assert not fits(value, schema, schema)


@pytest.mark.timeout(10)
def test_given_a_pattern_that_backtracks_without_end_when_a_value_is_tried_then_it_answers() -> None:
    node = {"type": "string", "pattern": "^(a+)+$"}

    assert not fits("a" * 10_000 + "!", node, node)
    assert fits("Zo\u00eb", {"type": "string", "pattern": r"^\p{L}+$"}, {})
