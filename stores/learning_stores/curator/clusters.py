"""Clusters: neighbours that may become one statement, because they say one thing each, of one kind, on one person's words."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.curator.neighbours import Near
from learning_stores.curator.particulars import has_capitals, is_negated, words_of
from learning_stores.grounding import content_key

IN_A_CLUSTER = 8
_STEM = 3  # letters that two forms of one word share

# What says one thing and no more, on the words of one subject. A statement that the curator made is not made again.
_ALONE = text("""
    SELECT l.id, l.kind, l.about, l.content, l.content_key, l.valid_from, l.confidence, cast(l.language AS text) AS language,
           e.name AS entity, e.type AS entity_type, min(v.subject) AS subject, min(v.user_id) AS user_id
    FROM learning.learning l
    JOIN learning.evidence v ON v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL
    LEFT JOIN learning.entity e ON e.tenant = l.tenant AND e.id = l.about
    WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.status = 'active' AND l.origin NOT IN ('human', 'curator')
      AND l.decided_at IS NULL AND l.data = '{}' AND l.target IS NULL AND l.valid_to IS NULL
    GROUP BY l.tenant, l.id, e.name, e.type
    HAVING count(*) = count(v.subject) AND count(DISTINCT v.subject) = 1 AND bool_and(v.origin <> 'human')
    ORDER BY l.id
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A statement that may become part of another."""

    id: UUID
    kind: str
    about: UUID | None
    content: str
    content_key: str
    valid_from: datetime
    confidence: float
    language: str
    entity: str | None
    entity_type: str | None
    subject: str
    user_id: str | None

    @property
    def group(self) -> tuple[Any, ...]:
        """What statements of one cluster share: the same kind, thing, person, language and polarity."""
        return (self.kind, self.about, self.subject, self.language, is_negated(self.content))


class Cluster(NamedTuple):
    """Related statements, in order of their ids."""

    sources: tuple[Source, ...]

    @property
    def ids(self) -> tuple[UUID, ...]:
        """Their ids."""
        return tuple(each.id for each in self.sources)


def alone(session: Session, tenant: str, ids: Collection[UUID]) -> list[Source]:
    """Those of these learnings that may become part of another."""
    if not ids:
        return []
    rows = session.execute(_ALONE, {"tenant": tenant, "ids": list(ids)})
    found = (Source(**row._mapping) for row in rows)
    return [each for each in found if content_key(each.content) == each.content_key and has_capitals(each.content)]


def clustered(near: Iterable[Near], sources: dict[UUID, Source]) -> list[Cluster]:
    """Neighbours that may become one, the nearest first, at most so many together; in order of their first ids."""
    cluster: dict[UUID, list[UUID]] = {each: [each] for each in sources}
    for pair in sorted(near, key=lambda each: (-max(each.text or 0, each.vector or 0), each.a, each.b)):
        if pair.a not in sources or pair.b not in sources or sources[pair.a].group != sources[pair.b].group:
            continue
        if pair.vector is None and not _stems(sources[pair.a]) & _stems(sources[pair.b]):
            continue  # all that they share is the day on which they were said
        one, other = cluster[pair.a], cluster[pair.b]
        if one is not other and len(one) + len(other) <= IN_A_CLUSTER:
            one += other
            for each in other:
                cluster[each] = one
    distinct = {id(members): members for members in cluster.values() if len(members) > 1}
    return sorted((Cluster(tuple(sources[each] for each in sorted(ids))) for ids in distinct.values()), key=_first)


def _stems(source: Source) -> set[str]:
    return {word[:_STEM] for word in words_of(source.content) if len(word) >= _STEM}


def _first(cluster: Cluster) -> UUID:
    return cluster.ids[0]
