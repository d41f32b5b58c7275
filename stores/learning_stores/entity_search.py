"""Looking up entities for an agent: by name, by the beginning of a name, by type, by the words of what is known of them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import text

from learning_schemas.marker import defused
from learning_schemas.scope import GLOBAL_NAMESPACE
from learning_stores.entity_mentions import mention_keys
from learning_stores.entity_names import entity_told, entity_type
from learning_stores.grounding import content_key, fold
from learning_stores.operations import EntityName
from learning_stores.tooling import Calling

MAX_QUERY = 4_000
"""Characters of a query that are looked at."""
SHOWN = 5
"""Facts, events, properties and relationships of one entity that are shown: of each so many, the last learned."""
MAX_LINE = 400  # characters of one of them

_NAMED = text("""
    SELECT DISTINCT e.id, e.name, e.type, l.scope, e.name_key = :name AS own_name
    FROM learning.learning l
    JOIN learning.entity e ON e.tenant = :tenant AND e.id = l.about AND e.merged_into IS NULL
    WHERE l.tenant = :tenant AND l.store = :store AND l.scope = ANY (:scopes) AND l.kind = 'alias' AND l.status = 'active'
      AND l.content_key = :key
    ORDER BY e.name, e.type, e.id
""")

# A name as it is asked for; a name that begins so; a name in the question; a type; words of what is known.
_SEARCH = text("""
    WITH alias AS (
        SELECT l.about, l.content, l.content_key, l.live_from FROM learning.learning l
        WHERE l.tenant = :tenant AND l.store = :store AND l.scope = ANY (:scopes) AND l.kind = 'alias' AND l.status = 'active'
    ),
    found AS (
        SELECT about AS id, 0 AS rank, 0 AS score FROM alias WHERE content_key = :key
        UNION ALL
        SELECT about, 1, 0 FROM alias WHERE starts_with(lower(content), :prefix)
        UNION ALL
        SELECT about, 2, 0 FROM alias WHERE content_key = ANY (:keys)
        UNION ALL
        SELECT a.about, 3, 0 FROM alias a JOIN learning.entity e ON e.tenant = :tenant AND e.id = a.about WHERE e.type = :asked_type
        UNION ALL
        SELECT either.id, 4, s.score
        FROM learning.search(cast(:stores AS text[]), cast(:scopes AS text[]), cast(:query AS text), 200) AS s
        CROSS JOIN LATERAL (SELECT * FROM learning.learning l WHERE l.tenant = :tenant AND l.id = s.id OFFSET 0) AS l
        CROSS JOIN LATERAL (VALUES (l.about), (l.target)) AS either (id)
    )
    SELECT e.id, e.name, e.type, e.namespace
    FROM found JOIN learning.entity e ON e.tenant = :tenant AND e.id = found.id AND e.merged_into IS NULL
    WHERE cast(:type AS text) IS NULL OR e.type = :type
    GROUP BY e.id, e.name, e.type, e.namespace
    ORDER BY min(rank), max(score) DESC, e.name, e.type, e.id
    LIMIT :limit
""")

_DETAILS = text("""
    SELECT entity.id AS entity, l.kind, l.content, l.data ->> 'date' AS date
    FROM unnest(cast(:ids AS uuid[])) AS entity (id)
    CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT about.*, row_number() OVER (PARTITION BY about.kind ORDER BY about.live_from DESC, about.id DESC) AS place
            FROM (
                SELECT l.id, l.kind, l.content, l.data, l.live_from FROM learning.learning l
                WHERE l.tenant = :tenant AND l.store = :store AND l.scope = ANY (:scopes) AND l.status = 'active'
                  AND l.about = entity.id
                UNION
                SELECT l.id, l.kind, l.content, l.data, l.live_from FROM learning.learning l
                WHERE l.tenant = :tenant AND l.store = :store AND l.scope = ANY (:scopes) AND l.status = 'active'
                  AND l.target = entity.id) AS about) AS numbered
        WHERE numbered.place <= :shown) AS l
    ORDER BY l.place
""")


@dataclass(frozen=True, kw_only=True)
class FoundEntity:
    """A live entity that has a name; `own_name` says that it is no mere alias."""

    id: UUID
    name: str
    type: str
    scope: str
    own_name: bool

    @property
    def entity(self) -> EntityName:
        """The entity by its own name."""
        return EntityName(self.name, self.type)


@dataclass(kw_only=True)
class _Details:
    told: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def named(calling: Calling, name: str) -> list[FoundEntity]:
    """The entities that this machine reads and that have exactly this name or alias."""
    rows = calling.session.execute(
        _NAMED,
        {
            "tenant": calling.place.tenant,
            "store": calling.place.store,
            "scopes": list(calling.scopes),
            "key": content_key(name),
            "name": fold(name),
        },
    )
    return [FoundEntity(**row._mapping) for row in rows]


def search(calling: Calling, query: str, kind: str | None, limit: int) -> list[str]:
    """What is known of the entities that answer a query, some lines each, the nearest first."""
    asked = query[:MAX_QUERY].strip()
    rows = calling.session.execute(
        _SEARCH,
        {
            "tenant": calling.place.tenant,
            "store": calling.place.store,
            "stores": [calling.place.store] * len(calling.scopes),
            "scopes": list(calling.scopes),
            "key": content_key(asked),
            "keys": mention_keys([asked]),
            "prefix": fold(asked),
            "query": asked,
            "asked_type": entity_type(asked),
            "type": kind,
            "limit": limit,
        },
    ).all()
    details = _details(calling, [row.id for row in rows])
    own = calling.place.namespace or GLOBAL_NAMESPACE
    return [
        _lines(EntityName(row.name, row.type), "" if row.namespace == own else row.namespace, details[row.id])
        for row in rows
    ]


def _details(calling: Calling, ids: Sequence[UUID]) -> dict[UUID, _Details]:
    details: dict[UUID, _Details] = defaultdict(_Details)
    values = {"tenant": calling.place.tenant, "store": calling.place.store, "scopes": list(calling.scopes)}
    for row in calling.session.execute(_DETAILS, {**values, "ids": ids, "shown": SHOWN}):
        content = row.content if len(row.content) <= MAX_LINE else f"{row.content[: MAX_LINE - 1].rstrip()}…"
        details[row.entity].told[row.kind].append(f"{row.date}: {content}" if row.date else content)
    return details


def _lines(entity: EntityName, namespace: str, details: _Details) -> str:
    aliases = [alias for alias in details.told["alias"] if fold(alias) != fold(entity.name)]
    head = entity_told(entity)
    if namespace:
        head += f" in namespace {namespace}"
    if aliases:
        head += f", also called {', '.join(aliases)}"
    kinds = ("description", "property", "fact", "event", "relationship")
    said = [f"- {line}" for kind in kinds for line in details.told[kind]]
    return "\n".join(defused(line) for line in (head, *said))
