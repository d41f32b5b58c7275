"""What the curator reads of a scope's entities: their names, what tells one from another, and which pairs need no question.

A verdict stands until one of the two gets another name, description or property; one that was unsure, until anything new is said
of either. What an undo took apart is two from then on.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.curator.name_pairs import Named
from learning_stores.curator.remembered import ordered
from learning_stores.grounding import fold

MOST = 50_000
"""Entities of one scope that are compared, the newest."""
MOST_DESCRIBED, VECTOR_SCORE = 1_000, 0.85
"""Descriptions of one scope whose vectors are held against each other, and the cosine from which they are near."""

Pair = tuple[UUID, UUID]

SHOWN, MAX_LINE = 5, 200
"""Facts and the like of one entity that a judge is shown, the last learned, and characters of each."""

_HERE = "l.tenant = :tenant AND l.store = :store AND l.scope = :scope AND l.status = 'active'"

_NAMES = text(f"""
    SELECT e.id, e.type, e.name, array_agg(l.content ORDER BY l.id) AS aliases
    FROM learning.learning l JOIN learning.entity e ON e.tenant = l.tenant AND e.id = l.about AND e.merged_into IS NULL
    WHERE {_HERE} AND l.kind = 'alias'
    GROUP BY e.id, e.type, e.name ORDER BY e.id DESC LIMIT {MOST}
""")  # noqa: S608 - made of constants

_MODEL = text("""
    SELECT model FROM learning.embedding_model WHERE tenant = :tenant AND state = 'reading' ORDER BY since DESC, model LIMIT 1
""")

# A vector's text names the entity and its type. The newest against each other.
_DESCRIBED = text(f"""
    WITH described AS MATERIALIZED (
        SELECT l.about, e.type, v.embedding
        FROM learning.learning l JOIN learning.entity e ON e.tenant = l.tenant AND e.id = l.about AND e.merged_into IS NULL
        JOIN learning.learning_embedding v ON v.tenant = l.tenant AND v.learning_id = l.id AND v.model = :model
        WHERE {_HERE} AND l.kind = 'description' ORDER BY l.id DESC LIMIT {MOST_DESCRIBED}
    )
    SELECT a.about AS a, b.about AS b FROM described a JOIN described b ON b.type = a.type AND b.about > a.about
    WHERE 1 - (a.embedding OPERATOR(public.<=>) b.embedding) >= {VECTOR_SCORE}
    ORDER BY a.embedding OPERATOR(public.<=>) b.embedding, 1, 2 LIMIT {MOST_DESCRIBED}
""")  # noqa: S608 - made of constants

_PAIRS = "unnest(cast(:firsts AS uuid[]), cast(:seconds AS uuid[])) AS w (a, b)"

_TIED = text(f"""
    SELECT w.a, w.b FROM {_PAIRS}
    WHERE EXISTS (SELECT FROM learning.learning l WHERE {_HERE} AND l.about = w.a AND l.target = w.b)
       OR EXISTS (SELECT FROM learning.learning l WHERE {_HERE} AND l.about = w.b AND l.target = w.a)
""")  # noqa: S608 - made of constants

_JUDGED = text(f"""
    SELECT w.a, w.b, v.verdict FROM {_PAIRS}
    JOIN learning.verdict v ON v.tenant = :tenant AND v.job = :job AND v.a = w.a AND v.b = w.b
    WHERE NOT EXISTS (
        SELECT FROM learning.learning l
        WHERE {_HERE} AND l.about IN (w.a, w.b) AND l.live_from > v.judged_at
          AND (v.verdict = 'unsure' OR l.kind IN ('alias', 'description', 'property')))
""")  # noqa: S608 - made of constants

_STANDING = text("SELECT id FROM learning.entity WHERE tenant = :tenant AND id = ANY (:ids) AND merged_into IS NULL")

_PARTED = text("""
    SELECT DISTINCT l.about AS a, n.about AS b FROM learning.change c
    JOIN learning.learning l ON l.tenant = c.tenant AND l.retired_by = c.id
    JOIN learning.learning n ON n.tenant = c.tenant AND n.id = l.replaced_by AND n.about <> l.about
    WHERE c.tenant = :tenant AND c.store = :store AND c.scope = :scope AND c.origin = 'curator' AND c.action = :job
      AND c.undone_at IS NOT NULL
""")

_TOLD = text(f"""
    SELECT w.id, l.kind, l.content, l.data ->> 'date' AS date FROM unnest(cast(:ids AS uuid[])) AS w (id)
    CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT l.kind, l.content, l.data, l.live_from,
                   row_number() OVER (PARTITION BY l.kind ORDER BY l.live_from DESC, l.id DESC) AS place
            FROM learning.learning l
            WHERE {_HERE} AND (l.about = w.id OR l.target = w.id) AND l.kind <> 'alias') AS each
        WHERE each.place <= {SHOWN}) AS l
    ORDER BY w.id, l.place, l.live_from DESC
""")  # noqa: S608 - made of constants


@dataclass(frozen=True, kw_only=True)
class Known:
    """An entity as a judge is shown it."""

    named: Named
    told: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def line(self) -> dict[str, Any]:
        """Its names, and by kind what is known of it."""
        own, *others = self.named.names
        also = [each for each in dict.fromkeys(others) if fold(each) != fold(own)]
        return {"name": own, **({"also": also[:SHOWN]} if also else {}), **self.told}


@dataclass(frozen=True, kw_only=True)
class Area:
    """One scope of one store, and the job that looks at it."""

    tenant: str
    store: str
    scope: str
    job: str

    @property
    def values(self) -> dict[str, Any]:
        """As the statements take them."""
        return dict(self.__dict__)


def names(session: Session, area: Area) -> list[Named]:
    """Every entity that has a name in a scope."""
    return [
        Named(id=row.id, type=row.type, names=(row.name, *row.aliases)) for row in session.execute(_NAMES, area.values)
    ]


def described_alike(session: Session, area: Area) -> list[Pair]:
    """Entities of one type whose descriptions have near vectors, of the model that the tenant is read with; in order."""
    model = session.scalar(_MODEL, {"tenant": area.tenant})
    if model is None:
        return []
    return [(row.a, row.b) for row in session.execute(_DESCRIBED, {**area.values, "model": model})]


def standing(session: Session, tenant: str, entities: Collection[UUID]) -> set[UUID]:
    """Those of these entities that are there and were not merged."""
    return set(session.scalars(_STANDING, {"tenant": tenant, "ids": list(entities)}))


def judged(session: Session, area: Area, pairs: Collection[Pair]) -> dict[Pair, str]:
    """The verdicts that stand on these pairs, each given in order."""
    return {(row.a, row.b): row.verdict for row in session.execute(_JUDGED, _values(area, pairs))}


def apart(session: Session, area: Area, pairs: Collection[Pair]) -> set[Pair]:
    """Those of these pairs that are two: a relationship ties them, they were judged different, or an undo took them apart."""
    found = {pair for pair, verdict in judged(session, area, pairs).items() if verdict == "different"}
    found |= {(row.a, row.b) for row in session.execute(_TIED, _values(area, pairs))}
    return found | {ordered(row.a, row.b) for row in session.execute(_PARTED, area.values)}.intersection(pairs)


def _values(area: Area, pairs: Collection[Pair]) -> dict[str, Any]:
    return {**area.values, "firsts": [a for a, _ in pairs], "seconds": [b for _, b in pairs]}


def told(session: Session, area: Area, entities: Mapping[UUID, Named]) -> dict[UUID, Known]:
    """What a judge is shown of these entities."""
    said: dict[UUID, dict[str, list[str]]] = {each: {} for each in entities}
    for row in session.execute(_TOLD, {**area.values, "ids": list(entities)}):
        line = f"{row.date}: {row.content}" if row.date else row.content
        said[row.id].setdefault(row.kind, []).append(line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 1]}…")
    return {each: Known(named=named, told=said[each]) for each, named in entities.items()}
