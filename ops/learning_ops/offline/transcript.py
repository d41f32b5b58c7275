"""The material of an extraction: what is known and what was said, read from the last user message of a request."""

import json
import re
from dataclasses import dataclass
from datetime import date, datetime

_BLOCKS = re.compile(r"(?:<known>(?P<known>[^<>]*)</known>\s*)?<transcript>(?P<transcript>[^<>]*)</transcript>")
_ROLES = frozenset({"user", "assistant", "tool", "system", "developer"})


@dataclass(frozen=True, kw_only=True)
class Known:
    """A live learning that the request lists; `name` is a field's or property's name, the rest is of entities and insights."""

    id: str
    kind: str
    text: str
    name: str | None = None
    entity: str = ""
    type: str = ""
    relation: str = ""
    target: str = ""
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One message of the transcript; `earlier` ones are context only."""

    id: str
    role: str
    text: str
    name: str | None = None
    earlier: bool = False
    at: date | None = None  # the day on which it was said


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """What is known and what was said, both in the request's order."""

    known: tuple[Known, ...] = ()
    lines: tuple[Line, ...] = ()

    def known_of_kind(self, kind: str) -> Known | None:
        """The last known learning of that kind, or None."""
        return next((known for known in reversed(self.known) if known.kind == kind), None)


def read_transcript(text: str) -> Transcript | None:
    """Read the `<known>` and `<transcript>` blocks; None where there is not exactly one transcript of well-formed lines."""
    found = list(_BLOCKS.finditer(text))
    tags = sum(text.count(tag) for tag in ("<known>", "</known>", "<transcript>", "</transcript>"))
    if len(found) != 1 or tags != (2 if found[0]["known"] is None else 4):
        return None
    try:
        known = tuple(_known(line) for line in _records(found[0]["known"] or ""))
        lines = tuple(_line(line) for line in _records(found[0]["transcript"]))
    except ValueError:
        return None
    if len({line.id for line in lines}) != len(lines) or len({one.id for one in known}) != len(known):
        return None
    return Transcript(known=known, lines=lines)


def _records(block: str) -> list[dict[str, object]]:
    # Split on line feeds only: a JSON string may hold other line separators as they are.
    records = [json.loads(line) for line in block.split("\n") if line.strip()]
    if not all(isinstance(record, dict) for record in records):
        raise ValueError("a line is not an object")
    return records


def _known(record: dict[str, object]) -> Known:
    name = record.get("name")
    return Known(
        id=_text(record, "id"),
        kind=_text(record, "kind"),
        text=_text(record, "text"),
        name=name if isinstance(name, str) else None,
        entity=_optional(record, "entity"),
        type=_optional(record, "type"),
        relation=_optional(record, "relation"),
        target=_optional(record, "target"),
        title=_optional(record, "title"),
    )


def _line(record: dict[str, object]) -> Line:
    name = record.get("name")
    role = _text(record, "role")
    if role not in _ROLES:
        raise ValueError(f"unknown role {role!r}")
    return Line(
        id=_text(record, "id"),
        role=role,
        text=_text(record, "text"),
        name=name if isinstance(name, str) else None,
        earlier=record.get("earlier") is True,
        at=_day(record.get("at")),
    )


def _day(at: object) -> date | None:
    if not isinstance(at, str):
        return None
    try:
        return datetime.fromisoformat(at).date()
    except ValueError:
        return None


def _optional(record: dict[str, object], key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""


def _text(record: dict[str, object], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} is not text")
    return value
