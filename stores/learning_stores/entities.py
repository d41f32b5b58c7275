"""Entities: names resolved to rows inside the transaction that writes, so that two sessions that meet one at once make one.

A name means the entity of that name and type, or the one that it was merged into; else the only one of that type that has it as
an alias; else a new one. Names that are merely alike stay apart, and so do two things of one name and different types: only
evidence makes an alias.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from learning_schemas.ids import uuid7
from learning_schemas.scope import GLOBAL_NAMESPACE, USER_NAMESPACE
from learning_stores.grounding import content_key
from learning_stores.operations import EntityName, Operation, Put
from learning_stores.place import Place

# In two halves: `user_id IS NOT DISTINCT FROM` would read all entities of the namespace; OFFSET 0, so that each name is looked up.
_NAMED = text("""
    SELECT e.id, e.type, e.name_key
    FROM unnest(cast(:types AS text[]), cast(:names AS text[])) AS wanted (type, name)
    CROSS JOIN LATERAL (
        SELECT e.id, e.type, e.name_key FROM learning.entity e
        WHERE e.tenant = :tenant AND e.namespace = :namespace AND e.user_id = cast(:user_id AS text) AND e.type = wanted.type
          AND e.name_key = wanted.name AND e.merged_into IS NULL OFFSET 0) AS e
    UNION ALL
    SELECT e.id, e.type, e.name_key
    FROM unnest(cast(:types AS text[]), cast(:names AS text[])) AS wanted (type, name)
    CROSS JOIN LATERAL (
        SELECT e.id, e.type, e.name_key FROM learning.entity e
        WHERE e.tenant = :tenant AND e.namespace = :namespace AND e.user_id IS NULL AND e.type = wanted.type
          AND e.name_key = wanted.name AND e.merged_into IS NULL OFFSET 0) AS e
    WHERE cast(:user_id AS text) IS NULL
""")

# Looked for only where no live one has the name; of several that had it, the one that has it last.
_MERGED = text("""
    WITH RECURSIVE up (type, name_key, of, id, merged_into) AS (
        SELECT e.type, e.name_key, e.id, e.id, e.merged_into
        FROM unnest(cast(:types AS text[]), cast(:names AS text[])) AS wanted (type, name)
        JOIN learning.entity e ON e.type = wanted.type AND e.name_key = wanted.name
        WHERE e.tenant = :tenant AND e.namespace = :namespace AND e.user_id IS NOT DISTINCT FROM cast(:user_id AS text)
          AND e.merged_into IS NOT NULL
        UNION
        SELECT up.type, up.name_key, up.of, n.id, n.merged_into
        FROM up JOIN learning.entity n ON n.tenant = :tenant AND n.id = up.merged_into)
    SELECT DISTINCT ON (type, name_key) id, type, name_key FROM up WHERE merged_into IS NULL ORDER BY type, name_key, of DESC
""")

_BY_ALIAS = text("""
    SELECT DISTINCT l.content_key AS key, e.id, e.type
    FROM learning.learning l
    JOIN learning.entity e ON e.tenant = l.tenant AND e.id = l.about
    WHERE l.tenant = :tenant AND l.store = :store AND l.scope = :scope AND l.kind = 'alias' AND l.status = 'active'
      AND l.content_key = ANY (:keys) AND e.merged_into IS NULL
""")

# Whoever comes second waits for the first here, and then finds the row by the query above.
_ADD = text("""
    INSERT INTO learning.entity (tenant, id, namespace, user_id, type, name, name_key)
    VALUES (:tenant, :id, :namespace, :user_id, :type, :name, :name_key)
    ON CONFLICT DO NOTHING
""")

# Against a merge, which takes them FOR UPDATE.
_LOCK = text("""
    SELECT id FROM learning.entity WHERE tenant = :tenant AND id = ANY (:ids) AND merged_into IS NULL ORDER BY id FOR SHARE
""")

Resolved = Mapping[EntityName, UUID]


def names_in(operations: Iterable[Operation]) -> list[EntityName]:
    """The entities that operations name, each once, in key order."""
    found = {
        name.key: name
        for operation in operations
        if isinstance(operation, Put)
        for name in (operation.about, operation.target)
        if name is not None
    }
    return [found[key] for key in sorted(found)]


def resolve(session: Session, place: Place, operations: Sequence[Operation]) -> Resolved:
    """The entity of each name in these operations, made where there is none, and locked."""
    names = names_in(operations)
    if not names:
        return {}
    own = _own_aliases(operations)
    while True:
        found = _found_or_made(session, place, names, own)
        ids = set(found.values())
        if set(session.scalars(_LOCK, {"tenant": place.tenant, "ids": sorted(ids)})) == ids:
            break  # else one was forgotten, or merged, while its lock was waited for
    return {
        name: found[name.key]
        for operation in operations
        if isinstance(operation, Put)
        for name in (operation.about, operation.target)
        if name is not None
    }


def _found_or_made(
    session: Session, place: Place, names: Sequence[EntityName], own: Mapping[tuple[str, str], tuple[str, str]]
) -> dict[tuple[str, str], UUID]:
    found = _find(session, place, names)
    missing = [name for name in names if name.key not in found and own.get(name.key, name.key) == name.key]
    if missing:
        session.execute(_ADD, [{**_owner(place), "id": uuid7(), **_columns(name)} for name in missing])
        found |= _find(session, place, missing)
    # A name that this very patch gives as an alias of another.
    return found | {key: found[of] for key, of in own.items() if key not in found and of in found}


def _owner(place: Place) -> dict[str, str | None]:
    user_id, _ = place.owner
    namespace = place.namespace or (USER_NAMESPACE if user_id else GLOBAL_NAMESPACE)  # a store need not be namespaced
    return {"tenant": place.tenant, "namespace": namespace, "user_id": user_id}


def _columns(name: EntityName) -> dict[str, str]:
    type_key, name_key = name.key
    return {"type": type_key, "name": " ".join(name.name.split()), "name_key": name_key}


def _find(session: Session, place: Place, names: Sequence[EntityName]) -> dict[tuple[str, str], UUID]:
    """Those that are there: by their own name, by that of one that was merged, else by an alias that only one of their type has."""
    found = _by_name(session, _NAMED, place, names)
    if missing := [name for name in names if name.key not in found]:
        found |= _by_name(session, _MERGED, place, missing)
    by_key: dict[str, list[EntityName]] = {}
    for name in names:
        if name.key not in found:
            by_key.setdefault(content_key(name.name), []).append(name)
    if by_key:
        meant: dict[tuple[str, str], set[UUID]] = {}
        rows = session.execute(
            _BY_ALIAS, {"tenant": place.tenant, "store": place.store, "scope": place.scope, "keys": list(by_key)}
        )
        for row in rows:
            for name in by_key[row.key]:
                if name.key[0] == row.type:
                    meant.setdefault(name.key, set()).add(row.id)
        found |= {key: next(iter(ids)) for key, ids in meant.items() if len(ids) == 1}
    return found


def _by_name(
    session: Session, statement: TextClause, place: Place, names: Sequence[EntityName]
) -> dict[tuple[str, str], UUID]:
    wanted = {**_owner(place), "types": [name.key[0] for name in names], "names": [name.key[1] for name in names]}
    return {(row.type, row.name_key): row.id for row in session.execute(statement, wanted)}


def _own_aliases(operations: Iterable[Operation]) -> dict[tuple[str, str], tuple[str, str]]:
    """Names that these operations give as aliases: alias to the entity's key, of one type. A name of its own is none."""
    aliases: dict[tuple[str, str], tuple[str, str]] = {}
    for operation in operations:
        if isinstance(operation, Put) and operation.kind == "alias" and operation.about is not None:
            alias = EntityName(operation.content, operation.about.type).key
            if alias != operation.about.key:
                aliases[alias] = operation.about.key
    return {alias: of for alias, of in aliases.items() if of not in aliases}
