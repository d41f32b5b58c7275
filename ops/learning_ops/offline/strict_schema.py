"""OpenAI's rules for a JSON Schema sent with `strict: true`, so that a schema fails here as it would fail there.

Source: "Structured model outputs", section "Supported schemas", developers.openai.com/api/docs/guides/structured-outputs,
as profiled in February 2026 by jsonschemaprofiles.unitvectorylabs.com/schemas/openai. The page does not say how it counts levels
or which words it uses; those follow refusals of the API that users have published (`oneOf`, `default` and keywords beside `$ref`
are refused too; a property and an array item each add a level, a choice adds none).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from learning_schemas.pattern import UnusablePattern, check_pattern

MAX_PROPERTIES = 5_000
MAX_NESTING = 10
MAX_ENUM_VALUES = 1_000
MAX_STRING_LENGTH = 120_000
LARGE_ENUM_VALUES = 250
MAX_LARGE_ENUM_LENGTH = 15_000

STRING_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_MAX_PATH = 200  # keywords from the root to a node: far more than MAX_NESTING allows, and few enough to walk
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_TYPES = frozenset({"string", "number", "boolean", "integer", "object", "array", "null"})
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NOT_PERMITTED = (
    "allOf", "oneOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "default",
    "patternProperties", "unevaluatedProperties", "propertyNames", "minProperties", "maxProperties",
    "prefixItems", "additionalItems", "unevaluatedItems", "contains", "minContains", "maxContains", "uniqueItems",
)  # fmt: skip
_KEYWORDS = frozenset({
    "type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs", "definitions",
    "title", "description", "examples", "$schema", "$id", "$comment", "pattern", "format", "minLength", "maxLength",
    "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "minItems", "maxItems",
})  # fmt: skip


class SchemaRefused(ValueError):
    """The schema breaks a rule of strict Structured Outputs; the message names the place and the rule, in the API's words."""


@dataclass(kw_only=True)
class _Totals:
    properties: int = 0
    enum_values: int = 0
    string_length: int = 0
    walked: set[int] = field(default_factory=set)


def check_format_name(name: object) -> None:
    """Raise SchemaRefused unless `name` is 1 to 64 letters, digits, underscores and hyphens."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SchemaRefused(
            f"Invalid format name {name!r}: expected a string that matches the pattern '^[a-zA-Z0-9_-]{{1,64}}$'."
        )


def check_strict_schema(schema: object) -> None:
    """Raise SchemaRefused if `schema` (a parsed JSON Schema) is not one that strict mode accepts."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if not isinstance(schema, Mapping) or kind != "object" or "anyOf" in schema:
        found = "None" if kind is None else "anyOf" if kind == "object" else kind
        raise SchemaRefused(f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{found}\"'.")
    totals = _Totals()
    for path, node in _definitions(schema):
        totals.string_length += len(path[-1])
        _check_node(node, path, schema, totals)
    _check_node(schema, (), schema, totals)
    if totals.properties > MAX_PROPERTIES:
        raise SchemaRefused(f"{totals.properties} parameters exceeds limit of {MAX_PROPERTIES}.")
    if totals.enum_values > MAX_ENUM_VALUES:
        raise SchemaRefused(
            f"Expected at most {MAX_ENUM_VALUES} enum values in total within a single schema when using "
            "structured outputs, "
            f"but received {totals.enum_values}."
        )
    if totals.string_length > MAX_STRING_LENGTH:
        raise SchemaRefused(
            f"Expected at most {MAX_STRING_LENGTH} characters in total of property names, definition "
            "names, enum values and "
            f"const values, but received {totals.string_length}."
        )
    levels = _nesting(schema, schema, frozenset())
    if levels > MAX_NESTING:
        raise SchemaRefused(f"{levels} levels of nesting exceeds limit of {MAX_NESTING}.")


def resolve_ref(ref: object, root: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema that a local `$ref` ("#", "#/$defs/Name") points at; None where it points at nothing."""
    if not isinstance(ref, str) or not ref.startswith("#"):
        return None
    node: object = root
    for part in ref[1:].split("/")[1:]:
        if not isinstance(node, Mapping):
            return None
        node = node.get(part.replace("~1", "/").replace("~0", "~"))
    return node if isinstance(node, Mapping) else None


def _definitions(root: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], object]]:
    for word in ("$defs", "definitions"):
        defined = root.get(word, {})
        if not isinstance(defined, Mapping):
            raise SchemaRefused(f"In context=('{word}',), {defined!r} is not of type 'object'.")
        for name, node in defined.items():
            yield (word, name), node


def _check_node(node: object, path: tuple[str, ...], root: Mapping[str, Any], totals: _Totals) -> None:
    where = f"In context={path}"
    if not isinstance(node, Mapping):
        raise SchemaRefused(f"{where}, {node!r} is not of type 'object'.")
    if len(path) > _MAX_PATH:
        raise SchemaRefused(f"{_MAX_PATH // 2} levels of nesting exceeds limit of {MAX_NESTING}.")
    for word in _NOT_PERMITTED:
        if word in node:
            raise SchemaRefused(f"{where}, '{word}' is not permitted.")
    for word in node:
        if word not in _KEYWORDS:
            raise SchemaRefused(f"{where}, '{word}' is not permitted.")
    if "$ref" in node:
        beside = sorted(set(node) - {"$ref"})
        if beside:
            raise SchemaRefused(f"{where}, $ref cannot have keywords {set(beside)}.")
        if resolve_ref(node["$ref"], root) is None:
            raise SchemaRefused(f"{where}, reference {node['$ref']!r} does not point to a definition of this schema.")
        return
    _check_values(node, where, totals)
    choices = node.get("anyOf")
    if choices is not None:
        if not isinstance(choices, list) or not choices:
            raise SchemaRefused(f"{where}, 'anyOf' must be a non-empty array.")
        for number, choice in enumerate(choices):
            _check_node(choice, (*path, "anyOf", str(number)), root, totals)
    types = _types(node)
    unknown = sorted(types - _TYPES)
    if unknown:
        raise SchemaRefused(f"{where}, '{unknown[0]}' is not valid under any of the given schemas.")
    if not types and choices is None and "enum" not in node and "const" not in node:
        raise SchemaRefused(f"{where}, schema must have a 'type' key.")
    if "object" in types or "properties" in node:
        _check_object(node, path, root, totals)
    if "array" in types:
        if "items" not in node:
            raise SchemaRefused(f"{where}, array schema missing items.")
        _check_node(node["items"], (*path, "items"), root, totals)
    if "format" in node and node["format"] not in STRING_FORMATS:
        raise SchemaRefused(f"{where}, '{node['format']}' is not a valid format.")


def _check_object(node: Mapping[str, Any], path: tuple[str, ...], root: Mapping[str, Any], totals: _Totals) -> None:
    where = f"In context={path}"
    if node.get("additionalProperties") is not False:
        raise SchemaRefused(f"{where}, 'additionalProperties' is required to be supplied and to be false.")
    properties = node.get("properties", {})
    if not isinstance(properties, Mapping):
        raise SchemaRefused(f"{where}, 'properties' is not of type 'object'.")
    required = node.get("required", [] if not properties else None)
    rule = f"{where}, 'required' is required to be supplied and to be an array including every key in properties."
    if not isinstance(required, list):
        raise SchemaRefused(rule)
    for name in properties:
        if name not in required:
            raise SchemaRefused(f"{rule} Missing '{name}'.")
    for name in required:
        if name not in properties:
            raise SchemaRefused(f"{rule} Extra required key '{name}' supplied.")
    for name, child in properties.items():
        totals.properties += 1
        totals.string_length += len(name)
        _check_node(child, (*path, "properties", name), root, totals)


def _check_values(node: Mapping[str, Any], where: str, totals: _Totals) -> None:
    for word in (*_COUNTS, *_BOUNDS):
        wanted = int if word in _COUNTS else int | float
        if word in node and (
            not isinstance(node[word], wanted) or isinstance(node[word], bool) or (word in _COUNTS and node[word] < 0)
        ):
            raise SchemaRefused(f"{where}, {node[word]!r} is not a valid '{word}'.")
    if "pattern" in node:
        try:
            check_pattern(node["pattern"])
        except UnusablePattern as error:
            raise SchemaRefused(f"{where}, {node['pattern']!r} is not a 'regex'.") from error
    if "const" in node:
        totals.string_length += len(node["const"]) if isinstance(node["const"], str) else 0
    if "enum" not in node:
        return
    values = node["enum"]
    if not isinstance(values, list) or not values:
        raise SchemaRefused(f"{where}, 'enum' must be a non-empty array.")
    length = sum(len(value) for value in values if isinstance(value, str))
    totals.enum_values += len(values)
    totals.string_length += length
    if len(values) > LARGE_ENUM_VALUES and length > MAX_LARGE_ENUM_LENGTH:
        raise SchemaRefused(
            f"{where}, an enum of more than {LARGE_ENUM_VALUES} string values may hold "
            f"{MAX_LARGE_ENUM_LENGTH} characters "
            f"in total, but received {length}."
        )


def _types(node: Mapping[str, Any]) -> set[str]:
    declared = node.get("type", [])
    return {str(one) for one in declared} if isinstance(declared, list) else {str(declared)}


def _nesting(node: Mapping[str, Any], root: Mapping[str, Any], entered: frozenset[str]) -> int:
    """Levels below and including this node; a reference that leads back into itself adds none, so recursion is finite."""
    if "$ref" in node:
        target = resolve_ref(node["$ref"], root)
        return 0 if target is None or node["$ref"] in entered else _nesting(target, root, entered | {str(node["$ref"])})
    deepest = max((_nesting(choice, root, entered) for choice in node.get("anyOf", ())), default=0)
    below = [*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])]
    if below or "object" in _types(node):
        deepest = max(deepest, 1 + max((_nesting(child, root, entered) for child in below), default=0))
    return deepest
