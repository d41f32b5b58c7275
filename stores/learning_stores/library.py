"""Reading what is remembered: pages of learnings, one learning, and what became of it. As the app role."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from learning_schemas.errors import UnknownLearning
from learning_schemas.results import Evidence, Learning, LearningStatus

MAX_PAGE = 500
PAGE_EVIDENCE = 50
"""Evidence that a page shows of one learning, the newest; `get` gives all."""
MAX_HISTORY = 200
"""Rows that a history shows, the nearest."""
MAX_UNDER = 10_000
"""Rows that are read under one scope, the newest."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which learnings of a tenant; what is None selects nothing. `places` are pairs of store and scope."""

    stores: Collection[str] | None = None
    places: Collection[tuple[str, str]] | None = None
    scope: str | None = None
    kind: str | None = None
    status: LearningStatus | None = "active"
    namespace: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    after: UUID | None = None

    def condition(self) -> str:
        """As SQL over `l`."""
        given = [name for name, value in vars(self).items() if value is not None and name != "status"]
        return " AND ".join(["l.tenant = :tenant", _STATUS[self.status], *(_CONDITIONS[name] for name in given)])

    def parameters(self) -> dict[str, Any]:
        """The values of `condition`."""
        found = {name: value for name, value in vars(self).items() if value is not None and name != "status"}
        if self.stores is not None:
            found["stores"] = list(self.stores)
        if self.places is not None:
            found.pop("places")
            found["place_stores"] = [store for store, _ in self.places]
            found["place_scopes"] = [scope for _, scope in self.places]
        return found


# In these words, so that the indexes of live, of proposed and of retired rows are used, which hold nothing else.
_STATUS: dict[LearningStatus | None, str] = {
    "active": "l.status = 'active'",
    "proposed": "l.status = 'proposed'",
    "retired": "l.status = 'retired'",
    None: "(l.status = 'active' OR l.status = 'proposed' OR l.status = 'retired')",
}
_CONDITIONS = {
    "stores": "l.store = ANY (:stores)",
    "places": "l.scope = ANY (:place_scopes) AND "
    "(l.store, l.scope) IN (SELECT * FROM unnest(cast(:place_stores AS text[]), cast(:place_scopes AS text[])))",
    "scope": "l.scope = :scope",
    "kind": "l.kind = :kind",
    "namespace": "l.namespace = :namespace",
    "user_id": "l.user_id = :user_id",
    "session_id": "l.session_id = :session_id",
    "after": "l.id < :after",
}

# The rows of `chosen` with their evidence; an entity is told by its name, a change by who made it.
_SHOWN = """
    SELECT l.id, l.store, l.kind, l.scope, l.content, l.content_key, l.data, l.status, l.namespace, l.user_id, l.session_id,
           l.agent_id, l.team_id, l.confidence, l.valid_from, l.valid_to, l.live_from, l.retired_at, l.retired_reason,
           l.replaced_by, l.replaces, l.awaits, l.decided_by, l.decided_at, l.origin, l.about, l.target,
           about.name AS about_name, about.type AS about_type, target.name AS target_name, target.type AS target_type,
           said.evidence
    FROM chosen
    JOIN learning.learning l ON l.tenant = :tenant AND l.id = chosen.id
    LEFT JOIN learning.entity about ON about.tenant = l.tenant AND about.id = l.about
    LEFT JOIN learning.entity target ON target.tenant = l.tenant AND target.id = l.target
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object(
                   'origin', v.origin, 'source_id', v.extraction_id, 'event_id', v.event_id, 'message', v.message,
                   'quote', v.quote, 'user_id', coalesce(v.user_id, CASE WHEN c.origin = 'tool' THEN c.user_id END),
                   'occurred_at', v.occurred_at, 'action', c.action, 'by', c.by_whom)
                   ORDER BY v.occurred_at, v.added_at, v.id) AS evidence
        FROM (
            SELECT * FROM learning.evidence
            WHERE tenant = l.tenant AND learning_id = l.id AND withdrawn_at IS NULL
            ORDER BY added_at DESC, id DESC LIMIT :evidence) AS v
        LEFT JOIN learning.change c ON c.tenant = v.tenant AND c.id = v.extraction_id) AS said
"""

_PAGE = (
    "WITH chosen AS (SELECT l.id FROM learning.learning l WHERE {condition} ORDER BY l.id DESC LIMIT :limit)"  # noqa: S608 - our own words
    + _SHOWN
    + "ORDER BY l.id DESC"
)

_ONE = text(f"WITH chosen AS (SELECT cast(:id AS uuid) AS id) {_SHOWN}")

# What came before it and what after: a row names the one that took its place (`replaced_by`), or that it brought back (`restores`).
# All of them lie under one scope, which the indexes of live and of retired rows begin with.
_HISTORY = text(f"""
    WITH RECURSIVE earlier (id, scope, distance) AS (
        SELECT id, scope, 0 FROM learning.learning WHERE tenant = :tenant AND id = :id
        UNION
        SELECT b.id, b.scope, e.distance + 1 FROM earlier e
        CROSS JOIN LATERAL (
            SELECT p.id, p.scope FROM learning.learning p
            WHERE p.tenant = :tenant AND p.scope = e.scope AND p.status = 'retired' AND p.replaced_by = e.id
            UNION ALL
            SELECT p.id, p.scope FROM learning.learning l JOIN learning.learning p ON p.tenant = l.tenant AND p.id = l.restores
            WHERE l.tenant = :tenant AND l.id = e.id) AS b
        WHERE e.distance < :limit
    ),
    later (id, scope, distance) AS (
        SELECT id, scope, 0 FROM learning.learning WHERE tenant = :tenant AND id = :id
        UNION
        SELECT b.id, b.scope, e.distance + 1 FROM later e
        CROSS JOIN LATERAL (
            SELECT n.id, n.scope FROM learning.learning l JOIN learning.learning n ON n.tenant = l.tenant AND n.id = l.replaced_by
            WHERE l.tenant = :tenant AND l.id = e.id
            UNION ALL
            SELECT n.id, n.scope FROM learning.learning n
            WHERE n.tenant = :tenant AND n.scope = e.scope AND n.status = 'active' AND n.restores = e.id
            UNION ALL
            SELECT n.id, n.scope FROM learning.learning n
            WHERE n.tenant = :tenant AND n.scope = e.scope AND n.status = 'retired' AND n.restores = e.id) AS b
        WHERE e.distance < :limit
    ),
    chosen AS (
        SELECT id FROM (SELECT * FROM earlier UNION ALL SELECT * FROM later) AS found
        GROUP BY id ORDER BY min(distance), id LIMIT :limit
    )
    {_SHOWN}
    ORDER BY l.live_from, l.id
""")  # noqa: S608 - our own words


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A learning with what nobody is shown: the keys under which it lies."""

    learning: Learning
    scope: str
    content_key: str
    team_id: str | None
    about: UUID | None
    target: UUID | None


def page(session: Session, tenant: str, selection: Selection, limit: int) -> tuple[Learning, ...]:
    """Learnings, newest first; of one with much evidence the newest."""
    statement = text(_PAGE.replace("{condition}", selection.condition()))
    values = {**selection.parameters(), "tenant": tenant, "limit": limit, "evidence": PAGE_EVIDENCE}
    return tuple(_kept(row).learning for row in session.execute(statement, values))


def learnings_under(session: Session, tenant: str, scope: str) -> list[Learning]:
    """All that is and was remembered under a scope, without proposals: store by store, live ones first, oldest first."""
    selection = Selection(scope=scope, status=None)
    found = [each for each in page(session, tenant, selection, MAX_UNDER) if each.status != "proposed"]
    return sorted(found, key=lambda each: (each.store, each.status, each.kind, each.live_from, each.id))


def kept(session: Session, tenant: str, learning_id: UUID, stores: Collection[str] | None = None) -> Kept:
    """One learning of the tenant, with the keys under which it lies. Raises `UnknownLearning`, also for one of another store."""
    row = session.execute(_ONE, {"tenant": tenant, "id": learning_id, "evidence": None}).first()
    if row is None or (stores is not None and row.store not in stores):
        raise UnknownLearning(learning_id)
    return _kept(row)


def get(session: Session, tenant: str, learning_id: UUID, stores: Collection[str] | None = None) -> Learning:
    """One learning of the tenant, live or not, with all its evidence. Raises `UnknownLearning`."""
    return kept(session, tenant, learning_id, stores).learning


def history(
    session: Session, tenant: str, learning_id: UUID, stores: Collection[str] | None = None
) -> tuple[Learning, ...]:
    """A learning with those whose place it took and those that took its place, oldest first. Raises `UnknownLearning`."""
    values = {"tenant": tenant, "id": learning_id, "limit": MAX_HISTORY, "evidence": PAGE_EVIDENCE}
    found = [_kept(row).learning for row in session.execute(_HISTORY, values)]
    if not found or (stores is not None and found[0].store not in stores):
        raise UnknownLearning(learning_id)
    return tuple(found)


def fate(learning: Learning) -> str:
    """What a learning is by now, as the end of a sentence that begins with its id."""
    successor = f"; learning {learning.replaced_by} took its place" if learning.replaced_by is not None else ""
    if learning.decided_at is not None and learning.retired_reason in (None, "rejected", "approved", "edited"):
        done = {"rejected": "rejected", "edited": "edited and approved"}.get(learning.retired_reason or "", "approved")
        by = f"by {learning.decided_by}" if learning.decided_by is not None else "by what other users said"
        return f"was {done} {by} {_at(learning.decided_at)}{successor}"
    if learning.retired_at is not None:
        return f"was retired {_at(learning.retired_at)} ({learning.retired_reason}){successor}"
    return "waits as a proposal" if learning.status == "proposed" else "is live"


def _at(moment: datetime) -> str:
    return f"at {moment:%Y-%m-%d %H:%M:%S %Z}"


def _kept(row: Row[Any]) -> Kept:
    data = dict(row.data)
    if row.target is not None:
        data |= {"target": row.target_name, "target_type": row.target_type}
    learning = Learning(
        id=row.id,
        store=row.store,
        kind=row.kind,
        content=row.content,
        data=data,
        status=row.status,
        namespace=row.namespace,
        user_id=row.user_id,
        session_id=row.session_id,
        agent_id=row.agent_id,
        about=row.about_name,
        about_type=row.about_type,
        confidence=row.confidence,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        live_from=row.live_from,
        retired_at=row.retired_at,
        retired_reason=row.retired_reason,
        replaced_by=row.replaced_by,
        replaces=row.replaces,
        awaits=row.awaits,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        origin=row.origin,
        evidence=_evidence(row.evidence or ()),
    )
    return Kept(
        learning=learning,
        scope=row.scope,
        content_key=row.content_key,
        team_id=row.team_id,
        about=row.about,
        target=row.target,
    )


def _evidence(found: Sequence[dict[str, Any]]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            **{
                **each,
                "source_id": _uuid(each["source_id"]),
                "event_id": _uuid(each["event_id"]),
                "occurred_at": datetime.fromisoformat(each["occurred_at"]),
            }
        )
        for each in found
    )


def _uuid(value: str | None) -> UUID | None:
    return UUID(value) if value else None
