"""Locks that writers of learnings take, in one order: the keys of what they state, then rows by id.

A key is locked whether or not it has a row yet, so that of two who state the same at once the second finds the first one's
row, and so that the time of a write, which is taken after its locks, is later than all that was done under the same keys.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.operations import LiveLearning
from learning_stores.place import Place


@dataclass(frozen=True)
class Key:
    """What two rows must share to be of one statement, within a place."""

    kind: str
    about: UUID | None
    content_key: str


def key_of(learning: LiveLearning) -> Key:
    """A row's key."""
    return Key(learning.kind, learning.about, learning.content_key)


# Two keys of one hash merely wait for each other.
_LOCK_KEYS = text("""
    SELECT pg_advisory_xact_lock(w.hash)
    FROM (
        SELECT DISTINCT hashtextextended(
            concat_ws(chr(31), cast(:tenant AS text), cast(:store AS text), scope, kind, about, key), 0)
        FROM unnest(cast(:scopes AS text[])) AS scope,
             unnest(cast(:kinds AS text[]), cast(:keys AS text[]), cast(:abouts AS uuid[])) AS key (kind, key, about)
        ORDER BY 1) AS w (hash)
""")

# By key, in two halves: `about IS NOT DISTINCT FROM` would use no index. OFFSET 0 keeps each look-up to itself: one plan serves all
# places, and by the average of them Postgres would rather read a place as a whole, which of a large namespace is all there is.
_FIND = text("""
    SELECT l.id FROM unnest(cast(:kinds AS text[]), cast(:keys AS text[]), cast(:abouts AS uuid[])) AS w (kind, key, about)
    CROSS JOIN LATERAL (
        SELECT l.id FROM learning.learning l
        WHERE l.tenant = :tenant AND l.store = :store AND l.scope = :scope AND l.kind = w.kind AND l.content_key = w.key
          AND l.about = w.about AND l.status <> 'retired' OFFSET 0) AS l
    WHERE w.about IS NOT NULL
    UNION
    SELECT l.id FROM unnest(cast(:kinds AS text[]), cast(:keys AS text[]), cast(:abouts AS uuid[])) AS w (kind, key, about)
    CROSS JOIN LATERAL (
        SELECT l.id FROM learning.learning l
        WHERE l.tenant = :tenant AND l.store = :store AND l.scope = :scope AND l.kind = w.kind AND l.content_key = w.key
          AND l.about IS NULL AND l.status <> 'retired' OFFSET 0) AS l
    WHERE w.about IS NULL
""")

# Place and status are compared as values that no index has, so that rows are found by their ids alone.
_LOCK = text("""
    SELECT l.id, l.kind, l.content, l.content_key, l.data, l.valid_from, l.origin, l.status, l.about, l.target
    FROM learning.learning l
    WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND concat(l.store) = :store AND concat(l.scope) = :scope
      AND concat(l.status) <> 'retired'
    ORDER BY l.id FOR UPDATE
""")


def lock(session: Session, place: Place, ids: Collection[UUID], keys: Collection[Key]) -> list[LiveLearning]:
    """The live and proposed rows of these ids and keys, locked, and the keys."""
    where = _where(place)
    wanted = set(ids)
    if keys:
        lock_keys(session, place.tenant, place.store, [place.scope], keys)
        wanted |= set(session.scalars(_FIND, {**where, **arrays(keys)}))
    if not wanted:
        return []
    return [LiveLearning(**row._mapping) for row in session.execute(_LOCK, {**where, "ids": sorted(wanted)})]


def lock_keys(session: Session, tenant: str, store: str, scopes: Collection[str], keys: Collection[Key]) -> None:
    """Hold these keys of a store, in each of these scopes, until the transaction or its savepoint ends."""
    where = {"tenant": tenant, "store": store, "scopes": list(scopes)}
    session.execute(_LOCK_KEYS, {**where, **arrays(keys)}).all()


def arrays(keys: Collection[Key]) -> dict[str, list[Any]]:
    """Keys as columns, each once: `kinds`, `keys`, `abouts`."""
    distinct = list(dict.fromkeys(keys))
    return {
        "kinds": [key.kind for key in distinct],
        "keys": [key.content_key for key in distinct],
        "abouts": [key.about for key in distinct],
    }


# Who took the place of a row that is no longer live, or brought it back, however many steps on; never beyond the place.
_SUCCESSOR = text("""
    WITH RECURSIVE chain (id) AS (
        SELECT id FROM learning.learning WHERE tenant = :tenant AND id = :id AND store = :store AND scope = :scope
        UNION
        SELECT next.id FROM chain c CROSS JOIN LATERAL (
            SELECT l.replaced_by AS id FROM learning.learning l
            WHERE l.tenant = :tenant AND l.id = c.id AND l.replaced_by IS NOT NULL
            UNION ALL
            SELECT l.id FROM learning.learning l WHERE l.tenant = :tenant AND l.restores = c.id) AS next
    )
    SELECT l.id FROM chain c JOIN learning.learning l ON l.tenant = :tenant AND l.id = c.id
    WHERE l.status = 'active' AND l.store = :store AND l.scope = :scope
    ORDER BY l.live_from DESC, l.id DESC LIMIT 1
""")


def successor(session: Session, place: Place, learning_id: UUID) -> LiveLearning | None:
    """The live row at the end of the chain of replacements, locked."""
    where = _where(place)
    # One that is replaced while its lock is waited for leads on.
    while (found := session.scalar(_SUCCESSOR, {**where, "id": learning_id})) is not None:
        if (row := session.execute(_LOCK, {**where, "ids": [found]}).first()) is not None:
            return LiveLearning(**row._mapping)
    return None


def _where(place: Place) -> dict[str, Any]:
    return {"tenant": place.tenant, "store": place.store, "scope": place.scope}
