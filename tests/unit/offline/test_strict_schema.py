"""Each rule of strict Structured Outputs refuses the schema that breaks it, and no other."""

import copy
from typing import Any

import openai
import pytest
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel

from learning_ops.offline.strict_schema import SchemaRefused, check_format_name, check_strict_schema

TEXT: dict[str, Any] = {"type": "string"}


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = TEXT
    for _ in range(levels):
        schema = closed(inner=schema)
    return schema


class Node(BaseModel):
    value: str
    tags: list[str]
    next: "Node | None"


ACCEPTED: dict[str, dict[str, Any]] = {
    "an empty object": closed(),
    "text, numbers, truth, null": closed(
        a=TEXT, b={"type": "number"}, c={"type": "integer"}, d={"type": "boolean"}, e={"type": "null"}
    ),
    "a union of types": closed(a={"type": ["string", "null"], "description": "may be absent"}),
    "anyOf below the root": closed(a={"anyOf": [closed(b=TEXT), {"type": "null"}]}),
    "supported constraints": closed(
        a={"type": "string", "pattern": "^x", "format": "date-time"},
        b={"type": "number", "minimum": 0, "exclusiveMaximum": 10, "multipleOf": 0.5},
        c={"type": "array", "items": TEXT, "minItems": 1, "maxItems": 3},
    ),
    "enum and const": closed(a={"type": "string", "enum": ["x", "y"]}, b={"const": "z"}),
    "definitions": {**closed(a={"$ref": "#/$defs/B"}), "$defs": {"B": closed(c=TEXT)}},
    "recursion to the root": closed(children={"type": "array", "items": {"$ref": "#"}}),
    "a recursive model as the SDK sends it": to_strict_json_schema(Node),
    "ten levels": nested(9) and nested(10),
    "5,000 properties": closed(**{f"p{number}": TEXT for number in range(5000)}),
    "1,000 enum values": closed(
        **{f"p{part}": {"type": "string", "enum": [f"{part}{one}" for one in range(250)]} for part in "abcd"}
    ),
    "a large enum of short values": closed(a={"type": "string", "enum": [f"{one:040}" for one in range(251)]}),
}

REFUSED: dict[str, tuple[Any, str]] = {
    "no object": ([], "got 'type: \"None\"'"),
    "a root that is a list": ({"type": "array", "items": TEXT}, "got 'type: \"array\"'"),
    "a root without a type": ({"properties": {}}, "got 'type: \"None\"'"),
    "a root anyOf": ({**closed(), "anyOf": [closed()]}, "schema must be a JSON Schema of 'type: \"object\"'"),
    "an open object": (
        closed(a={"type": "object", "properties": {}, "required": []}),
        "In context=('properties', 'a'), 'additionalProperties' is required to be supplied and to be false.",
    ),
    "additionalProperties true": ({**closed(), "additionalProperties": True}, "'additionalProperties' is required"),
    "a map": (closed(a={"type": "object", "additionalProperties": TEXT}), "'additionalProperties' is required"),
    "an open object in a list": (
        closed(a={"type": "array", "items": {"type": "object"}}),
        "('properties', 'a', 'items')",
    ),
    "an open object in a choice": (
        closed(a={"anyOf": [TEXT, {"type": "object"}]}),
        "('properties', 'a', 'anyOf', '1')",
    ),
    "an open definition": ({**closed(), "$defs": {"B": {"type": "object"}}}, "('$defs', 'B')"),
    "no required": (
        {"type": "object", "properties": {"a": TEXT}, "additionalProperties": False},
        "'required' is required",
    ),
    "a property not required": ({**closed(a=TEXT, b=TEXT), "required": ["a"]}, "Missing 'b'."),
    "required but not a property": ({**closed(a=TEXT), "required": ["a", "b"]}, "Extra required key 'b' supplied."),
    "a list without items": (closed(a={"type": "array"}), "array schema missing items"),
    "no type": (closed(a={"description": "anything"}), "schema must have a 'type' key"),
    "an unknown type": (closed(a={"type": "text"}), "'text' is not valid"),
    "an unknown format": (closed(a={"type": "string", "format": "uri"}), "'uri' is not a valid format"),
    "a reference to nothing": (closed(a={"$ref": "#/$defs/B"}), "does not point to a definition"),
    "a reference elsewhere": (closed(a={"$ref": "https://example.com/b.json"}), "does not point to a definition"),
    "keywords beside a reference": (
        {**closed(a={"$ref": "#/$defs/B", "description": "x"}), "$defs": {"B": TEXT}},
        "$ref cannot have keywords {'description'}.",
    ),
    "a hundred levels and more": (nested(150), "levels of nesting exceeds limit of 10."),
    "a pattern that is no regular expression": (closed(a={"type": "string", "pattern": "("}), "is not a 'regex'"),
    "a count that is no number": (
        closed(a={"type": "array", "items": TEXT, "minItems": "2"}),
        "is not a valid 'minItems'",
    ),
    "an empty enum": (closed(a={"type": "string", "enum": []}), "'enum' must be a non-empty array"),
    "an empty anyOf": (closed(a={"anyOf": []}), "'anyOf' must be a non-empty array"),
    "5,001 properties": (
        closed(**{f"p{number}": TEXT for number in range(5001)}),
        "5001 parameters exceeds limit of 5000.",
    ),
    "eleven levels": (nested(11), "11 levels of nesting exceeds limit of 10."),
    "eleven levels by lists": (
        closed(a={"type": "array", "items": nested(10)}),
        "levels of nesting exceeds limit of 10.",
    ),
    "1,001 enum values": (
        closed(
            **{f"p{part}": {"type": "string", "enum": [f"{part}{one}" for one in range(143)]} for part in "abcdefg"}
        ),
        "at most 1000 enum values in total",
    ),
    "a large enum of long values": (
        closed(a={"type": "string", "enum": [f"{one:060}" for one in range(251)]}),
        "15000 characters in total, but received 15060",
    ),
    "property names of 120,001 characters": (closed(**{"x" * 120_001: TEXT}), "at most 120000 characters in total"),
    "definition names count": ({**closed(), "$defs": {"x" * 120_001: TEXT}}, "at most 120000 characters in total"),
    "const values count": (closed(a={"const": "x" * 120_000}), "at most 120000 characters in total"),
}
for keyword, value in {
    "allOf": [TEXT], "oneOf": [TEXT], "not": TEXT, "if": TEXT, "then": TEXT, "else": TEXT, "dependentRequired": {},
    "dependentSchemas": {}, "patternProperties": {}, "propertyNames": {}, "unevaluatedProperties": False, "minProperties": 1,
    "contains": TEXT, "uniqueItems": True, "prefixItems": [TEXT], "default": "x", "madeUp": 1,
}.items():  # fmt: skip
    REFUSED[f"keyword {keyword}"] = (
        closed(a={"type": "string", keyword: value}),
        f"In context=('properties', 'a'), '{keyword}' is not permitted.",
    )


@pytest.mark.parametrize("case", ACCEPTED)
def test_given_a_schema_within_the_rules_when_checked_then_it_passes_unchanged(case: str) -> None:
    before = copy.deepcopy(ACCEPTED[case])

    check_strict_schema(ACCEPTED[case])

    assert ACCEPTED[case] == before


@pytest.mark.parametrize("case", REFUSED)
def test_given_a_schema_that_breaks_a_rule_when_checked_then_the_refusal_names_place_and_rule(case: str) -> None:
    schema, said = REFUSED[case]

    with pytest.raises(SchemaRefused) as refused:
        check_strict_schema(schema)

    assert said in str(refused.value)


@pytest.mark.parametrize("name", ["", "a" * 65, "with space", "dotted.name", "ünï", None, 3])
def test_given_a_format_name_outside_the_pattern_when_checked_then_it_is_refused(name: object) -> None:
    with pytest.raises(SchemaRefused):
        check_format_name(name)


def test_given_a_format_name_of_64_letters_digits_and_marks_when_checked_then_it_passes() -> None:
    check_format_name("aZ9_-" + "x" * 59)


def test_given_a_refused_schema_when_sent_by_the_sdk_then_the_error_has_the_form_of_the_api(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(
            model="any",
            input="hello",
            text={
                "format": {
                    "type": "json_schema",
                    "name": "open",
                    "strict": True,
                    "schema": {"type": "object", "properties": {}},
                }
            },
        )

    assert refused.value.type == "invalid_request_error"
    assert refused.value.code == "invalid_json_schema"
    assert refused.value.param == "text.format.schema"
    assert refused.value.body == {
        "message": "Invalid schema for response_format 'open': "
        "In context=(), 'additionalProperties' is required to be supplied and to be false.",
        "type": "invalid_request_error",
        "param": "text.format.schema",
        "code": "invalid_json_schema",
    }
