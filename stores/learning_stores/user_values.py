"""Values of the user's own fields, checked by their schema: in linear time, and without a look outside the schema."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Protocol

from pydantic import PydanticUserError, TypeAdapter
from pydantic_core import from_json, to_json

from learning_schemas.errors import ConfigurationError
from learning_schemas.limits import check_json
from learning_schemas.patch import DEFAULT_PROFILE_SCHEMA
from learning_schemas.pattern import UnusablePattern, check_pattern, matches
from learning_schemas.profile import import_schema
from learning_schemas.spec import StoreSpec
from learning_schemas.strict import from_strict, strict_value
from learning_schemas.user_schema import patterns
from learning_stores.grounding import storable
from learning_stores.settings import ServiceSettings

# The agent's process imports this module: jsonschema is imported where a value is checked, by a worker or a tool. The default
# fields, which any agent may set, need none of it.
_KINDS = {"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
_TEXTS: tuple[dict[str, Any], ...] = ({"type": "string"}, {"anyOf": [{"type": "string"}, {"type": "null"}]})


_VALUE_DEPTH = 64


def check_usable(spec: StoreSpec) -> None:
    """Raise `ConfigurationError` where this worker cannot check values by the spec's schema: before a model is asked."""
    if spec.schema_import is not None:
        _imported(spec.schema_import)
    if spec.user_schema is not None:
        _check_schema(to_json(spec.user_schema))


def checked_value(
    name: str, value: Any, schema: dict[str, Any], schema_import: str | None, *, own: bool = False
) -> Any:
    """The value as the user's schema takes it. Raises ValueError for one it refuses, `ConfigurationError` for the schema.

    `own` says that the spec is this process's own, so that the class it names may be imported.
    """
    if value is None or value in ("", [], {}):
        raise ValueError(f"{name} has no value")
    if schema_import is not None:
        adapter = _imported(schema_import, own=own)
        kept = adapter.dump_python(adapter.validate_python({name: value}), mode="json")
        if name not in kept:
            raise ConfigurationError(
                "schema_import",
                f"{schema_import!r} has no field {name!r} on this worker",
                "Give the workers the class that the agents have",
            )
        return kept[name]
    if {keyword: each for keyword, each in schema.items() if keyword != "description"} in _TEXTS:
        if isinstance(value, str):
            return value
        raise ValueError(f"{name}: type")
    try:
        from jsonschema import Draft202012Validator
        from referencing import Registry
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            "user_schema",
            f"values cannot be checked without {missing.name}",
            "Run: pip install 'learning-machine[worker]'",
        ) from None

    # An empty registry: the validator's own would fetch what a reference names.
    validator = _bounded()(schema, format_checker=Draft202012Validator.FORMAT_CHECKER, registry=Registry())
    try:
        error = next(validator.iter_errors(value), None)
    except UnusablePattern as pattern:
        raise _unusable(f"a pattern of {name} {pattern}") from None
    if error is not None:
        raise ValueError(f"{name}: {error.validator}")
    return value


def typed_value(name: str, value: Any, schema: dict[str, Any], schema_import: str | None, *, own: bool = False) -> Any:
    """An answer to the strict form of a field's schema, as the schema itself takes it. Raises as `checked_value` does."""
    return checked_value(name, plain_value(name, value, schema), schema, schema_import, own=own)


def plain_value(name: str, value: Any, schema: dict[str, Any]) -> Any:
    """An answer to the strict form in the form of the schema itself, not checked yet. Raises ValueError for one of neither form."""
    try:
        # Checked as JSON again: a map's name may be a number, and a number may be NaN, which Postgres takes in no JSON.
        return check_json(from_strict(storable(value), schema), _VALUE_DEPTH)
    except (LookupError, TypeError, AttributeError):  # a list of other things than name and value, where a map is meant
        raise ValueError(f"{name}: form") from None


def told(value: Any) -> str:
    """A field's value in words."""
    if isinstance(value, list):
        return ", ".join(told(item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{name}: {told(item)}" for name, item in value.items())
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def refused_value(name: str, schema: Mapping[str, Any], error: ValueError) -> str:
    """Why a value is not taken, for whoever gave it: the schema at fault, or what the field takes."""
    if isinstance(error, ConfigurationError):
        return str(error)
    takes = {keyword: value for keyword, value in strict_value(schema).items() if keyword != "description"}
    if (kind := _KINDS.get(str(takes.get("type")))) is not None and len(takes) == 1:
        return f"{name} takes {kind}."
    return f"{name} takes another value, one of the form {to_json(takes).decode()}."


class _Remembered(Protocol):
    """A learning, as extraction or recall reads it."""

    @property
    def kind(self) -> str: ...
    @property
    def data(self) -> Mapping[str, Any]: ...


def lost_fields(learnings: Iterable[_Remembered], spec: StoreSpec) -> list[str]:
    """The fields that are remembered and no longer in a store's schema, by name, in order: they stay readable as they are."""
    default = DEFAULT_PROFILE_SCHEMA if spec.scope == "user" else {}
    known = (spec.user_schema or default).get("properties", {})
    held: set[str] = set()
    for learning in learnings:
        # A custom store may give these kinds another form.
        name, fields = learning.data.get("name"), learning.data.get("fields")
        if learning.kind == "insight" and isinstance(fields, Mapping):
            held.update(fields)
        elif isinstance(name, str) and (
            learning.kind == "field" or (learning.kind == "property" and spec.user_schema is not None)
        ):  # without a schema any name of a property goes
            held.add(name)
    return sorted(held - set(known))


@lru_cache(maxsize=64)
def _imported(path: str, *, own: bool = False) -> TypeAdapter[Any]:
    """The class that a spec names, if this deployment lets it: a spec may come from anybody who writes to the stream."""
    schema = import_schema(path, allowed=None if own else ServiceSettings.load().importable())
    try:
        return TypeAdapter(schema)
    except PydanticUserError as error:
        told = str(error).splitlines()[0]
        raise ConfigurationError("schema_import", f"{path!r} is no schema: {told}", "Use JSON types") from None


@lru_cache(maxsize=64)
def _check_schema(body: bytes) -> None:
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import SchemaError

    schema = from_json(body)
    try:
        # Without formats: that of a pattern is Python's, and these are pydantic's.
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(formats=()))
        for pattern in patterns(schema):
            check_pattern(pattern)
    except SchemaError as error:
        raise _unusable(f"{'.'.join(map(str, error.path))} is no JSON Schema ({error.validator})") from None
    except UnusablePattern as error:
        raise _unusable(f"a pattern {error}") from None


def _unusable(problem: str) -> ConfigurationError:
    return ConfigurationError("user_schema", problem, "Patterns are those of pydantic, without looking around or back")


@lru_cache(maxsize=1)
def _bounded() -> Any:
    """Draft 2020-12 with the engine of `learning_schemas.pattern`."""
    from jsonschema import Draft202012Validator, ValidationError, validators

    def pattern(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        if isinstance(value, str) and not matches(wanted, value):
            yield ValidationError("does not match")

    def refused(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        raise _unusable("patternProperties does not travel")

    keywords = {"pattern": pattern, "patternProperties": refused}
    return validators.extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]  # its stub has no types
