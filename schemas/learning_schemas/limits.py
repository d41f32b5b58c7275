"""What an event may hold. The numbers are the published limits of the wire format."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

MAX_EVENT_BYTES = 1_048_576
"""Default bound on one event's JSON; `LEARNING_MAX_EVENT_BYTES` changes it on both sides."""
MAX_MESSAGES = 2_000
MAX_ID_LENGTH = 255
MAX_DEPTH = 16
"""Levels of nesting in metadata and tool calls."""
MAX_CLOCK_SKEW_SECONDS = 600
"""How far ahead of the server's clock an event's id may be."""


def _visible_id(value: str) -> str:
    if not value.isprintable() and any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) <= 0xDFFF for c in value):
        raise ValueError("has a control character or a lone surrogate")
    if value != value.strip():
        raise ValueError("has space around it")
    return value


Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH), AfterValidator(_visible_id)]
"""A user, session, agent, team or tenant id: 1 to 255 characters, none of them control characters, no space around."""


def _clean_text(value: str) -> str:
    if "\x00" in value:
        raise ValueError("has a NUL character, which Postgres cannot store")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("has a lone surrogate, which is not valid Unicode text") from None
    return value


Text = Annotated[str, AfterValidator(_clean_text)]
"""Text that UTF-8 and Postgres can hold: no NUL, no lone surrogate."""


def check_json(value: Any) -> Any:
    """Return `value` if it is JSON of at most `MAX_DEPTH` levels with clean text in it; raise ValueError else."""
    stack: list[tuple[Any, int]] = [(value, 1)]
    while stack:
        item, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(item, str):
            _clean_text(item)
        elif isinstance(item, dict):
            for key, inner in item.items():
                if not isinstance(key, str):
                    raise ValueError(f"has a key that is not text: {key!r}")
                _clean_text(key)
                stack.append((inner, depth + 1))
        elif isinstance(item, (list, tuple)):
            stack.extend((inner, depth + 1) for inner in item)
        elif item is not None and not isinstance(item, (bool, int, float)):
            raise ValueError(f"has a value that JSON cannot hold: {type(item).__name__}")
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValueError("has a number that JSON cannot hold: NaN or infinity")
    return value
