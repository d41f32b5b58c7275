"""Regular expressions of users' schemas, in the engine that pydantic has: linear time, and the dialect pydantic wrote them in.

Python's own engine can take exponential time with the interpreter's lock held, and knows no `\\p{L}`.
"""

from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, core_schema


class UnusablePattern(ValueError):
    """The engine does not take this pattern: it is no regular expression, looks around, refers back or grows too large."""


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, strict=True))


def matches(pattern: object, value: str) -> bool:
    """Whether the pattern is found anywhere in the value. Raises `UnusablePattern`."""
    if not isinstance(pattern, str):
        raise UnusablePattern("is not text")
    try:
        return _compiled(pattern).isinstance_python(value)
    except SchemaError as error:
        raise UnusablePattern(f"is no pattern that can be used ({type(error).__name__})") from None


def check_pattern(pattern: object) -> None:
    """Raise `UnusablePattern` where the engine does not take it."""
    matches(pattern, "")
