"""What would come back where another row lies now, because its entity was merged meanwhile: it waits behind that row.

There it counts: an equal row gets its evidence. Undoing the merge that led the two together brings it back (`waiting`).
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.curator.merging import copy_to
from learning_stores.curator.retiring import DISPLACED, EQUAL_BY_KEY, MERGED
from learning_stores.merged_entities import STANDS

_EQUAL = ", ".join(f"'{kind}'" for kind in sorted(EQUAL_BY_KEY))

# One of the two lies where its entity stands now, and would lie elsewhere. Only what a merge had ended: all else gives way for
# good to whoever has its place.
_GIVE_WAY = text(f"""
    UPDATE learning.learning t
    SET replaced_by = q.id, retired_by = :by, retired_reason = CASE WHEN q.equal THEN '{MERGED}' ELSE '{DISPLACED}' END
    FROM (
        SELECT l.id AS of, n.id, l.kind IN ({_EQUAL}) OR (l.content = n.content AND l.data = n.data) AS equal
        FROM learning.learning l CROSS JOIN LATERAL ({STANDS}) AS s
        JOIN learning.learning n ON n.tenant = l.tenant AND n.store = l.store AND n.scope = l.scope AND n.kind = l.kind
         AND n.status = 'active' AND n.about = s.about AND n.content_key = s.content_key
        WHERE l.tenant = :tenant AND l.id = :of AND l.status = 'retired' AND l.retired_reason IN ('{MERGED}', '{DISPLACED}')
          AND (s.about IS DISTINCT FROM l.about OR s.target IS DISTINCT FROM l.target OR EXISTS (
              SELECT FROM learning.learning r WHERE r.tenant = n.tenant AND r.id = n.restores
              AND (r.about IS DISTINCT FROM n.about OR r.target IS DISTINCT FROM n.target)))
          AND EXISTS (SELECT FROM learning.evidence v
                      WHERE v.tenant = l.tenant AND v.learning_id = l.id AND v.withdrawn_at IS NULL)
          AND NOT EXISTS (SELECT FROM learning.learning o
                          WHERE o.tenant = l.tenant AND o.restores = l.id AND o.status <> 'retired')
        FOR UPDATE OF n) AS q
    WHERE t.tenant = :tenant AND t.id = q.of
    RETURNING q.id, q.equal
""")  # noqa: S608 - made of constants

_WAITING = text(f"""
    SELECT l.id FROM learning.change c
    JOIN learning.learning l ON l.tenant = c.tenant AND l.retired_by = c.id
    JOIN learning.learning n ON n.tenant = l.tenant AND n.id = l.replaced_by
    CROSS JOIN LATERAL ({STANDS}) AS s
    WHERE c.tenant = :tenant AND c.action = 'undone' AND l.status = 'retired'
      AND l.retired_reason IN ('{MERGED}', '{DISPLACED}')
      AND (s.about IS DISTINCT FROM n.about OR s.target IS DISTINCT FROM n.target OR EXISTS (
          SELECT FROM (SELECT r.* FROM learning.learning r WHERE r.tenant = n.tenant AND r.id = n.restores) AS l
          CROSS JOIN LATERAL ({STANDS}) AS o WHERE o.about IS DISTINCT FROM n.about OR o.target IS DISTINCT FROM n.target))
      AND NOT EXISTS (SELECT FROM learning.learning o
                      WHERE o.tenant = l.tenant AND o.restores = l.id AND o.status <> 'retired')
    ORDER BY l.id
""")  # noqa: S608 - made of constants


def give_way(session: Session, tenant: str, of: UUID, by: UUID) -> None:
    """Let a retired learning that cannot come back wait behind the row in its place. `by` is the change that undoes."""
    found = session.execute(_GIVE_WAY, {"tenant": tenant, "of": of, "by": by}).one_or_none()
    if found is not None and found.equal:
        copy_to(session, tenant, by, {of: found.id})


def waiting(session: Session, tenant: str) -> list[UUID]:
    """Of what gave way, the learnings whose place is not that of the row which they wait behind, or where that has no place now."""
    return list(session.scalars(_WAITING, {"tenant": tenant}))
