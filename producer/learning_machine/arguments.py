"""What callers pass, checked: an error names the argument, what is wrong with it and the remedy, never the value."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from learning_schemas.errors import ConfigurationError, InvalidArgument
from learning_schemas.finding import first_finding
from learning_schemas.limits import Id

Refusal = type[ConfigurationError] | type[InvalidArgument]

_ID: TypeAdapter[str] = TypeAdapter(Id)
ID_REMEDY = "Give 1 to 255 visible characters without space around them"


def checked_id(name: str, value: object, refusal: Refusal = InvalidArgument) -> str:
    """A user, session or tenant id."""
    try:
        return _ID.validate_python(value)
    except ValidationError as error:
        raise refusal(name, first_finding(error).problem, ID_REMEDY) from None


def checked_number(
    name: str, value: object, least: float, most: float, remedy: str, refusal: Refusal = InvalidArgument
) -> float:
    """A number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refusal(name, f"is {type(value).__name__}, not a number", remedy)
    if not least <= value <= most:  # nor is what is no number
        raise refusal(name, f"is not between {least:,.12g} and {most:,.12g}", remedy)
    return value


def checked_flag(name: str, value: object) -> bool:
    """True or False, and nothing that Python would take for one of them."""
    if not isinstance(value, bool):
        raise ConfigurationError(name, f"is {type(value).__name__}, not a bool", "Give True or False")
    return value


def checked_tokens(name: str, value: object, refusal: Refusal = InvalidArgument) -> int:
    """A budget of tokens."""
    if isinstance(value, float):
        raise refusal(name, "is not a whole number", "The default is 1,000 tokens")
    return int(checked_number(name, value, 50, 1_000_000, "The default is 1,000 tokens", refusal))


def checked_deadline(name: str, value: object, refusal: Refusal = InvalidArgument) -> float:
    """A deadline of recall, in seconds."""
    return checked_number(name, value, 0.001, 60, "The default is 0.5 seconds", refusal)


def checked_emit_deadline(value: object) -> float:
    """How long emit may take in all, in seconds."""
    return checked_number("emit_deadline", value, 0.05, 60, "The default is 1 second", ConfigurationError)


def checked_spool_dir(given: str | os.PathLike[str] | None, variable: str | None) -> Path | None:
    """The directory of the argument, else of the variable; None where neither names one."""
    named = given if given is not None else (variable or "").strip()
    if not named:
        return None
    from learning_machine.spool import checked_directory  # Unix alone has its locks

    return checked_directory(named, "spool_dir" if given is not None else "LEARNING_SPOOL_DIR")


def checked_choice(name: str, value: object, *known: str) -> None:
    """One of these words."""
    if value not in known:
        raise InvalidArgument(name, "is not a word that it can be", f"Use one of {', '.join(known)}")


def checked_hooks(hooks: Any) -> Sequence[Callable[[str], str]]:
    """Redaction hooks."""
    if not isinstance(hooks, Sequence) or isinstance(hooks, str) or not all(map(callable, hooks)):
        raise ConfigurationError(
            "redaction_hooks", "is not a list of functions", "Give functions that take a text and give it back redacted"
        )
    return tuple(hooks)
