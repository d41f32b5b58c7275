"""Entities as people and agents ask for them: by any of their names, with what is known of them and of those around them.

Names are looked up by alias alone: every name of an entity is one. Each statement looks only into the scopes that it is given.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.errors import InvalidArgument
from learning_schemas.results import Entity
from learning_stores.entity_names import entity_type
from learning_stores.grounding import content_key, fold

STORE = "entity_memory"
MAX_HOPS = 3
MAX_ENTITIES = 200
"""Entities that one lookup answers with, the nearest."""
MAX_LEARNINGS = 200
"""Learnings of one entity that are shown, the newest, and as many relationships that lead to it."""

Scopes = Sequence[str] | None
"""The namespaces that are looked into, the first one first; None: all of the tenant."""

_HERE = """l.tenant = :tenant AND l.store = 'entity_memory' AND l.status = 'active'
    AND (cast(:scopes AS text[]) IS NULL OR l.scope = ANY (:scopes))"""

# The alias first, and alone: before the tables were ever analysed, a plain join read every entity for every learning.
_NAMED = text(f"""
    WITH alias AS MATERIALIZED (
        SELECT l.about, l.scope FROM learning.learning l WHERE {_HERE} AND l.kind = 'alias' AND l.content_key = :key
    )
    SELECT e.id, e.namespace, e.type, e.name, e.name_key = :name_key AS is_own,
           min(array_position(cast(:scopes AS text[]), a.scope)) AS place
    FROM alias a
    JOIN learning.entity e ON e.tenant = :tenant AND e.id = a.about AND e.merged_into IS NULL
    WHERE cast(:type AS text) IS NULL OR e.type = :type
    GROUP BY e.id, e.namespace, e.type, e.name, e.name_key
    ORDER BY place, e.type, e.name, e.id
    LIMIT 50
""")  # noqa: S608 - our own words

# From the roots along relationships, either way, at most so many steps: the nearest entities, each with what is said of it.
# UNION ends the walk in circles; the limit ends it at hubs, since entities come in the order of their distance.
_AROUND = text(f"""
    WITH RECURSIVE walk (id, distance) AS (
        SELECT unnest(cast(:roots AS uuid[])), 0
        UNION
        SELECT next.id, w.distance + 1 FROM walk w
        CROSS JOIN LATERAL (
            SELECT l.target AS id FROM learning.learning l WHERE {_HERE} AND l.kind = 'relationship' AND l.about = w.id
            UNION ALL
            SELECT l.about FROM learning.learning l WHERE {_HERE} AND l.kind = 'relationship' AND l.target = w.id) AS next
        WHERE w.distance < :hops AND next.id IS NOT NULL
    ),
    reached AS (
        SELECT id, min(distance) AS distance FROM (SELECT id, distance FROM walk LIMIT :walked) AS met
        GROUP BY id ORDER BY min(distance), id LIMIT :entities
    )
    SELECT e.id, e.namespace, e.type, e.name, r.distance, said.kind, said.content, said.data, said.other, said.is_target
    FROM reached r
    JOIN learning.entity e ON e.tenant = :tenant AND e.id = r.id AND e.merged_into IS NULL
    LEFT JOIN LATERAL (
        (SELECT l.kind, l.content, l.data, t.name AS other, false AS is_target, l.live_from, l.id
         FROM learning.learning l LEFT JOIN learning.entity t ON t.tenant = l.tenant AND t.id = l.target
         WHERE {_HERE} AND l.about = e.id
         ORDER BY l.live_from DESC, l.id DESC LIMIT :learnings)
        UNION ALL
        (SELECT l.kind, l.content, l.data, s.name, true, l.live_from, l.id
         FROM learning.learning l JOIN learning.entity s ON s.tenant = l.tenant AND s.id = l.about
         WHERE {_HERE} AND l.target = e.id
         ORDER BY l.live_from DESC, l.id DESC LIMIT :learnings)) AS said ON true
    ORDER BY r.distance, array_position(cast(:roots AS uuid[]), e.id), e.name, e.id, said.is_target, said.live_from, said.id
""")  # noqa: S608 - our own words

# By name: the whole name, or all words of the query in it, as words. By text: what is said of it has words of the query.
_SEARCH = text(f"""
    WITH wanted AS (
        SELECT string_to_array(trim(regexp_replace(lower(:query), '[^[:alnum:]]+', ' ', 'g')), ' ') AS words
    ),
    named AS (
        SELECT l.about AS id, max(CASE WHEN l.content_key = :key THEN 3.0 ELSE 2.0 END) AS score
        FROM learning.learning l, wanted w
        WHERE {_HERE} AND l.kind = 'alias' AND l.about IS NOT NULL AND (
            l.content_key = :key
            OR cardinality(w.words) > 0
               AND string_to_array(trim(regexp_replace(lower(l.content), '[^[:alnum:]]+', ' ', 'g')), ' ') @> w.words)
        GROUP BY l.about
    ),
    told AS (
        SELECT about.id, max(least(s.score, 1)) AS score
        FROM learning.search(cast(:search_stores AS text[]), cast(:search_scopes AS text[]), cast(:query AS text), 500) AS s
        CROSS JOIN LATERAL (SELECT * FROM learning.learning l WHERE l.tenant = :tenant AND l.id = s.id OFFSET 0) AS l
        CROSS JOIN LATERAL (VALUES (l.about), (l.target)) AS about (id)
        WHERE {_HERE} AND about.id IS NOT NULL
        GROUP BY about.id
    )
    SELECT e.id FROM (SELECT * FROM named UNION ALL SELECT * FROM told) AS found
    JOIN learning.entity e ON e.tenant = :tenant AND e.id = found.id AND e.merged_into IS NULL
    WHERE cast(:type AS text) IS NULL OR e.type = :type
    GROUP BY e.id, e.name ORDER BY max(found.score) DESC, e.name, e.id LIMIT :limit
""")  # noqa: S608 - our own words

_ALL = text(f"""
    SELECT e.id FROM learning.entity e
    WHERE e.tenant = :tenant AND e.merged_into IS NULL AND (cast(:type AS text) IS NULL OR e.type = :type)
      AND EXISTS (SELECT FROM learning.learning l WHERE {_HERE} AND l.about = e.id)
    ORDER BY e.id DESC LIMIT :limit
""")  # noqa: S608 - our own words

_SCOPES = text("""
    SELECT DISTINCT scope FROM learning.learning WHERE tenant = :tenant AND store = 'entity_memory' AND status = 'active'
""")


def entity(
    session: Session, tenant: str, scopes: Scopes, name: str, kind: str | None = None, hops: int = 1
) -> Entity | None:
    """The entity of that name, with its neighbours up to so many relationships away; None where there is none.

    An entity whose own name it is comes before one that is merely called so, and the first of the scopes before the others.
    Raises `InvalidArgument` where it still means several.
    """
    values = {"tenant": tenant, "scopes": _array(scopes), "key": content_key(name), "name_key": fold(name)}
    named = session.execute(_NAMED, {**values, "type": None if kind is None else entity_type(kind)}).all()
    named = [row for row in named if row.place == named[0].place]
    meant = [row for row in named if row.is_own] or named
    if not meant:
        return None
    if len(meant) > 1:
        raise _ambiguous(kind, meant)
    found, *others = around(session, tenant, scopes, [meant[0].id], hops)
    return replace(found, neighbours=tuple(others))


def search(
    session: Session, tenant: str, scopes: Scopes, query: str, kind: str | None = None, limit: int = 20
) -> tuple[Entity, ...]:
    """Entities by name or by what is said of them, best first; all of them, newest first, for an empty query."""
    if scopes is not None and not scopes:
        return ()
    values: dict[str, Any] = {"tenant": tenant, "scopes": _array(scopes), "limit": limit}
    values["type"] = None if kind is None else entity_type(kind)
    if not fold(query):
        ids = session.scalars(_ALL, values).all()
    else:
        searched = list(session.scalars(_SCOPES, {"tenant": tenant}) if scopes is None else scopes)
        values |= {"query": query, "key": content_key(query)}
        values |= {"search_stores": [STORE] * len(searched), "search_scopes": searched}
        ids = session.scalars(_SEARCH, values).all()
    return tuple(around(session, tenant, scopes, ids, 0)) if ids else ()


def around(session: Session, tenant: str, scopes: Scopes, roots: Sequence[UUID], hops: int) -> list[Entity]:
    """These entities and those within so many relationships of them, nearest first, in one statement."""
    rows = session.execute(
        _AROUND,
        {
            "tenant": tenant,
            "scopes": _array(scopes),
            "roots": list(roots),
            "hops": hops,
            "walked": MAX_ENTITIES * (hops + 1),  # an entity is met once at each distance
            "entities": max(MAX_ENTITIES, len(roots)),
            "learnings": MAX_LEARNINGS,
        },
    )
    found: dict[UUID, _Told] = {}
    for row in rows:
        told = found.setdefault(row.id, _Told(row.id, row.namespace, row.type, row.name, row.distance))
        if row.kind is not None:
            told.add(row.kind, row.content, row.data, row.other, row.is_target)
    return [told.entity() for told in found.values()]


@dataclass
class _Told:
    """An entity, while what is said of it is gathered, oldest first."""

    id: UUID
    namespace: str
    type: str
    name: str
    distance: int
    aliases: list[str] = field(default_factory=list)
    description: str | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    relationships: list[str] = field(default_factory=list)

    def add(self, kind: str, content: str, data: dict[str, Any], other: str | None, is_target: bool) -> None:
        """Take in a learning; `other` names the other end of a relationship."""
        if is_target:
            self.relationships.append(content)
        elif kind == "alias":
            if fold(content) != fold(self.name):
                self.aliases.append(content)
        elif kind == "description":
            self.description = content
        elif kind == "property":
            self.properties[data["name"]] = data["value"]
        elif kind == "event":
            date = data.get("date")
            self.events.append((date or "", f"{date}: {content}" if date else content))
        elif kind == "relationship":
            self.relationships.append(f"{data['relation']} {other}")
        else:
            self.facts.append(content)

    def entity(self) -> Entity:
        """The whole of it; dated events in the order of their dates."""
        return Entity(
            id=self.id,
            namespace=self.namespace,
            type=self.type,
            name=self.name,
            distance=self.distance,
            aliases=tuple(self.aliases),
            description=self.description,
            properties=self.properties,
            facts=tuple(self.facts),
            events=tuple(told for _, told in sorted(self.events, key=lambda event: event[0])),
            relationships=tuple(self.relationships),
        )


def _array(scopes: Scopes) -> list[str] | None:
    return None if scopes is None else list(scopes)


def _ambiguous(kind: str | None, meant: Iterable[Any]) -> InvalidArgument:
    rows = list(meant)
    types = list(dict.fromkeys(row.type for row in rows))
    if kind is None and len(types) > 1:
        told = f"means things of several types: {', '.join(types)}"
        return InvalidArgument("type", f"is not given, and the name {told}", f"Give type={types[0]!r}")
    listed = ", ".join(f"{row.name} ({row.type}, in {row.namespace})" for row in rows[:10])
    return InvalidArgument(
        "name", f"means several: {listed}", "Give a name, and a namespace, that only one of them has"
    )
