"""A tool's arguments: a strict schema for the model, and an answer that it can act on for whatever it passes."""

from datetime import date
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import Field

from learning_machine import Arguments
from learning_machine.tool_arguments import MAX_ARGUMENT_BYTES, BadArguments, Parameters
from learning_schemas.redaction import Redactor


class Link(Arguments):
    """One end of a link."""

    name: str
    weight: float | None = None


class Remember(Arguments):
    """Everything that an argument can be."""

    title: str = Field(description="What it is about", min_length=1, max_length=20)
    limit: int = Field(default=5, ge=1, le=20)
    kind: Literal["fact", "event"] = "fact"
    on: date | None = None
    tags: list[str] | None
    link: Link | None = Field(default=None, description="Where it leads")
    properties: dict[str, str] | None = None


class Nothing(Arguments):
    """No argument at all."""


REMEMBER = Parameters("remember", Remember)
AS_IT_IS = Redactor(enabled=False)


def read(**given: Any) -> dict[str, Any]:
    return REMEMBER.read(given, AS_IT_IS)[0].model_dump()


def closed(node: Any) -> bool:
    """Whether every object of a schema is closed and requires all that it has."""
    if isinstance(node, list):
        return all(map(closed, node))
    if not isinstance(node, dict):
        return True
    if node.get("type") == "object":
        is_closed = node["additionalProperties"] is False and node["required"] == list(node["properties"])
        return is_closed and all(map(closed, node["properties"].values()))
    return not {"$ref", "$defs", "default", "title", "minLength", "maxLength"} & set(node) and all(
        map(closed, node.values())
    )


def test_given_a_model_of_arguments_then_its_schema_is_strict() -> None:
    properties = REMEMBER.strict["properties"]

    assert closed(REMEMBER.strict)
    assert properties["title"] == {"type": "string", "description": "What it is about"}
    assert properties["limit"] == {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 20}, {"type": "null"}]}
    assert properties["tags"] == {
        "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
    }
    assert properties["link"]["anyOf"][0]["required"] == ["name", "weight"]
    assert Parameters("nothing", Nothing).strict == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }


def test_given_null_or_nothing_for_what_may_be_absent_then_it_is_the_default() -> None:
    absent = {"title": "x", "limit": 5, "kind": "fact", "on": None, "tags": None, "link": None, "properties": None}

    assert read(title="x") == absent
    assert read(title="x", limit=None, kind=None, on=None, tags=None, link=None, properties=None) == absent


def test_given_arguments_as_a_model_writes_them_then_they_are_read() -> None:
    found = read(
        title="x",
        limit=2,
        kind="event",
        on="2026-11-20",
        tags=["a"],
        link={"name": "y", "weight": None},
        properties=[{"name": "industry", "value": "retail"}],
    )

    assert found == {
        "title": "x",
        "limit": 2,
        "kind": "event",
        "on": date(2026, 11, 20),
        "tags": ["a"],
        "link": {"name": "y", "weight": None},
        "properties": {"industry": "retail"},
    }
    assert read(title="x", properties={"industry": "retail"})["properties"] == {"industry": "retail"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, r"^title is missing\. It must be a text: What it is about$"),
        ({"title": None}, r"^title cannot be used \(.*string.*\)\. It must be a text: What it is about$"),
        ({"title": ""}, r"^title cannot be used \(.*at least 1 character"),
        ({"title": 5}, r"^title cannot be used"),
        ({"title": "x" * 21}, r"^title cannot be used \(.*at most 20 characters"),
        ({"title": "a\x00b"}, r"^title has a NUL character.* It must be a text"),
        ({"title": "a\ud800b"}, r"^title has a lone surrogate"),
        ({"title": "x" * 4_001}, r"^title is too long: 4,001 characters, and 4,000 is the most"),
        ({"title": "x", "tags": ["x" * 4_001]}, r"^tags is too long: 4,001 characters"),
        ({"title": "x", "tags": ["x" * 4_000] * 20}, rf"longer than {MAX_ARGUMENT_BYTES:,} bytes"),
        ({"title": "x", "limit": "many"}, r"^limit cannot be used .* It must be a whole number"),
        ({"title": "x", "limit": 21}, r"^limit cannot be used \(.*less than or equal to 20"),
        ({"title": "x", "kind": "thing"}, r"^kind cannot be used .* It must be one of fact, event"),
        ({"title": "x", "on": "yesterday"}, r"^on cannot be used .* It must be a text in the form of a date or null"),
        ({"title": "x", "tags": "a"}, r"^tags cannot be used .* It must be a list \(each a text\) or null"),
        ({"title": "x", "tags": [5]}, r"^tags\[0\] cannot be used .* It must be a list \(each a text\) or null"),
        ({"title": "x", "link": {}}, r"^link\.name is missing\. It must be an object with name, weight or null: Where"),
        (
            {"title": "x", "link": {"name": "y", "to": "z"}},
            r"^link\.to is not a field that exists\. It must be an object",
        ),
        (
            {"title": "x", "properties": [5]},
            r"^properties cannot be (read|used).* a list of objects with name and value",
        ),
        ({"title": "x", "properties": [{"name": "a"}]}, r"^properties cannot be (read|used)"),
        ({"title": "x", "tags": object()}, r"^tags has a value that JSON cannot hold"),
        ({"title": "x", "colour": "red"}, r"^colour is not an argument of remember\. It takes title, limit, kind, on"),
        ({"a\nb": 1}, r"^a\?b is not an argument of remember"),
    ],
)
def test_given_an_argument_that_cannot_be_then_it_is_named_with_what_is_expected(
    given: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadArguments, match=told) as refused:
        read(**given)

    assert "hunter" not in str(refused.value)
    assert "Value error" not in str(refused.value)


def test_given_a_tool_without_arguments_then_any_is_one_too_many() -> None:
    nothing = Parameters("nothing", Nothing)

    assert nothing.read({}, AS_IT_IS)[0] == Nothing()
    with pytest.raises(BadArguments, match=r"^title is not an argument of nothing\. It takes none$"):
        nothing.read({"title": "x"}, AS_IT_IS)


def test_given_secrets_then_they_are_out_of_what_the_store_gets_and_counted() -> None:
    arguments, redactions = REMEMBER.read(
        {"title": "x", "tags": ["the password is hunter22"], "properties": [{"name": "password", "value": "hunter22"}]},
        Redactor(),
    )

    assert "hunter22" not in arguments.model_dump_json()
    assert redactions == {"password": 2}


def test_given_a_hook_that_fails_then_nothing_is_read_and_its_error_is_passed_on() -> None:
    def hook(text: str) -> str:
        raise KeyError("hook")

    with pytest.raises(KeyError, match="hook"):
        REMEMBER.read({"title": "x"}, Redactor([hook]))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6) | st.sampled_from(["name", "value"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=500, deadline=None)
@example(name="properties", value=[{"name": None, "value": None}])
@given(name=st.sampled_from(sorted(Remember.model_fields)), value=_JSON)
def test_given_any_json_in_any_argument_then_it_is_read_or_refused_by_name(name: str, value: Any) -> None:
    told = None
    try:
        arguments, _ = REMEMBER.read({"title": "x", name: value}, Redactor())
    except BadArguments as refused:
        told = str(refused)
    else:
        assert isinstance(arguments, Remember)
    assert told is None or told.startswith(name)
