"""Neighbours: statements of one scope that say things close to each other, by their words and by their vectors.

Compared is what has the same kind, is about the same entity and, where that is asked for, has the same other end. Words count by
how rare they are among these (cosine of the stems' weights); vectors are those of the model that the tenant is read with. How
close two statements are says nothing of what they mean: these are candidates for a judge.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.curator.remembered import ordered
from learning_stores.curator.retiring import BROUGHT_BACK

T = TypeVar("T")

TEXT_SCORE = 0.4
VECTOR_SCORE = 0.6
"""Cosines from which two statements are neighbours."""
NEIGHBOURS = 5
"""Of each statement among those that are older, at most, by words and again by vectors."""
MOST_ROWS = 100_000
"""Statements of one scope that are read, the newest."""
MOST_ALIKE = 20_000
"""Of those of one kind and entity so many are compared, the newest."""
POSTINGS = 200
"""Words in common with others that are counted for a statement, its rarest first."""
CLOSER = 4 * NEIGHBOURS
"""Statements whose every word is compared."""
VECTOR_PAIRS = 1_000_000
"""Vectors of one scope that are held against each other: where all pairs are more, the newest against all."""
FEW = 10
"""Among so few statements it says little how rare a word is: added to their number."""
ROWS_AT_ONCE = 5_000


class Near(NamedTuple):
    """Two neighbours, in the order of their ids, and how close they are; None where that was not the reason."""

    a: UUID
    b: UUID
    text: float | None
    vector: float | None

    @property
    def score(self) -> float:
        """How close they are, by what makes them closest."""
        return max(self.text or 0.0, self.vector or 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """A live learning. `by_person`: somebody stated or approved it."""

    id: UUID
    kind: str
    about: UUID | None
    target: UUID | None
    content: str
    data: Mapping[str, Any]
    by_person: bool
    valid_from: datetime
    entity: str | None
    entity_type: str | None
    target_name: str | None


class Pair(NamedTuple):
    """Two statements that are neighbours: the one that was said last is `newer`."""

    older: Statement
    newer: Statement

    @property
    def key(self) -> tuple[UUID, UUID]:
        """As verdicts are remembered."""
        return ordered(self.older.id, self.newer.id)


# What an undo brought back after the curator had ended it stays by itself. Aliases are a matter of their entities.
_HELD = f"""
    l.tenant = :tenant AND l.store = :store AND l.scope = :scope AND l.status = 'active' AND l.kind <> 'alias'
    AND NOT l.kind = ANY (:kept) AND NOT {BROUGHT_BACK}"""

# Not `lexemes`, which has the date of saying too: all that was said on one day would be alike.
_WORDS = text(f"""
    SELECT l.id, l.kind, l.about, l.target, tsvector_to_array(to_tsvector(l.language, l.content)) AS words
    FROM learning.learning l
    WHERE {_HELD} AND l.id < :before ORDER BY l.id DESC LIMIT :limit
""")  # noqa: S608 - made of constants

_MODEL = text("""
    SELECT model FROM learning.embedding_model WHERE tenant = :tenant AND state = 'reading' ORDER BY since DESC, model LIMIT 1
""")

# Within a group each is held against those that are older. So many of each group's newest as keep all of it within the bound.
_VECTORS = text(f"""
    WITH held AS MATERIALIZED (
        SELECT l.id, v.embedding, l.kind, l.about, CASE WHEN :same_target THEN l.target END AS target
        FROM learning.learning l
        JOIN learning.learning_embedding v ON v.tenant = l.tenant AND v.learning_id = l.id AND v.model = :model
        WHERE {_HELD}
    ),
    grouped AS MATERIALIZED (
        SELECT id, embedding, dense_rank() OVER (ORDER BY kind, about, target) AS part,
               row_number() OVER (PARTITION BY kind, about, target ORDER BY id DESC) AS place, count(*) OVER () AS total
        FROM held
    )
    SELECT a, b, score FROM (
        SELECT n.id AS a, o.id AS b, s.score, row_number() OVER (PARTITION BY n.id ORDER BY s.score DESC, o.id DESC) AS nth
        FROM grouped n JOIN grouped o ON o.part = n.part AND o.place > n.place
        CROSS JOIN LATERAL (SELECT 1 - (n.embedding OPERATOR(public.<=>) o.embedding) AS score OFFSET 0) AS s
        WHERE n.place <= greatest(10, :pairs / n.total) AND s.score >= :score) AS found
    WHERE nth <= :neighbours
""")  # noqa: S608 - made of constants

_STATEMENTS = text(f"""
    SELECT l.id, l.kind, l.about, l.target, l.content, l.data, l.origin = 'human' OR l.decided_by IS NOT NULL AS by_person,
           l.valid_from, e.name AS entity, e.type AS entity_type, t.name AS target_name
    FROM learning.learning l
    LEFT JOIN learning.entity e ON e.tenant = l.tenant AND e.id = l.about
    LEFT JOIN learning.entity t ON t.tenant = l.tenant AND t.id = l.target
    WHERE {_HELD} AND l.id = ANY (:ids)
""")  # noqa: S608 - made of constants

_LAST = UUID(int=2**128 - 1)

Group = tuple[str, UUID | None, UUID | None]


@dataclass(frozen=True, kw_only=True)
class Where:
    """Which statements are compared: of one scope, without the `kept` kinds, with the same other end or without regard to it."""

    tenant: str
    store: str
    scope: str
    kept: Collection[str] = ()
    same_target: bool = True
    text_score: float = TEXT_SCORE

    @property
    def values(self) -> dict[str, Any]:
        """As the statements take them."""
        return {"tenant": self.tenant, "store": self.store, "scope": self.scope, "kept": list(self.kept)}


class Reader(Protocol):
    """Runs what reads, in a transaction."""

    def __call__(self, work: Callable[[Session, "Where"], T], where: "Where", /) -> T:
        """What `work` reads."""
        ...


def neighbours(read: Reader, where: Where) -> tuple[list[Near], int]:
    """The neighbours in a scope, in order of their ids, and how many statements it has. Nothing is held while it compares."""
    found: dict[tuple[UUID, UUID], tuple[float | None, float | None]] = {}
    groups, number = read(_words, where)
    for members in groups.values():
        for one, other, score in by_words(members[:MOST_ALIKE], where.text_score):
            found[ordered(one, other)] = (score, None)
    for row in read(_near_vectors, where) if groups else ():
        pair = ordered(row.a, row.b)
        found[pair] = (found.get(pair, (None, None))[0], row.score)
    return [Near(*pair, *scores) for pair, scores in sorted(found.items())], number


def candidates(
    session: Session, tenant: str, store: str, scope: str, *, kept: Collection[str] = (), same_target: bool = True
) -> list[Pair]:
    """The pairs of a scope that are neighbours, whatever a job makes of them, in order of their ids."""
    where = Where(tenant=tenant, store=store, scope=scope, kept=kept, same_target=same_target)
    found, _ = neighbours(lambda work, where: work(session, where), where)
    return pairs(session, where, [(near.a, near.b) for near in found])


def pairs(session: Session, where: Where, wanted: Sequence[tuple[UUID, UUID]]) -> list[Pair]:
    """These pairs in full, as far as both are live still."""
    values = {**where.values, "ids": list({each for pair in wanted for each in pair})}
    held = {row.id: Statement(**row._mapping) for row in session.execute(_STATEMENTS, values)}
    return [
        Pair(*sorted((held[a], held[b]), key=lambda each: (each.valid_from, each.id)))
        for a, b in wanted
        if a in held and b in held
    ]


def by_words(
    members: Sequence[tuple[UUID, Sequence[int]]], least: float = TEXT_SCORE
) -> list[tuple[UUID, UUID, float]]:
    """Neighbours among statements of one group, each given by the numbers of its words; `least` is the score that makes them."""
    postings: dict[int, list[int]] = defaultdict(list)
    held: list[tuple[frozenset[int], float]] = []
    number = len(members)
    frequency: dict[int, int] = defaultdict(int)
    for _, words in members:
        for word in words:
            frequency[word] += 1
    weight = {word: math.log(1 + (number + FEW) / count) ** 2 for word, count in frequency.items()}
    found: list[tuple[UUID, UUID, float]] = []
    for here, (learning, words) in enumerate(members):
        own = frozenset(words)
        length = math.sqrt(sum(weight[word] for word in own))
        near: dict[int, float] = {}
        room = POSTINGS
        for word in sorted(own, key=frequency.__getitem__):
            adds = weight[word]
            last = postings[word][-room:] if room else ()
            for each in last:
                near[each] = near.get(each, 0.0) + adds
            room -= len(last)
        # By the rare words alone at first: the others are counted for the best of them.
        best = sorted(near, key=near.__getitem__, reverse=True)[:CLOSER]
        scored = sorted(((_cosine(own, length, *held[each], weight), each) for each in best), reverse=True)
        found += [(learning, members[each][0], score) for score, each in scored[:NEIGHBOURS] if score >= least]
        held.append((own, length))
        for word in own:
            postings[word].append(here)
    return found


def _cosine(
    one: frozenset[int], one_length: float, other: frozenset[int], other_length: float, weight: Mapping[int, float]
) -> float:
    shared = sum(weight[word] for word in one & other)
    return shared / (one_length * other_length) if shared else 0.0


def _words(session: Session, where: Where) -> tuple[dict[Group, list[tuple[UUID, Sequence[int]]]], int]:
    """The statements by what they may be compared with, the newest first, with their words as numbers."""
    groups: dict[Group, list[tuple[UUID, Sequence[int]]]] = defaultdict(list)
    numbers: dict[str, int] = {}
    before, read = _LAST, 0
    while read < MOST_ROWS:
        page = session.execute(_WORDS, {**where.values, "before": before, "limit": ROWS_AT_ONCE}).all()
        for row in page:
            words = tuple(numbers.setdefault(word, len(numbers)) for word in row.words)
            groups[row.kind, row.about, row.target if where.same_target else None].append((row.id, words))
        read += len(page)
        if len(page) < ROWS_AT_ONCE:
            break
        before = page[-1].id
    return {group: members for group, members in groups.items() if len(members) > 1}, read


def _near_vectors(session: Session, where: Where) -> Sequence[Any]:
    model = session.scalar(_MODEL, {"tenant": where.tenant})
    if model is None:
        return ()
    bounds = {"pairs": VECTOR_PAIRS, "score": VECTOR_SCORE, "neighbours": NEIGHBOURS}
    return session.execute(_VECTORS, {**where.values, **bounds, "model": model, "same_target": where.same_target}).all()
