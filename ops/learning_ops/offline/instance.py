"""A JSON value and its schema: does it fit, and which is the emptiest one that does."""

from collections.abc import Mapping
from typing import Any

from learning_ops.offline.strict_schema import resolve_ref
from learning_schemas.pattern import matches

_LENGTH = 100  # items or characters; no small instance has more
_DEPTH = 32  # a schema that demands its own recursion without end has no finite instance


class NoInstance(ValueError):
    """No small value fits this schema: it demands an endless or contradictory instance; loosen it or use --model openai."""


def branches(
    node: Mapping[str, Any], root: Mapping[str, Any], entered: frozenset[str] = frozenset()
) -> list[Mapping[str, Any]]:
    """The plain schemas (no `$ref`, no `anyOf`) that a node allows, in its order; a reference to itself allows nothing."""
    if "$ref" in node:
        target = resolve_ref(node["$ref"], root)
        return [] if target is None or node["$ref"] in entered else branches(target, root, entered | {node["$ref"]})
    if "anyOf" in node:
        return [branch for choice in node["anyOf"] for branch in branches(choice, root, entered)]
    declared = node.get("type")
    if isinstance(declared, list):
        return [{**node, "type": one} for one in declared]
    return [node]


def fits(value: object, node: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    """Whether `value` is an instance of the schema `node` (strict subset; string formats are not checked)."""
    return any(_fits_plain(value, branch, root) for branch in branches(node, root))


def _fits_plain(value: object, node: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    if "enum" in node and value not in node["enum"]:
        return False
    if "const" in node and value != node["const"]:
        return False
    match node.get("type"):
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str) and _fits_text(value, node)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool) and _fits_number(value, node)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool) and _fits_number(value, node)
        case "array":
            return (
                isinstance(value, list)
                and node.get("minItems", 0) <= len(value) <= node.get("maxItems", len(value))
                and all(fits(item, node["items"], root) for item in value)
            )
        case "object":
            properties = node.get("properties", {})
            return (
                isinstance(value, dict)
                and set(value) <= set(properties)
                and set(node.get("required", ())) <= set(value)
                and all(fits(item, properties[name], root) for name, item in value.items())
            )
        case _:
            return True


def _fits_text(value: str, node: Mapping[str, Any]) -> bool:
    if not node.get("minLength", 0) <= len(value) <= node.get("maxLength", len(value)):
        return False
    return "pattern" not in node or matches(node["pattern"], value)


def _fits_number(value: float, node: Mapping[str, Any]) -> bool:
    return (
        node.get("minimum", value) <= value <= node.get("maximum", value)
        and ("exclusiveMinimum" not in node or value > node["exclusiveMinimum"])
        and ("exclusiveMaximum" not in node or value < node["exclusiveMaximum"])
        and ("multipleOf" not in node or value % node["multipleOf"] == 0)
    )


def emptiest(node: Mapping[str, Any], root: Mapping[str, Any], depth: int = 0) -> Any:
    """The instance with the least in it: null where allowed, else an empty string, list, zero, false or the first enum value.

    Raises NoInstance where none of these fits (a pattern, or recursion without an end).
    """
    if depth > _DEPTH:
        raise NoInstance(NoInstance.__doc__)
    allowed = branches(node, root)
    if any(branch.get("type") == "null" for branch in allowed) and fits(None, node, root):
        return None
    for branch in allowed:
        try:
            value = _emptiest_plain(branch, root, depth)
        except NoInstance:
            continue
        if fits(value, branch, root):
            return value
    raise NoInstance(NoInstance.__doc__)


def _emptiest_plain(node: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    if "const" in node:
        return node["const"]
    if "enum" in node:
        return node["enum"][0]
    if max(node.get("minItems", 0), node.get("minLength", 0)) > _LENGTH:
        raise NoInstance(NoInstance.__doc__)
    match node.get("type"):
        case "object":
            return {name: emptiest(child, root, depth + 1) for name, child in node.get("properties", {}).items()}
        case "array":
            return [emptiest(node["items"], root, depth + 1) for _ in range(node.get("minItems", 0))]
        case "string":
            return " " * node.get("minLength", 0)
        case "boolean":
            return False
        case _:
            return node.get("minimum", 0)
