"""Strict schemas: what the model is asked for, and what comes of its answer."""

from dataclasses import make_dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, TypeAdapter

from learning_ops.offline.strict_schema import check_strict_schema
from learning_schemas.profile import json_schema_of
from learning_schemas.strict import closed_object, from_strict, nullable, strict_value

words = st.text("abcd", min_size=1, max_size=4)


class Point(BaseModel):
    x: int
    label: str | None = None


class Line(BaseModel):
    points: list[Point] = []
    names: dict[str, Point] = {}


# A type, and what a model may answer for it as the schema has it.
point = st.fixed_dictionaries({"x": st.integers(-99, 99)}, optional={"label": words})
CASES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, words),
    (int, st.integers(-99, 99)),
    (float, st.floats(-9, 9) | st.integers(-9, 9)),
    (bool, st.booleans()),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (list[str], st.lists(words)),
    (list[list[int]], st.lists(st.lists(st.integers(0, 9)))),
    (Point, point),
    (list[Point], st.lists(point, max_size=3)),
    (dict[str, int], st.dictionaries(words, st.integers(0, 9))),
    (dict[str, Point], st.dictionaries(words, point, max_size=3)),
    (dict[str, dict[str, str]], st.dictionaries(words, st.dictionaries(words, words), max_size=3)),
    (Line, st.fixed_dictionaries({}, optional={"points": st.lists(point), "names": st.dictionaries(words, point)})),
    (int | str, st.integers(0, 9) | words),
    (bool | int, st.booleans() | st.integers(0, 9)),
    (dict[str, int] | list[str], st.dictionaries(words, st.integers(0, 9), min_size=1) | st.lists(words, min_size=1)),
    (Point | dict[str, str] | str, point | st.dictionaries(words, words, min_size=1) | words),
    (tuple[int, str], st.tuples(st.integers(0, 9), words).map(list)),
    (set[str], st.sets(words).map(sorted)),
    (Annotated[int, Field(ge=0, le=9)], st.integers(0, 9)),
    (Annotated[str, Field(min_length=1, max_length=4, pattern="^[a-d]+$")], words),
]


def _asked(value: Any, schema: dict[str, Any]) -> Any:
    """The answer to `strict_value(schema)` that means `value`, written without the code under test."""
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    if options:
        fitting = [option for option in options if not list(Draft202012Validator(option).iter_errors(value))]
        return _asked(value, fitting[0])
    if schema.get("type") == "array":
        places = schema.get("prefixItems", [])
        return [_asked(item, places[i] if i < len(places) else schema.get("items", {})) for i, item in enumerate(value)]
    if schema.get("type") == "object" and "properties" in schema:
        return {
            name: _asked(value[name], inner) if name in value else None for name, inner in schema["properties"].items()
        }
    if schema.get("type") == "object":
        return [{"name": n, "value": _asked(v, schema["additionalProperties"])} for n, v in value.items()]
    return value


@given(st.sampled_from(CASES).flatmap(lambda case: st.tuples(st.just(case[0]), case[1])))
def test_given_an_answer_to_the_strict_schema_then_it_comes_back_in_the_form_of_the_users(
    case: tuple[Any, Any],
) -> None:
    kind, value = case
    schema = json_schema_of(make_dataclass("S", [("field", kind | None, None)]))["properties"]["field"]
    strict = strict_value(schema)
    answer = _asked(value, schema)

    assert not list(Draft202012Validator(strict).iter_errors(answer))
    back = from_strict(answer, schema)
    assert back == value
    assert not list(Draft202012Validator(schema).iter_errors(back))


@pytest.mark.parametrize(
    "kind", [case[0] for case in CASES] + [Any, dict, list, dict[str, Any], bytes, tuple[int, ...]]
)
def test_given_any_type_then_its_strict_schema_is_one_that_the_api_takes(kind: Any) -> None:
    schema = json_schema_of(make_dataclass("S", [("field", kind | None, None)]))["properties"]["field"]

    check_strict_schema(closed_object({"field": strict_value(schema), "or_null": nullable(strict_value(schema))}))


class Nullable(BaseModel):
    must_say: str | None


def test_given_a_required_property_that_may_be_null_then_null_can_be_answered_and_stays() -> None:
    schema = TypeAdapter(Nullable).json_schema()

    assert strict_value(schema)["properties"]["must_say"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert from_strict({"must_say": None}, schema) == {"must_say": None}
