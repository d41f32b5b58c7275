"""A row of agno's table, what is read from it, and what is said of that."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from learning_schemas.finding import first_finding
from learning_schemas.limits import Id
from learning_schemas.redaction import Redactor
from learning_schemas.scope import GLOBAL_NAMESPACE, USER_NAMESPACE
from learning_stores.grounding import storable
from learning_stores.import_record import Imported
from learning_stores.operations import Put

INTERNAL = frozenset({"user_id", "session_id", "agent_id", "team_id", "created_at", "updated_at"})
"""What agno keeps in a content beside what it says."""
MAX_ROW_BYTES = 8_388_608
"""Of a row's content as text: what is larger is no memory of a user, a session or an entity."""
_REDACT = Redactor()
_ID: TypeAdapter[str] = TypeAdapter(Id)
_LEVELS = 64
"""Of nesting in a content."""
_MAX_DIGITS = 1_000


@dataclass(frozen=True, kw_only=True)
class Left:
    """What is not imported: the row, what of it, and why."""

    row: str
    what: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """A record, and where it stands."""

    where: str
    record: Imported


@dataclass(frozen=True, kw_only=True)
class AgnoRow:
    """A row of `agno_learnings`."""

    learning_id: str
    learning_type: str
    namespace: str | None
    user_id: str | None
    agent_id: str | None
    team_id: str | None
    session_id: str | None
    entity_id: str | None
    entity_type: str | None
    content: Any
    created_at: int
    updated_at: int | None
    unread: str | None = None
    """Why there is no content, where it could not be read."""

    @property
    def scope(self) -> tuple[str, str | None]:
        """Where an entity lies: the namespace, and whose it is where that is one user's."""
        name = self.namespace or GLOBAL_NAMESPACE
        return name, self.user_id if name == USER_NAMESPACE else None

    @property
    def owner(self) -> str | None:
        """Whose it is; None for what users share."""
        if self.learning_type == "entity_memory" and self.scope[0] != USER_NAMESPACE:
            return None
        return self.user_id

    @property
    def entity_name(self) -> str:
        """The entity's name, or its id in words."""
        named = self.content.get("name") if isinstance(self.content, dict) else None
        return " ".join(str(named).split()) if named else in_words(self.entity_id or "")

    @property
    def moment(self) -> datetime:
        """When it was last changed; now where that is no time."""
        return when(self.updated_at or self.created_at) or datetime.now(UTC)


def row_of(columns: Mapping[str, Any]) -> AgnoRow:
    """A row from its columns, of which the content is text: read, without secrets, or with the reason why it cannot be read."""
    content, unread = None, None
    try:
        content = clean(_parsed(columns["content"]))
    except ValueError as error:
        unread = f"its content {error}"
    return AgnoRow(**{**columns, "content": content, "unread": unread})


def _parsed(content: str | None) -> Any:
    """The content as Python has it. Raises ValueError for what only Postgres can hold, with the reason."""
    if content is None:
        raise ValueError(f"is empty, or larger than {MAX_ROW_BYTES // 1_048_576} MiB")
    try:
        return json.loads(content, parse_int=_whole)
    except json.JSONDecodeError:
        raise ValueError("is no JSON") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:  # Python refuses some thousands, with advice for programmers
        raise ValueError(f"has a number of more than {_MAX_DIGITS:,} digits")
    return int(digits)


def wrong_id(value: str) -> str | None:
    """Why nobody could be named so here; None for an id."""
    try:
        _ID.validate_python(value)
    except ValidationError as error:
        return first_finding(error).problem
    return None


@dataclass
class Statement:
    """One statement on its way to a record; `extra` is what only its store has."""

    store: str
    put: Put
    said_at: datetime
    retired_at: datetime | None = None
    confidence: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


Names = Mapping[tuple[tuple[str, str | None], str | None], Mapping[str | None, str]]
"""The entities' names, by type, of each scope and id: an id alone names no entity where several types have it."""

Found = Iterator[tuple[str, Statement | str]]
"""What of a row, and the statement, or why it is left out."""


def in_words(slug: str) -> str:
    """An id that was made of a name, as a name."""
    return " ".join(slug.replace("_", " ").split())


def items(content: dict[str, Any], name: str) -> list[Any]:
    """The list of that name; empty where there is none."""
    found = content.get(name)
    return found if isinstance(found, list) else []


def words_of(item: Any) -> str | None:
    """What an entry says, on one line; None for nothing."""
    words = item.get("content") if isinstance(item, dict) else item
    return " ".join(words.split()) or None if isinstance(words, str) else None


def moment_of(item: Any, row: AgnoRow) -> datetime:
    """When an entry was made, else when its row was changed."""
    if isinstance(item, dict):
        for name in ("created_at", "added_at", "updated_at"):
            if (found := when(item.get(name))) is not None:
                return min(found, datetime.now(UTC))
    return row.moment


def when(value: Any) -> datetime | None:
    """A time as agno writes it; None for none."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):  # of no year that there is
        return None
    return found if found is None or found.tzinfo is not None else found.replace(tzinfo=UTC)


def clean(value: Any, levels: int = _LEVELS) -> Any:
    """Without what Postgres takes in no text, and without secrets, as everything that is emitted.

    Raises ValueError for more than `levels` of nesting.
    """
    if isinstance(value, str):
        kept, _ = _REDACT(storable(value))
        return kept
    if levels == 0 and isinstance(value, (list, dict)):
        raise ValueError("is nested too deeply")
    if isinstance(value, list):
        return [clean(item, levels - 1) for item in value]
    if isinstance(value, dict):
        return {clean(name): clean(item, levels - 1) for name, item in value.items()}
    return value
