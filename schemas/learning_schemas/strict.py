"""JSON Schema as OpenAI's strict mode takes it: closed objects, every property required, only the keywords it knows.

Source: OpenAI, "Structured model outputs", section "Supported schemas".
"""

from collections.abc import Mapping
from typing import Any

_KEPT = frozenset({
    "type", "description", "enum", "const", "format", "pattern", "multipleOf", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "minItems", "maxItems",
})  # fmt: skip
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})


def strict_value(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A field's value as a strict schema: null left out (absence is said outside), free-form maps as lists of name and value.

    What strict mode cannot say (lengths, uniqueness) is left out here and checked when the value comes back.
    """
    node = {key: value for key, value in schema.items() if key in _KEPT}
    if node.get("format") not in _FORMATS:
        node.pop("format", None)
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = [each for each in kind if each != "null"]
        kind = node["type"] = kinds[0] if len(kinds) == 1 else kinds
    options = _options(schema)
    if len(options) == 1:
        return {**strict_value(options[0]), **({"description": node["description"]} if "description" in node else {})}
    if options:
        return {**node, "anyOf": [strict_value(option) for option in options]}
    if kind == "array":
        node["items"] = strict_value(_items(schema))
    elif kind == "object":
        properties = schema.get("properties")
        if not properties:
            inner = schema.get("additionalProperties")
            value = strict_value(inner) if isinstance(inner, Mapping) and inner else {"type": "string"}
            return {
                **({"description": node["description"]} if "description" in node else {}),
                "type": "array",
                "items": closed_object({"name": {"type": "string"}, "value": value}),
            }
        required = set(schema.get("required", ()))
        node |= closed_object(
            {
                name: strict_value(inner)
                if name in required and not _takes_null(inner)
                else nullable(strict_value(inner))
                for name, inner in properties.items()
            }
        )
    elif kind is None and "enum" not in node and "const" not in node:
        node["type"] = "string"
    return node


def closed_object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """An object with exactly these properties, all required."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema, or null."""
    return {"anyOf": [dict(schema), {"type": "null"}]}


def from_strict(value: Any, schema: Mapping[str, Any]) -> Any:
    """A value that answered `strict_value(schema)`, in the form of `schema`: maps as maps, absent properties left out."""
    if options := _options(schema):
        return from_strict(value, next((option for option in options if _answers(value, option)), options[0]))
    kind = schema.get("type")
    if kind == "array" and isinstance(value, list):
        places = schema.get("prefixItems", ())
        rest = _items(schema)
        return [from_strict(item, places[i] if i < len(places) else rest) for i, item in enumerate(value)]
    if kind == "object":
        properties = schema.get("properties")
        if not properties and isinstance(value, list):
            inner = schema.get("additionalProperties")
            of = inner if isinstance(inner, Mapping) else {}
            return {pair["name"]: from_strict(pair["value"], of) for pair in value}
        if properties and isinstance(value, dict):
            required = set(schema.get("required", ()))
            return {
                name: from_strict(inner, properties.get(name, {}))
                for name, inner in value.items()
                if inner is not None or name in required
            }
    return value


def _options(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a value may be besides null, where the schema says so by a choice."""
    return [option for option in schema.get("anyOf", schema.get("oneOf", ())) if option.get("type") != "null"]


def _takes_null(schema: Mapping[str, Any]) -> bool:
    return len(_options(schema)) < len(schema.get("anyOf", schema.get("oneOf", ())))


def _items(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an array holds. Strict mode knows no places in an array: there it is any of theirs."""
    places: list[Any] = [place for place in schema.get("prefixItems", ()) if isinstance(place, Mapping)]
    items = schema.get("items")
    if isinstance(items, Mapping) and items:
        places.append(items)
    distinct = [place for i, place in enumerate(places) if place not in places[:i]]
    return {"anyOf": distinct} if len(distinct) > 1 else distinct[0] if distinct else {"type": "string"}


_PYTHON: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def _answers(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value looks like an answer to `strict_value(schema)`: enough to choose between the options of a choice."""
    if options := _options(schema):
        return (value is None and _takes_null(schema)) or any(_answers(value, option) for option in options)
    if value not in schema.get("enum", [schema.get("const", value)]):
        return False
    kind = schema.get("type", "string" if not {"enum", "const"} & set(schema) else None)
    if kind == "object" and not schema.get("properties"):
        inner = schema.get("additionalProperties")
        of = inner if isinstance(inner, Mapping) and inner else {"type": "string"}
        return isinstance(value, list) and all(
            isinstance(pair, dict) and set(pair) == {"name", "value"} and _answers(pair["value"], of) for pair in value
        )
    if isinstance(kind, str) and not isinstance(value, _PYTHON[kind]):
        return False
    if isinstance(value, bool):
        return kind in ("boolean", None)
    if kind == "array":
        return all(_answers(item, _items(schema)) for item in value)
    if kind == "object":
        required = set(schema.get("required", ()))
        return set(value) == set(schema["properties"]) and all(
            _answers(value[name], inner) or (value[name] is None and name not in required)
            for name, inner in schema["properties"].items()
        )
    return True
