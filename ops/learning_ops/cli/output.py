"""What commands print: JSON for machines on stdout, tables for people, and times that people read at a glance."""

import re
from datetime import datetime
from typing import Any

import typer

# What JSON lets stand as it is, and a terminal obeys or does not show: controls of C1, turned directions, separators, tags.
_UNSEEN = re.compile("[\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON: times in ISO 8601, ids as text, numbers of the database as numbers."""
    import json
    from decimal import Decimal

    from pydantic_core import to_jsonable_python

    def numbers(inner: Any) -> Any:
        if isinstance(inner, Decimal):
            return float(inner)
        if isinstance(inner, dict):
            return {str(key): numbers(item) for key, item in inner.items()}
        if isinstance(inner, (list, tuple)):
            return [numbers(item) for item in inner]
        return inner

    printed = json.dumps(to_jsonable_python(numbers(value)), indent=indent, ensure_ascii=False)
    typer.echo(_UNSEEN.sub(_escaped, printed))


def _escaped(unseen: re.Match[str]) -> str:
    units = unseen[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def age(since: datetime | None, now: datetime) -> str:
    """How long ago: 3 s, 4 min, 5 h, 6 d; a dash where there is no time."""
    if since is None:
        return "–"
    seconds = max(0.0, (now - since).total_seconds())
    for limit, unit, size in ((120, "s", 1), (7_200, "min", 60), (172_800, "h", 3_600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def span(seconds: float) -> str:
    """A duration: 0.42 ms, 12 ms, 1.31 s."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms" if seconds < 0.1 else f"{seconds * 1e3:.0f} ms"
    return f"{seconds:.2f} s"


def moment(when: datetime | None) -> str:
    """A time to the millisecond, UTC; a dash where there is none."""
    if when is None:
        return "–"
    from datetime import UTC

    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def near(when: datetime, other: datetime) -> str:
    """A time to the millisecond, UTC; without the date where that is the other's."""
    from datetime import UTC

    told = moment(when)
    return told.split(" ")[1] if when.astimezone(UTC).date() == other.astimezone(UTC).date() else told
