"""Data for a model, one JSON object a line, so that no text can close a block or forge a line."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

# What JSON lets stand as it is: delimiters of blocks, and what some readers take for a new line or do not show.
_ESCAPED = re.compile("[<>\x7f-\x9f\u2028\u2029]")


def json_line(value: Mapping[str, Any]) -> str:
    """One line, with `<`, `>` and what could be read as the end of a line escaped."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def block(name: str, values: Iterable[Mapping[str, Any]]) -> str:
    """Lines between `<name>` and `</name>`."""
    return "\n".join([f"<{name}>", *(json_line(value) for value in values), f"</{name}>"])
