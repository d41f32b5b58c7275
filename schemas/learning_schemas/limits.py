"""What an event may hold. The numbers are the published limits of the wire format."""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

MAX_EVENT_BYTES = 1_048_576
"""Default bound on one event's JSON; `LEARNING_MAX_EVENT_BYTES` changes it on both sides."""
MAX_MESSAGES = 2_000
MAX_ID_LENGTH = 255
MAX_DEPTH = 16
"""Levels of nesting in metadata and tool calls."""
MAX_JSON_VALUES = 20_000
"""Values (entries of objects and lists, on all levels) in one metadata or tool calls."""
MAX_KEY_BYTES = 1_500
"""Bytes of tenant, user id and session id together: they are the key of an index, percent-encoded."""
MAX_CLOCK_SKEW_SECONDS = 600
"""How far ahead of the server's clock an event's id may be."""
_MAX_NUMBER_BITS = 1_000


# Control characters and lone surrogates; what nobody sees (zero-width space, word joiner, byte order mark); line and
# paragraph separators; what changes the direction of the text after it, so that one id looks like another.
_UNSEEN = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff\\ud800-\\udfff]"
)


def _visible_id(value: str) -> str:
    if not value.isprintable() and _UNSEEN.search(value):
        raise ValueError("has a control character, an invisible character or one that turns the direction of text")
    if value != value.strip():
        raise ValueError("has space around it")
    return value


Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH), AfterValidator(_visible_id)]
"""A user, session, agent, team or tenant id: 1 to 255 characters, none of them control characters, no space around."""


def clean_text(value: str) -> str:
    """Return `value` if UTF-8 and Postgres can hold it; raise ValueError else."""
    if "\x00" in value:
        raise ValueError("has a NUL character, which Postgres cannot store")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("has a lone surrogate, which is not valid Unicode text") from None
    return value


Text = Annotated[str, AfterValidator(clean_text)]
"""Text that UTF-8 and Postgres can hold: no NUL, no lone surrogate."""


def check_json(value: Any, max_depth: int = MAX_DEPTH) -> Any:
    """A copy of `value` as JSON has it: objects, lists, clean text, numbers; an SDK's objects as their dictionaries.

    Raises ValueError for what JSON or Postgres cannot hold, for more than `max_depth` levels or MAX_JSON_VALUES values.
    """
    return _as_json(value, max_depth, [MAX_JSON_VALUES])


def _as_json(value: Any, max_depth: int, left: list[int]) -> Any:
    """The same; `left` holds how many values more there may be."""
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if value.bit_length() > _MAX_NUMBER_BITS:
            raise ValueError("has a number of more than 300 digits")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("has a number that JSON cannot hold: NaN or infinity")
        return value
    if max_depth == 0:
        raise ValueError("is nested too deeply")
    if isinstance(value, (Mapping, list, tuple)):
        left[0] -= len(value)
        if left[0] < 0:
            raise ValueError(f"holds more than {MAX_JSON_VALUES:,} values")
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise ValueError("has a key that is not text")
        return {clean_text(name): _as_json(inner, max_depth - 1, left) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(inner, max_depth - 1, left) for inner in value]
    if (dumped := dumped_model(value)) is not None:
        return _as_json(dumped, max_depth, left)
    raise ValueError(f"has a value that JSON cannot hold: {type(value).__name__}")


def dumped_model(value: object) -> dict[str, Any] | None:
    """The dictionary of an SDK's object (a pydantic model of theirs), without absent values; None for anything else."""
    dump = getattr(value, "model_dump", None)
    if not callable(dump) or isinstance(value, type):
        return None
    # Without warnings: SDKs fill their models with more than their types say.
    found = dump(mode="json", exclude_none=True, warnings=False)
    return found if isinstance(found, dict) else None
