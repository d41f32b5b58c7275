"""A patch cut to what a schema takes."""

from collections.abc import Mapping
from typing import Any

from learning_ops.offline.instance import branches, fits


def shaped(patch: Mapping[str, list[dict[str, Any]]], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The lists that the schema has, each without the operations that do not fit its items (an entity type it does not list)."""
    made: dict[str, Any] = {}
    for name, node in schema.get("properties", {}).items():
        items = next((branch["items"] for branch in branches(node, schema) if branch.get("type") == "array"), None)
        if items is not None:
            made[name] = [one for one in patch.get(name, []) if fits(one, items, schema)]
    return made
