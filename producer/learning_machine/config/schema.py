"""A user's own schema, as it travels: JSON Schema, checked before it leaves."""

from typing import Any

from learning_schemas.errors import ConfigurationError
from learning_schemas.pattern import UnusablePattern, check_pattern
from learning_schemas.profile import import_schema, json_schema_of
from learning_schemas.user_schema import patterns


def travelling_schema(
    store: str, schema: type | None, schema_import: str | None, *, default: type | None, remedy: str
) -> dict[str, Any] | None:
    """The JSON Schema of a class; None where none is given, or the store's `default`, which need not travel.

    Raises `ConfigurationError` that names the store's argument.
    """
    field = f"{store}.schema"
    if schema_import is not None:
        imported = import_schema(schema_import)
        if schema is not None and imported is not schema:
            raise ConfigurationError(
                f"{store}.schema_import",
                "does not name the class given as schema",
                "Give one of the two, or let both name the same class",
            )
        schema = imported
    if schema is None or schema is default:
        return None
    made = json_schema_of(schema, has_import=schema_import is not None, field=field, extend=remedy)
    for pattern in patterns(made):
        try:
            check_pattern(pattern)
        except UnusablePattern as error:
            raise ConfigurationError(
                field,
                f"the pattern {pattern!r} {error}",
                "Write it without looking around and back: the workers have no engine for these",
            ) from None
    return made
