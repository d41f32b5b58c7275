"""What a grounded patch, a tool call or a person asks of the learnings of a place; and the records that it is said in.

A store turns a patch into `Put` and `Retire`; `applying` runs them.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.grounding import fold
from learning_stores.place import Place

MAX_CONTENT = 4_000
"""Characters of one learning."""

Origin = Literal["extraction", "tool", "human", "curator", "import"]

SAID_BY_USER, SAID_BY_TOOL, SAID_BY_OTHERS = 0.9, 0.7, 0.6
"""How sure what an extraction or a tool states is, by whose words it stands on; what a person or an import states is 1."""


@dataclass(frozen=True, kw_only=True)
class Citation:
    """What something stands on: the words of a message, or (without `event_id`) a call of a tool or a person's."""

    event_id: UUID | None = None
    message: int | None = None
    quote: str | None = None
    user_id: str | None = None  # whose words these are
    occurred_at: datetime


@dataclass(frozen=True, order=True)
class EntityName:
    """An entity as somebody names it. Names are resolved inside the transaction that writes."""

    name: str
    type: str

    @property
    def key(self) -> tuple[str, str]:
        """Equal for equal names: type and name, folded."""
        return fold(self.type), fold(self.name)


@dataclass(frozen=True, kw_only=True)
class Put:
    """State something: a new learning, a new value under a key, or a replacement of a known learning.

    `about` is the entity that it is about, `target` the other end of a relationship; a `content_key` counts for these two.
    With `equal_by_key` an equal key says the same, however it is worded; without it a key is a place for one value. `core` is
    the same statement without what one speaker adds to it: what goes live when two users support it in different words.
    """

    kind: str
    content: str
    content_key: str
    citations: tuple[Citation, ...]
    data: dict[str, Any] = field(default_factory=dict)
    replaces: UUID | None = None
    about: EntityName | None = None
    target: EntityName | None = None
    equal_by_key: bool = False
    core: "Put | None" = None


@dataclass(frozen=True, kw_only=True)
class Retire:
    """Something known is no longer so."""

    learning_id: UUID
    citations: tuple[Citation, ...]
    reason: str = "retracted"


@dataclass(frozen=True, kw_only=True)
class Confirm:
    """A known learning was said again: it gains evidence."""

    learning_id: UUID
    citations: tuple[Citation, ...]


Operation = Put | Retire | Confirm


@dataclass(frozen=True, kw_only=True)
class Operations:
    """A grounded patch, and how much of it was dropped for which reason."""

    kept: tuple[Operation, ...]
    dropped: Counter[str]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Whose learnings these are to be, and the extraction, or the change by a tool or a person, that they come from."""

    place: Place
    made_by: UUID
    origin: Origin = "extraction"


@dataclass(frozen=True, kw_only=True)
class LiveLearning:
    """A live row, as extraction reads it. `entity` and `entity_type` name what it is about."""

    id: UUID
    kind: str
    content: str
    content_key: str
    data: dict[str, Any]
    valid_from: datetime
    origin: str = "extraction"
    status: str = "active"
    about: UUID | None = None
    target: UUID | None = None
    entity: str | None = None
    entity_type: str | None = None


_LIVE = text("""
    SELECT id, kind, content, content_key, data, valid_from, origin FROM learning.learning
    WHERE tenant = :tenant AND store = :store AND scope = :scope AND status = 'active'
    ORDER BY live_from DESC, id DESC LIMIT :limit
""")


def live_learnings(session: Session, tenant: str, store: str, scope: str, limit: int = 500) -> list[LiveLearning]:
    """What is known under a scope, last learned first."""
    rows = session.execute(_LIVE, {"tenant": tenant, "store": store, "scope": scope, "limit": limit})
    return [LiveLearning(**row._mapping) for row in rows]
