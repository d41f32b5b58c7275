"""A user's schema as it may stand in a spec: one object with named fields, small, and closed in itself.

A spec may come from anybody who can write to the stream, so what a schema could make a worker do is bounded here: it names no
other document, no other dialect, and nothing that takes more than linear time to check.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

MAX_FIELDS = 100
MAX_FIELD_NAME = 64
MAX_SCHEMA_BYTES = 65_536
"""JSON of one user's schema."""

# Their keys are names of the user's, not keywords.
_OF_NAMES = frozenset({"properties", "dependentSchemas", "dependentRequired"})
# patternProperties is compiled and searched by the validator's own engine; the others check a value again on every level.
_REFUSED = frozenset({"patternProperties", "unevaluatedProperties", "unevaluatedItems"})


def is_field_name(name: str) -> bool:
    """Whether a field may have this name: the model's patch has an attribute of it."""
    return (
        name.isidentifier()
        and len(name) <= MAX_FIELD_NAME
        and not name.startswith("_")
        and not hasattr(BaseModel, name)
    )


def check_user_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema itself. Raises ValueError that says what is wrong with it."""
    if len(to_json(schema)) > MAX_SCHEMA_BYTES:
        raise ValueError(f"is more than {MAX_SCHEMA_BYTES:,} bytes of JSON")
    fields = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(fields, dict) or not fields:
        raise ValueError("is not the schema of an object with properties")
    if len(fields) > MAX_FIELDS:
        raise ValueError(f"has more than {MAX_FIELDS} fields")
    for name, field in fields.items():
        if not is_field_name(name):
            raise ValueError(f"has the field {name[:64]!r}, a name that cannot be used")
        if not isinstance(field, dict):
            raise ValueError(f"has the field {name!r}, which is not a schema")
    for keyword in keywords(schema):
        if keyword in _REFUSED or (keyword.startswith("$") and keyword != "$comment"):
            raise ValueError(f"has the keyword {keyword[:64]!r}, which does not travel: write the schema out")
    return schema


def patterns(schema: Mapping[str, Any]) -> Iterator[object]:
    """What stands under `pattern` anywhere in a schema."""
    for node in _nodes(schema):
        if "pattern" in node:
            yield node["pattern"]


def keywords(schema: Mapping[str, Any]) -> Iterator[str]:
    """Every keyword of a schema and of the schemas inside it; what stands in an example or a choice counts too."""
    for node in _nodes(schema):
        yield from node


def _nodes(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, list):
        for item in schema:
            yield from _nodes(item)
    elif isinstance(schema, Mapping):
        yield schema
        for key, inner in schema.items():
            named = key in _OF_NAMES and isinstance(inner, Mapping)
            for each in inner.values() if named else (inner,):
                yield from _nodes(each)
