"""Merging entities: what is said of one becomes what is said of another, so that undo takes them apart again.

A learning of the merged one is retired in favour of a new row about the one that stays, which is as it was but for what it is
about, or of an equal row that is there, which gets its evidence. Where both have another value in one place (a description, a
property), the newer one stays, before it a person's; the other waits beneath it (`displaced`). Locks: entities by id, then
learnings by id. An entity is left as it is whose name a proposal waits on, that another store or scope speaks of, of which too
much is said for one transaction, or that a relationship ties to the one that it would become.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.ids import uuid7
from learning_stores.curator.merging import copy_to
from learning_stores.curator.retiring import DISPLACED, EQUAL_BY_KEY, MERGED, retire
from learning_stores.learning_rows import Raced
from learning_stores.operations import Provenance

MAX_MOVED = 2_000
"""Learnings of an entity that is merged, and relationships that lead to it."""

_ENDS = text("""
    SELECT DISTINCT either.id FROM learning.learning l CROSS JOIN LATERAL (VALUES (l.about), (l.target)) AS either (id)
    WHERE l.tenant = :tenant AND l.status = 'active' AND (l.about = ANY (:ids) OR l.target = ANY (:ids)) AND either.id IS NOT NULL
""")
_HOLD = text("""
    SELECT id, type, namespace, user_id, merged_into FROM learning.entity
    WHERE tenant = :tenant AND id = ANY (:ids) ORDER BY id FOR UPDATE
""")


@dataclass(frozen=True, kw_only=True)
class Held:
    """An entity that is held until the transaction ends. `said`: rows of evidence behind what is live of it."""

    id: UUID
    owner: tuple[str, str, str | None]  # type, namespace, and the user whose it is
    said: int


_SAID = text("""
    SELECT w.id, (
        SELECT count(*) FROM learning.learning l
        JOIN learning.evidence v ON v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL
        WHERE l.tenant = :tenant AND l.status = 'active' AND (l.about = w.id OR l.target = w.id)) AS said
    FROM unnest(cast(:ids AS uuid[])) AS w (id)
""")


def hold(session: Session, tenant: str, ids: Collection[UUID]) -> dict[UUID, Held]:
    """Lock these entities, as far as they stand for themselves, and whatever a relationship ties them to, in order of their ids."""
    values = {"tenant": tenant, "ids": sorted(ids)}
    wanted = {*ids, *session.scalars(_ENDS, values)}
    rows = session.execute(_HOLD, {"tenant": tenant, "ids": sorted(wanted)}).all()
    # In a later statement: who wrote of one of them meanwhile had it FOR SHARE.
    if not wanted.issuperset(session.scalars(_ENDS, values)):
        raise Raced("relationship")
    said: dict[UUID, int] = {row.id: row.said for row in session.execute(_SAID, values)}
    return {
        row.id: Held(id=row.id, owner=(row.type, row.namespace, row.user_id), said=said[row.id])
        for row in rows
        if row.id in said and row.merged_into is None
    }


_TIED = text("""
    SELECT l.about, l.target FROM learning.learning l
    WHERE l.tenant = :tenant AND l.status = 'active' AND l.about = ANY (:ids) AND l.target = ANY (:ids) AND l.about <> l.target
""")


def tied(session: Session, tenant: str, ids: Collection[UUID]) -> set[frozenset[UUID]]:
    """Pairs of these entities that a relationship ties: whoever says that knows them for two."""
    found = session.execute(_TIED, {"tenant": tenant, "ids": list(ids)})
    return {frozenset((row.about, row.target)) for row in found}


_STAYS = text("""
    SELECT w.id FROM unnest(cast(:ids AS uuid[])) AS w (id)
    CROSS JOIN LATERAL (
        SELECT count(*) AS number,
               count(*) FILTER (WHERE l.status = 'proposed' OR l.store <> :store OR l.scope <> :scope) AS foreign_
        FROM learning.learning l
        WHERE l.tenant = :tenant AND l.status <> 'retired' AND (l.about = w.id OR l.target = w.id)) AS n
    WHERE n.number > :most OR n.foreign_ > 0
""")


def kept_apart(session: Session, source: Provenance, ids: Collection[UUID]) -> set[UUID]:
    """Those of these entities that cannot become another one now."""
    place = source.place
    values = {"tenant": place.tenant, "store": place.store, "scope": place.scope, "ids": list(ids), "most": MAX_MOVED}
    return set(session.scalars(_STAYS, values))


_BECOMES = """
    became AS (
        SELECT w.id, w.heir FROM unnest(cast(:merged AS uuid[]), cast(:into AS uuid[])) AS w (id, heir)
    ),
    moved AS (
        SELECT l.id, coalesce(a.heir, l.about) AS about, coalesce(t.heir, l.target) AS target, CASE
                   WHEN t.heir IS NULL OR right(l.content_key, 37) <> ':' || l.target THEN l.content_key
                   ELSE left(l.content_key, -37) || ':' || t.heir END AS content_key,
               l.kind
        FROM learning.learning l LEFT JOIN became a ON a.id = l.about LEFT JOIN became t ON t.id = l.target
        WHERE l.tenant = :tenant AND l.store = :store AND l.scope = :scope AND l.status = 'active'
          AND (l.about = ANY (:merged) OR l.target = ANY (:merged))
    )
"""
_LOCK = text(f"""
    SELECT id FROM learning.learning WHERE tenant = :tenant AND id IN (
        WITH {_BECOMES}
        SELECT id FROM moved
        UNION ALL
        SELECT q.id FROM moved m JOIN learning.learning q ON q.tenant = :tenant AND q.store = :store AND q.scope = :scope
            AND q.status = 'active' AND q.kind = m.kind AND q.about = m.about AND q.content_key = m.content_key)
    ORDER BY id FOR UPDATE
""")  # noqa: S608 - a constant
_ROWS = text(f"""
    WITH {_BECOMES}
    SELECT l.id, l.kind, l.content, l.data, l.valid_from, l.origin = 'human' OR l.decided_by IS NOT NULL AS by_person,
           m.id IS NOT NULL AS moves, coalesce(m.about, l.about) AS about, coalesce(m.target, l.target) AS target,
           coalesce(m.content_key, l.content_key) AS content_key
    FROM learning.learning l LEFT JOIN moved m ON m.id = l.id
    WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.status = 'active' ORDER BY l.id
""")  # noqa: S608 - a constant

# As it was, but for what it is about; never live at a moment at which another row of its key was.
_MOVE = text("""
    INSERT INTO learning.learning (tenant, id, store, kind, scope, user_id, session_id, namespace, agent_id, team_id, about, target,
        content, content_key, data, language, status, confidence, valid_from, valid_to, live_from, restores, origin, made_by,
        decided_by, decided_at)
    SELECT l.tenant, w.onto, l.store, l.kind, l.scope, l.user_id, l.session_id, l.namespace, l.agent_id, l.team_id, w.about,
           w.target, l.content, w.key, l.data, l.language, 'active', l.confidence, l.valid_from, l.valid_to,
           (SELECT greatest(l.retired_at, max(o.retired_at)) FROM learning.learning o
            WHERE o.tenant = l.tenant AND o.scope = l.scope AND o.content_key = w.key AND o.status = 'retired'
              AND o.store = l.store AND o.kind = l.kind AND o.about = w.about),
           l.restores, l.origin, l.made_by, l.decided_by, l.decided_at
    FROM unnest(cast(:ids AS uuid[]), cast(:onto AS uuid[]), cast(:abouts AS uuid[]), cast(:targets AS uuid[]),
                cast(:keys AS text[])) AS w (id, onto, about, target, key)
    JOIN learning.learning l ON l.tenant = :tenant AND l.id = w.id
""")
_NAME = text("""
    UPDATE learning.entity e SET merged_into = w.heir
    FROM unnest(cast(:merged AS uuid[]), cast(:into AS uuid[])) AS w (id, heir)
    WHERE e.tenant = :tenant AND e.id = w.id
""")


@dataclass(frozen=True, kw_only=True)
class Merging:
    """What a merge did: learnings that moved, that gave way to an equal one or to another value, and evidence copied."""

    moved: int
    equal: int
    displaced: int
    evidence_copied: int


def merge(session: Session, source: Provenance, into: Mapping[UUID, UUID]) -> Merging:
    """Let each of these entities become the other one, which becomes no third; all of them are held."""
    place = source.place
    where = {"tenant": place.tenant, "store": place.store, "scope": place.scope}
    values = {**where, "merged": list(into), "into": list(into.values())}
    ids = session.scalars(_LOCK, values).all()
    groups: dict[tuple[str, UUID, str], list[Any]] = defaultdict(list)
    for row in session.execute(_ROWS, {**values, "ids": ids}):
        groups[row.kind, row.about, row.content_key].append(row)
    ended: dict[UUID, tuple[str, UUID | None]] = {}
    heirs: dict[UUID, UUID] = {}
    moving: list[tuple[Any, UUID]] = []
    for rows in groups.values():
        first, *others = sorted(
            rows, key=lambda row: (row.by_person, row.valid_from, not row.moves, row.id), reverse=True
        )
        if first.target == first.about:  # a tie of the one to the other, which nobody was asked to make
            ended |= {row.id: (MERGED, None) for row in rows}
            continue
        stays = first.id
        if first.moves:
            stays = uuid7()
            moving.append((first, stays))
            ended[first.id], heirs[first.id] = (MERGED, stays), stays
        for row in others:
            if row.kind in EQUAL_BY_KEY or (row.content, row.data) == (first.content, first.data):
                ended[row.id], heirs[row.id] = (MERGED, stays), stays
            else:
                ended[row.id] = (DISPLACED, stays)
    retire(session, source, ended)
    if moving:
        session.execute(
            _MOVE,
            {
                "tenant": place.tenant,
                "ids": [row.id for row, _ in moving],
                "onto": [onto for _, onto in moving],
                "abouts": [row.about for row, _ in moving],
                "targets": [row.target for row, _ in moving],
                "keys": [row.content_key for row, _ in moving],
            },
        )
    copied = copy_to(session, place.tenant, source.made_by, heirs)
    session.execute(_NAME, values)
    displaced = sum(reason == DISPLACED for reason, _ in ended.values())
    return Merging(moved=len(moving), equal=len(heirs) - len(moving), displaced=displaced, evidence_copied=copied)
