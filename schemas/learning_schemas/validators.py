"""Python validators in a class, found in pydantic's core schema of it: they cannot travel as JSON Schema."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

_DECORATED = ("validators", "field_validators", "root_validators", "model_validators")
_NOT_SCHEMA = frozenset({"serialization", "metadata", "cls"})


def python_validator(schema: type, core: Any) -> str | None:
    """The name of the first one in a dataclass or pydantic model, or in what it holds; None where there is none."""
    return _of_class(schema) or _in_core(core)


def _of_class(schema: type) -> str | None:
    """Those that a class names itself, or inherits."""
    if dataclasses.is_dataclass(schema) and hasattr(schema, "__post_init__"):
        return f"{schema.__name__}.__post_init__"
    if issubclass(schema, BaseModel) and not _is_pydantics(schema.model_post_init):
        return f"{schema.__name__}.model_post_init"
    decorators = getattr(schema, "__pydantic_decorators__", None)
    for kind in _DECORATED if decorators is not None else ():
        for name in getattr(decorators, kind):
            return f"{schema.__name__}.{name}"
    return None


def _in_core(core: Any) -> str | None:
    """The first Python function in a core schema that is not pydantic's own, or class that has one."""
    if isinstance(core, Mapping):
        kind = str(core.get("type", ""))
        if kind in ("dataclass", "model") and (found := _of_class(core["cls"])):
            return found
        if kind.startswith("function-"):
            function = core.get("function", {}).get("function")
            if function is not None and not _is_pydantics(function):
                return getattr(function, "__qualname__", repr(function))
        for key, value in core.items():
            if key not in _NOT_SCHEMA and (found := _in_core(value)):
                return found
    elif isinstance(core, (list, tuple)):
        for value in core:
            if found := _in_core(value):
                return found
    return None


def _is_pydantics(function: Any) -> bool:
    package = str(getattr(function, "__module__", "")).partition(".")[0]
    return package in ("pydantic", "pydantic_core")
