"""A patch cut to what a schema takes."""

from collections.abc import Mapping
from typing import Any

from learning_ops.offline.instance import branches, fits

_DEPTH = 16  # levels at most that an absent value is written out for


def shaped(patch: Mapping[str, list[dict[str, Any]]], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The lists that the schema has, each without the operations that do not fit its items (an entity type it does not list)."""
    made: dict[str, Any] = {}
    for name, node in schema.get("properties", {}).items():
        items = next((branch["items"] for branch in branches(node, schema) if branch.get("type") == "array"), None)
        if items is not None:
            whole = (_completed(one, items, schema) for one in patch.get(name, []))
            made[name] = [one for one in whole if fits(one, items, schema)]
    return made


def absence(node: Mapping[str, Any], root: Mapping[str, Any], depth: int = _DEPTH) -> Any:
    """How a schema says that there is nothing: null, or an object all of whose properties are null; null where it cannot."""
    plain = branches(node, root)
    properties = next((branch["properties"] for branch in plain if branch.get("properties")), None)
    if properties is None or depth == 0 or any(branch.get("type") == "null" for branch in plain):
        return None
    return {name: absence(inner, root, depth - 1) for name, inner in properties.items()}


def _completed(operation: dict[str, Any], node: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """The operation with what the schema demands besides, such as fields of the user's own, as absent."""
    whole = next((branch for branch in branches(node, root) if branch.get("properties")), {})
    missing = [name for name in whole.get("required", ()) if name not in operation]
    return {**operation, **{name: absence(whole["properties"][name], root) for name in missing}}
