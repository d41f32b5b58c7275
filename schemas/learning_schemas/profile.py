"""The user profile's schema: a plain dataclass that users extend, or a pydantic model, as JSON Schema that travels."""

import dataclasses
import importlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, PydanticUserError, TypeAdapter

from learning_schemas.errors import ConfigurationError
from learning_schemas.user_schema import is_field_name
from learning_schemas.validators import python_validator

_EXTEND = "Extend learning_machine.UserProfile: @dataclass class CustomerProfile(UserProfile): …"


@dataclass
class UserProfile:
    """What is known of a user, field by field. Extend it: one field with a default each.

    A field's description goes to the model: `plan: str | None = field(default=None, metadata={"description": "…"})`.
    """

    name: str | None = field(default=None, metadata={"description": "The user's full name, as they gave it"})
    preferred_name: str | None = field(
        default=None, metadata={"description": "What the user wants to be called: a nickname, a short or other name"}
    )


def json_schema_of(
    schema: type, *, has_import: bool = False, field: str = "user_profile.schema", extend: str = _EXTEND
) -> dict[str, Any]:
    """The JSON Schema of a class of fields: an object, references resolved, defaults and titles left out.

    `field` names the argument that it was given as, `extend` says how to write one. Raises `ConfigurationError` for a class with
    Python validators (they cannot travel) unless `has_import`, and for what is neither a dataclass nor a pydantic model, or is
    recursive.
    """
    if not isinstance(schema, type) or not (dataclasses.is_dataclass(schema) or issubclass(schema, BaseModel)):
        name = schema.__name__ if isinstance(schema, type) else f"a {type(schema).__name__}"
        raise ConfigurationError(field, f"{name} is neither a dataclass nor a pydantic model", extend)
    if dataclasses.is_dataclass(schema) and "__dataclass_fields__" not in vars(schema):
        raise ConfigurationError(field, f"{schema.__name__} is not decorated with @dataclass", extend)
    try:
        adapter = TypeAdapter(schema)
        if not has_import and (validator := python_validator(schema, adapter.core_schema)):
            raise ConfigurationError(
                field,
                f"{schema.__name__} has the Python validator {validator}, which cannot travel to the workers as JSON Schema",
                f"Say it with types and field constraints, or let the workers import the class: schema_import="
                f"'{schema.__module__}:{schema.__qualname__}'",
            )
        full = adapter.json_schema()
    except (PydanticUserError, NameError) as error:
        told = str(error).splitlines()[0].rstrip(".")
        raise ConfigurationError(field, f"{schema.__name__} has no JSON Schema: {told}", "Use JSON types") from None
    try:
        resolved = _resolve(full, full.get("$defs", {}), ())
    except _Recursive as error:
        raise ConfigurationError(field, f"{error} contains itself", "Use a schema that is not recursive") from None
    properties: dict[str, Any] = resolved.get("properties", {})
    if not properties:
        raise ConfigurationError(field, f"{schema.__name__} has no fields", "Give it one field at least")
    for name in properties:
        if not is_field_name(name):
            raise ConfigurationError(
                field,
                f"{schema.__name__} has the field {name[:64]!r}, a name that cannot be used",
                "Name it differently",
            )
    if dataclasses.is_dataclass(schema):
        for each in dataclasses.fields(schema):
            if each.name in properties and (description := each.metadata.get("description")):
                properties[each.name].setdefault("description", description)
    return {"type": "object", "properties": properties}


def import_schema(path: str, *, allowed: Collection[str] | None = None) -> type:
    """The dataclass or pydantic model that `package.module:Class` names, of one of the `allowed` modules (None: of any).

    Raises `ConfigurationError` where the module is not among them (and is not imported then) or cannot be imported.
    """
    module, _, name = path.partition(":")
    if allowed is not None and module not in allowed:
        raise ConfigurationError(
            "schema_import",
            f"{module!r} is not among LEARNING_SCHEMA_IMPORTS of this worker",
            "Name the module there if this worker shall import it",
        )
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # a module may raise anything while it is imported
        told = f"{type(error).__name__}: {error}"[:200]
        raise ConfigurationError(
            "schema_import", f"{path!r} cannot be imported ({told})", "Name it as 'package.module:Class'"
        ) from None
    if not isinstance(found, type) or not (dataclasses.is_dataclass(found) or issubclass(found, BaseModel)):
        raise ConfigurationError(
            "schema_import",
            f"{path!r} is neither a dataclass nor a pydantic model",
            "Name it as 'package.module:Class'",
        )
    return found


class _Recursive(Exception):
    """A definition refers to itself."""


def _resolve(node: Any, definitions: Mapping[str, Any], seen: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_resolve(item, definitions, seen) for item in node]
    if not isinstance(node, dict):
        return node
    if reference := node.get("$ref"):
        name = str(reference).rsplit("/", 1)[-1]
        if name in seen:
            raise _Recursive(name)
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return {**_resolve(definitions[name], definitions, (*seen, name)), **_resolve(rest, definitions, seen)}
    return {
        key: {name: _resolve(value, definitions, seen) for name, value in inner.items()}
        if key == "properties"
        else _resolve(inner, definitions, seen)
        for key, inner in _one_pattern(node).items()
        if key not in ("$defs", "default", "title")
    }


def _one_pattern(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """A map whose names must match a pattern, as pydantic writes it, in words that travel: names and values apart."""
    if "additionalProperties" in node or len(node.get("patternProperties", ())) != 1:
        return node
    [(pattern, values)] = node["patternProperties"].items()
    rest = {key: inner for key, inner in node.items() if key != "patternProperties"}
    names = {**rest.get("propertyNames", {}), "pattern": pattern}
    return {**rest, "propertyNames": names, "additionalProperties": values}
