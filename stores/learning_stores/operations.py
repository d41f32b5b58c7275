"""What a grounded patch does to the learnings of a scope, and how it is done: the same for every store.

A store turns a patch into `Put` and `Retire`; `apply` runs them under the rules that all learnings share: an equal
statement gains evidence instead of a second row, a new value retires the old one, and evidence older than a live row never
supersedes it but enters as history.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.ids import uuid7
from learning_stores.grounding import content_key

MAX_CONTENT = 4_000
"""Characters of one learning."""


@dataclass(frozen=True, kw_only=True)
class Citation:
    """A message that something stands on."""

    event_id: UUID
    message: int
    quote: str
    user_id: str | None
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True)
class Put:
    """State something: a new learning, a new value under a key, or a replacement of a known learning."""

    kind: str
    content: str
    content_key: str
    citations: tuple[Citation, ...]
    data: dict[str, Any] = field(default_factory=dict)
    replaces: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class Retire:
    """Something known is no longer so."""

    learning_id: UUID
    citations: tuple[Citation, ...]
    reason: str = "retracted"


Operation = Put | Retire


@dataclass(frozen=True, kw_only=True)
class Operations:
    """A grounded patch, and how much of it was dropped for which reason."""

    kept: tuple[Operation, ...]
    dropped: Counter[str]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Whose learnings these are, and the extraction that they come from."""

    tenant: str
    store: str
    scope: str
    user_id: str | None
    session_id: str | None
    extraction_id: UUID
    origin: str = "extraction"


@dataclass(frozen=True, kw_only=True)
class Learning:
    """A live row, as extraction reads it."""

    id: UUID
    kind: str
    content: str
    content_key: str
    data: dict[str, Any]
    valid_from: datetime


_LIVE = text("""
    SELECT id, kind, content, content_key, data, valid_from FROM learning.learning
    WHERE tenant = :tenant AND store = :store AND scope = :scope AND status = 'active'
    ORDER BY live_from DESC, id DESC LIMIT :limit
""")


def live_learnings(session: Session, tenant: str, store: str, scope: str, limit: int = 500) -> list[Learning]:
    """What is known under a scope, last learned first."""
    rows = session.execute(_LIVE, {"tenant": tenant, "store": store, "scope": scope, "limit": limit})
    return [Learning(**row._mapping) for row in rows]


# Locked by id, after the mailbox: the order that every writer keeps.
_LOCK = text("""
    SELECT id, kind, content, content_key, data, valid_from FROM learning.learning
    WHERE tenant = :tenant AND store = :store AND scope = :scope AND status = 'active'
      AND (id = ANY (:ids) OR (kind, content_key) IN (SELECT * FROM unnest(cast(:kinds AS text[]), cast(:keys AS text[]))))
    ORDER BY id FOR UPDATE
""")

# Who took the place of a row that is no longer live, however many steps on.
_SUCCESSOR = text("""
    WITH RECURSIVE chain AS (
        SELECT replaced_by FROM learning.learning WHERE tenant = :tenant AND id = :id
        UNION
        SELECT l.replaced_by FROM learning.learning l JOIN chain c ON l.tenant = :tenant AND l.id = c.replaced_by
    )
    SELECT l.id, l.kind, l.content, l.content_key, l.data, l.valid_from
    FROM chain c JOIN learning.learning l ON l.tenant = :tenant AND l.id = c.replaced_by
    WHERE l.status = 'active'
    FOR UPDATE OF l
""")

_INSERT = text("""
    INSERT INTO learning.learning (tenant, id, store, kind, scope, user_id, session_id, content, content_key, data, status,
        valid_from, valid_to, live_from, retired_at, retired_reason, retired_by, replaced_by, origin, made_by)
    VALUES (:tenant, :id, :store, :kind, :scope, :user_id, :session_id, :content, :content_key, cast(:data AS jsonb), :status,
        :valid_from, :valid_to, :now, :retired_at, :retired_reason, :retired_by, :replaced_by, :origin, :made_by)
    ON CONFLICT (tenant, store, kind, scope, about, content_key, status) WHERE status <> 'retired' DO NOTHING
""")

_RETIRE = text("""
    UPDATE learning.learning SET status = 'retired', retired_at = greatest(:now, live_from), retired_reason = :reason,
        retired_by = :by, replaced_by = :replaced_by, valid_to = greatest(:valid_to, valid_from)
    WHERE tenant = :tenant AND id = :id AND status = 'active'
""")

_CITE = text("""
    INSERT INTO learning.evidence (tenant, id, learning_id, origin, extraction_id, event_id, message, quote, user_id,
                                   occurred_at)
    VALUES (:tenant, :id, :learning_id, :origin, :extraction_id, :event_id, :message, :quote, :user_id, :occurred_at)
    ON CONFLICT DO NOTHING
""")

_NOW = text("SELECT clock_timestamp()")


class _Application:
    """One patch on its way into the tables."""

    def __init__(self, session: Session, source: Provenance, live: Iterable[Learning], now: datetime) -> None:
        self.session = session
        self.source = source
        self.now = now
        self.changes: Counter[str] = Counter()
        self.by_id = {learning.id: learning for learning in live}
        self.by_key = {(learning.kind, learning.content_key): learning for learning in self.by_id.values()}

    def put(self, operation: Put) -> None:
        """State something, under the rules of this module."""
        said_at = max(citation.occurred_at for citation in operation.citations)
        same_key = self.by_key.get((operation.kind, operation.content_key))
        target = self._target(operation.replaces)
        if same_key is not None and _says_the_same(same_key, operation):
            self.cite(same_key.id, operation.citations)
            self.changes["confirmed"] += 1
            if target is not None and target.id != same_key.id and said_at >= target.valid_from:
                # What should take the target's place is known already: one of the two is enough.
                self._retire(target, "superseded", said_at, same_key.id)
                self.changes["retired"] += 1
            return
        replaced = same_key or target
        if replaced is not None and _says_the_same(replaced, operation):
            self.cite(replaced.id, operation.citations)
            self.changes["confirmed"] += 1
        elif replaced is not None and said_at < replaced.valid_from:
            self._insert(operation, said_at, superseded_by=replaced)
            self.changes["history"] += 1
        else:
            learning_id = uuid7()
            if replaced is not None:
                self._retire(replaced, "superseded", said_at, learning_id)
            self._insert(operation, said_at, learning_id=learning_id)
            self.changes["added" if replaced is None else "updated"] += 1

    def retire(self, operation: Retire) -> None:
        """Take something back, unless it was said again later."""
        target = self._target(operation.learning_id)
        said_at = max(citation.occurred_at for citation in operation.citations)
        if target is None:
            self.changes["already gone"] += 1
        elif said_at < target.valid_from:
            self.changes["late"] += 1
        else:
            self.cite(target.id, operation.citations)
            self._retire(target, operation.reason, said_at, None)
            self.changes["retired"] += 1

    def cite(self, learning_id: UUID, citations: Sequence[Citation]) -> None:
        """Add evidence; what is there already stays once."""
        self.session.execute(
            _CITE,
            [
                {
                    "tenant": self.source.tenant,
                    "id": uuid7(),
                    "learning_id": learning_id,
                    "origin": self.source.origin,
                    "extraction_id": self.source.extraction_id,
                    "event_id": citation.event_id,
                    "message": citation.message,
                    "quote": citation.quote,
                    "user_id": citation.user_id,
                    "occurred_at": citation.occurred_at,
                }
                for citation in citations
            ],
        )

    def _target(self, learning_id: UUID | None) -> Learning | None:
        """The learning meant: itself while it is live, else the one that took its place since it was read."""
        if learning_id is None:
            return None
        if learning_id in self.by_id:
            return self.by_id[learning_id]
        row = self.session.execute(_SUCCESSOR, {"tenant": self.source.tenant, "id": learning_id}).first()
        return None if row is None else self.by_id.get(row.id, Learning(**row._mapping))

    def _retire(self, learning: Learning, reason: str, said_at: datetime, replaced_by: UUID | None) -> None:
        self.session.execute(
            _RETIRE,
            {
                "tenant": self.source.tenant,
                "id": learning.id,
                "now": self.now,
                "reason": reason,
                "by": self.source.extraction_id,
                "replaced_by": replaced_by,
                "valid_to": said_at,
            },
        )
        self.by_id.pop(learning.id, None)
        self.by_key.pop((learning.kind, learning.content_key), None)

    def _insert(
        self,
        operation: Put,
        said_at: datetime,
        *,
        learning_id: UUID | None = None,
        superseded_by: Learning | None = None,
    ) -> None:
        learning = Learning(
            id=learning_id or uuid7(),
            kind=operation.kind,
            content=operation.content,
            content_key=operation.content_key,
            data=operation.data,
            valid_from=said_at,
        )
        written: Any = self.session.execute(
            _INSERT,
            {
                "tenant": self.source.tenant,
                "id": learning.id,
                "store": self.source.store,
                "kind": learning.kind,
                "scope": self.source.scope,
                "user_id": self.source.user_id,
                "session_id": self.source.session_id,
                "content": learning.content,
                "content_key": learning.content_key,
                "data": to_json(learning.data).decode(),
                "status": "active" if superseded_by is None else "retired",
                "valid_from": said_at,
                "valid_to": None if superseded_by is None else superseded_by.valid_from,
                "now": self.now,
                "retired_at": None if superseded_by is None else self.now,
                "retired_reason": None if superseded_by is None else "late",
                "retired_by": None if superseded_by is None else self.source.extraction_id,
                "replaced_by": None if superseded_by is None else superseded_by.id,
                "origin": self.source.origin,
                "made_by": self.source.extraction_id,
            },
        )
        if written.rowcount == 0:
            raise Raced(f"{operation.kind} {operation.content_key}")
        if superseded_by is None:
            self.by_id[learning.id] = learning
            self.by_key[learning.kind, learning.content_key] = learning
        self.cite(learning.id, operation.citations)


class Raced(Exception):
    """Somebody else added an equal row after the locks were taken: roll back and run the same patch again."""


def apply(session: Session, source: Provenance, operations: Sequence[Operation]) -> Counter[str]:
    """Run grounded operations on a scope. The caller holds the mailbox. Returns how many rows changed how. Raises `Raced`."""
    puts = [operation for operation in operations if isinstance(operation, Put)]
    targets = [operation.learning_id for operation in operations if isinstance(operation, Retire)]
    targets += [operation.replaces for operation in puts if operation.replaces is not None]
    rows = session.execute(
        _LOCK,
        {
            "tenant": source.tenant,
            "store": source.store,
            "scope": source.scope,
            "ids": targets,
            "kinds": [operation.kind for operation in puts],
            "keys": [operation.content_key for operation in puts],
        },
    )
    live = [Learning(**row._mapping) for row in rows]
    now = session.scalar(_NOW)  # after the locks: a row that they waited for was live until here
    assert now is not None
    application = _Application(session, source, live, now)
    for operation in operations:
        if isinstance(operation, Put):
            application.put(operation)
        else:
            application.retire(operation)
    return application.changes


def _says_the_same(learning: Learning, operation: Put) -> bool:
    return learning.data == operation.data and content_key(learning.content) == content_key(operation.content)
