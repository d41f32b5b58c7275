"""Values of the user's own fields, checked by their schema: in linear time, and without a look outside the schema."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydantic import PydanticUserError, TypeAdapter
from pydantic_core import from_json, to_json

from learning_schemas.errors import ConfigurationError
from learning_schemas.pattern import UnusablePattern, check_pattern, matches
from learning_schemas.profile import import_schema
from learning_schemas.spec import StoreSpec
from learning_schemas.user_schema import patterns
from learning_stores.settings import ServiceSettings

# The agent's process imports this module and needs no validator: jsonschema is imported where a worker checks a value.


def check_usable(spec: StoreSpec) -> None:
    """Raise `ConfigurationError` where this worker cannot check values by the spec's schema: before a model is asked."""
    if spec.schema_import is not None:
        _imported(spec.schema_import)
    if spec.user_schema is not None:
        _check_schema(to_json(spec.user_schema))


def checked_value(name: str, value: Any, schema: dict[str, Any], schema_import: str | None) -> Any:
    """The value as the user's schema takes it. Raises ValueError for one it refuses, `ConfigurationError` for the schema."""
    if value is None or value in ("", [], {}):
        raise ValueError(f"{name} has no value")
    if schema_import is not None:
        adapter = _imported(schema_import)
        kept = adapter.dump_python(adapter.validate_python({name: value}), mode="json")
        if name not in kept:
            raise ConfigurationError(
                "schema_import",
                f"{schema_import!r} has no field {name!r} on this worker",
                "Give the workers the class that the agents have",
            )
        return kept[name]
    from jsonschema import Draft202012Validator
    from referencing import Registry

    # An empty registry: the validator's own would fetch what a reference names.
    validator = _bounded()(schema, format_checker=Draft202012Validator.FORMAT_CHECKER, registry=Registry())
    try:
        error = next(validator.iter_errors(value), None)
    except UnusablePattern as pattern:
        raise _unusable(f"a pattern of {name} {pattern}") from None
    if error is not None:
        raise ValueError(f"{name}: {error.validator}")
    return value


@lru_cache(maxsize=64)
def _imported(path: str) -> TypeAdapter[Any]:
    """The class that a spec names, if this deployment lets it: a spec may come from anybody who writes to the stream."""
    schema = import_schema(path, allowed=ServiceSettings.load().importable())
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
