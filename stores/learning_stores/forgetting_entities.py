"""Forgetting entities: those that nothing refers to any more go; one that others know too keeps no name that only the forgotten
subject gave it."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.forgetting_target import Scope
from learning_stores.forgetting_wording import say_otherwise
from learning_stores.grounding import fold

# With what they were merged into, and what was merged into them.
_HOLD = text("""
    SELECT e.id FROM learning.entity e WHERE e.tenant = :tenant AND e.id IN (
        WITH RECURSIVE found (id) AS (
            SELECT l.about FROM learning.learning l WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.about IS NOT NULL
            UNION
            SELECT l.target FROM learning.learning l WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.target IS NOT NULL
            UNION
            SELECT near.id FROM found f CROSS JOIN LATERAL (
                SELECT a.merged_into AS id FROM learning.entity a
                WHERE a.tenant = :tenant AND a.id = f.id AND a.merged_into IS NOT NULL
                UNION ALL
                SELECT b.id FROM learning.entity b WHERE b.tenant = :tenant AND b.merged_into = f.id) AS near)
        SELECT id FROM found)
    ORDER BY e.id FOR UPDATE
""")
_ORPHANS = """
    DELETE FROM learning.entity e
    WHERE e.tenant = :tenant AND {which}
      AND NOT EXISTS (SELECT FROM learning.learning l WHERE l.tenant = e.tenant AND l.about = e.id)
      AND NOT EXISTS (SELECT FROM learning.learning l WHERE l.tenant = e.tenant AND l.target = e.id)
      AND NOT EXISTS (SELECT FROM learning.entity o WHERE o.tenant = e.tenant AND o.merged_into = e.id)
"""
_UNREFERRED = text(_ORPHANS.format(which="e.id = ANY (:ids)"))
_OWN = text(_ORPHANS.format(which="e.user_id = :user_id AND e.created_at < :at"))
_NAMES = text("""
    SELECT e.id, e.name, e.type, l.content FROM learning.entity e
    LEFT JOIN learning.learning l ON l.tenant = e.tenant AND l.about = e.id AND l.kind = 'alias' AND l.status <> 'retired'
    WHERE e.tenant = :tenant AND e.id = ANY (:ids) ORDER BY e.id, l.live_from, l.id
""")
_RENAME = text("""
    UPDATE learning.entity e SET name = :name, name_key = :name_key
    WHERE e.tenant = :tenant AND e.id = :id AND NOT EXISTS (
        SELECT FROM learning.entity o WHERE o.tenant = e.tenant AND o.namespace = e.namespace AND o.type = e.type
        AND o.user_id IS NOT DISTINCT FROM e.user_id AND o.name_key = :name_key AND o.merged_into IS NULL AND o.id <> e.id)
""")
_TIES = text("""
    SELECT l.id, l.data, a.name AS about, t.name AS target, l.content FROM learning.learning l
    JOIN learning.entity a ON a.tenant = l.tenant AND a.id = l.about
    JOIN learning.entity t ON t.tenant = l.tenant AND t.id = l.target
    WHERE l.tenant = :tenant AND l.kind = 'relationship' AND (l.about = :id OR l.target = :id)
    ORDER BY l.id FOR UPDATE OF l
""")

_ALIASES = text("""
    SELECT l.id, l.about, l.content FROM learning.learning l
    WHERE l.tenant = :tenant AND l.id = ANY (:ids) AND l.kind = 'alias' AND l.status <> 'retired'
""")
_SPOKEN_OF = """
    SELECT v.id, v.learning_id, l.content, v.quote, e.messages -> v.message ->> 'content' AS message
    FROM learning.learning l
    JOIN learning.evidence v ON v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL
    LEFT JOIN learning.conversation_event e ON e.tenant = v.tenant AND e.id = v.event_id
    WHERE l.tenant = :tenant AND l.kind <> 'alias' AND l.status <> 'retired' AND (l.about = :about OR l.target = :about)
      AND NOT coalesce({said}, false) AND NOT {dependent} AND NOT coalesce({own} AND {old}, false)
    ORDER BY v.added_at DESC LIMIT 200
"""
_CITE = text("""
    INSERT INTO learning.evidence (tenant, id, learning_id, origin, extraction_id, event_id, message, quote, user_id, subject,
                                   occurred_at, added_at)
    SELECT tenant, gen_random_uuid(), :onto, origin, extraction_id, event_id, message, quote, user_id, subject, occurred_at,
           added_at
    FROM learning.evidence WHERE tenant = :tenant AND id = :id
    ON CONFLICT DO NOTHING
""")


def hold_entities(session: Session, tenant: str, ids: Collection[UUID]) -> list[UUID]:
    """Lock the entities that these learnings name, by id."""
    return list(session.scalars(_HOLD, {"tenant": tenant, "ids": list(ids)}))


def say_again(session: Session, scope: Scope, ids: Collection[UUID], dependent: str) -> None:
    """Let a name that others use too stand on what they said: they found it given, and stated it no second time."""
    statement = text(_SPOKEN_OF.format(said=scope.said, own=scope.own, old=scope.old, dependent=dependent))
    for alias in session.execute(_ALIASES, {"tenant": scope.target.tenant, "ids": list(ids)}).all():
        wanted = fold(alias.content)
        for row in session.execute(statement, {**scope.values, "about": alias.about}):
            if any(wanted in fold(each) for each in (row.message, row.quote, row.content) if each):
                session.execute(_CITE, {"tenant": scope.target.tenant, "id": row.id, "onto": alias.id})
                break


def forget_entities(session: Session, scope: Scope, held: Sequence[UUID]) -> Counter[str]:
    """Delete held entities that nothing refers to, and give those that stay a name that others use."""
    values = {"tenant": scope.target.tenant, "ids": list(held)}
    counts = Counter(entity=_deleted(session, _UNREFERRED, values))
    names: dict[UUID, tuple[str, list[str]]] = {}
    for row in session.execute(_NAMES, values):
        names.setdefault(row.id, (row.name, []))[1].extend([row.content] if row.content else [])
    for entity, (name, aliases) in names.items():
        if aliases and fold(name) not in map(fold, aliases):
            counts["renamed"] += _rename(session, scope, entity, aliases)
    return counts


def forget_own_entities(session: Session, scope: Scope) -> int:
    """Delete entities of a user's own that nothing refers to."""
    return _deleted(session, _OWN, scope.values) if scope.target.kind == "subject" and scope.target.user_id else 0


def _deleted(session: Session, statement: Any, values: dict[str, Any]) -> int:
    total = 0
    while True:  # one of a chain after the other
        written: Any = session.execute(statement, values)
        if not written.rowcount:
            return total
        total += written.rowcount


def _rename(session: Session, scope: Scope, entity: UUID, aliases: Sequence[str]) -> int:
    tenant = scope.target.tenant
    for alias in aliases:
        named = {"tenant": tenant, "id": entity, "name": " ".join(alias.split()), "name_key": fold(alias)}
        if session.execute(_RENAME, named).rowcount:  # type: ignore[attr-defined]  # an UPDATE's result is a CursorResult
            for tie in session.execute(_TIES, {"tenant": tenant, "id": entity}).all():
                content = f"{tie.about}: {tie.data['relation']} {tie.target}"
                if content != tie.content:
                    say_otherwise(session, scope, tie.id, content, tie.data)
            return 1
    return 0
