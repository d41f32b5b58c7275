"""What a tool takes: its JSON schema in the strict form, and what a model or a program passed, read by it.

A model writes arguments, so that anything may come: what cannot be used is said in words that it can act on.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from learning_machine.drafting import redacted_json
from learning_schemas.finding import first_finding
from learning_schemas.limits import check_json
from learning_schemas.redaction import Redactor
from learning_schemas.strict import from_strict, strict_value
from learning_stores.operations import MAX_CONTENT
from learning_stores.tooling import Arguments

MAX_ARGUMENT_BYTES = 65_536
"""JSON of one call's arguments."""
_WORDS = {"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}


class BadArguments(Exception):
    """What was passed cannot be used: which argument, what is wrong with it, what is expected."""


class Parameters:
    """The arguments of one tool."""

    def __init__(self, tool: str, model: type[Arguments]) -> None:
        full = model.model_json_schema()
        self._schema: dict[str, Any] = _written_out(full, full.get("$defs", {}))
        self._tool = tool
        self._model = model
        self._properties: dict[str, Any] = self._schema.get("properties", {})
        self.strict = (
            strict_value(self._schema)
            if self._properties
            else {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
        )

    def read(self, given: Mapping[str, Any], redact: Redactor) -> tuple[Arguments, dict[str, int]]:
        """The arguments as the store takes them, without their secrets, and how many there were by kind.

        What may be null may be left out. Raises `BadArguments`; what a redaction hook raises is passed on.
        """
        if unknown := [name for name in given if name not in self._properties]:
            takes = f"It takes {', '.join(self._properties)}" if self._properties else "It takes none"
            raise BadArguments(f"{_shown(unknown[0])} is not an argument of {self._tool}. {takes}")
        values: dict[str, Any] = {}
        for name, schema in self._properties.items():
            optional = name not in self._schema.get("required", ())
            if given.get(name) is None and (optional or (name not in given and _takes_null(schema))):
                values |= {} if optional else {name: None}
            elif name in given:
                values[name] = self._value(name, given[name])
        if len(to_json(values)) > MAX_ARGUMENT_BYTES:
            raise BadArguments(f"the arguments are longer than {MAX_ARGUMENT_BYTES:,} bytes. Say it in fewer words")
        counts: dict[str, int] = {}
        values = redacted_json(values, redact, counts)
        try:
            return self._model.model_validate(values), counts
        except ValidationError as error:
            found = first_finding(error)
            says = found.problem.startswith(("is ", "has ", "holds ", "must "))
            problem = found.problem if says else f"cannot be used ({found.problem})"
            raise BadArguments(f"{found.field or 'the call'} {problem}{self._expected(found.field)}") from None

    def _value(self, name: str, given: Any) -> Any:
        """One argument as JSON has it, with lists of name and value as the maps that they stand for."""
        try:
            value = check_json(from_strict(check_json(given), self._properties[name]))  # again: a name may be no text
        except ValueError as error:
            raise BadArguments(f"{name} {error}{self._expected(name)}") from None
        except (LookupError, TypeError, AttributeError):  # it has not the form of the schema at all
            raise BadArguments(f"{name} cannot be read{self._expected(name)}") from None
        if (length := _longest(value)) > MAX_CONTENT:
            raise BadArguments(
                f"{name} is too long: {length:,} characters, and {MAX_CONTENT:,} is the most. Say it in fewer words"
            )
        return value

    def _expected(self, field: str) -> str:
        name = field.partition(".")[0].partition("[")[0]
        schema = self._properties.get(name)
        if schema is None:
            return ""
        description = schema.get("description")
        return f". It must be {_told(schema)}" + (f": {description}" if description else "")


def _written_out(node: Any, definitions: Mapping[str, Any]) -> Any:
    """A schema without references, titles and defaults."""
    if isinstance(node, list):
        return [_written_out(item, definitions) for item in node]
    if not isinstance(node, Mapping):
        return node
    if reference := node.get("$ref"):
        rest = {key: inner for key, inner in node.items() if key != "$ref"}
        return {
            **_written_out(definitions[reference.rpartition("/")[2]], definitions),
            **_written_out(rest, definitions),
        }
    return {
        key: {name: _written_out(each, definitions) for name, each in inner.items()}
        if key == "properties"
        else _written_out(inner, definitions)
        for key, inner in node.items()
        if key not in ("$defs", "default", "title")
    }


def _takes_null(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "null" or any(option.get("type") == "null" for option in schema.get("anyOf", ()))


def _longest(value: Any) -> int:
    """Characters of the longest text in it."""
    if isinstance(value, str):
        return len(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max(map(_longest, inner), default=0)


def _told(schema: Mapping[str, Any]) -> str:
    """What a schema asks for, in a few words."""
    if options := schema.get("anyOf"):
        return " or ".join(_told(option) for option in options)
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    kind = schema.get("type")
    if kind == "array":
        return f"a list (each {_told(schema.get('items', {}))})"
    if kind == "object":
        named = schema.get("properties")
        return f"an object with {', '.join(named)}" if named else "a list of objects with name and value"
    if kind == "string" and schema.get("format"):
        return f"a text in the form of a {schema['format']}"
    return _WORDS.get(str(kind), "null" if kind == "null" else "a value")


def _shown(name: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in name[:64])
