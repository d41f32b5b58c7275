"""Undoing what the curator did: what it ended comes back as new rows, and evidence that a merge copied goes from the copy."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.curator.retiring import CONSOLIDATED, DISPLACED, MERGED
from learning_stores.giving_way import waiting
from learning_stores.merged_entities import part
from learning_stores.replay_known import END_STANDS, ENDED
from learning_stores.withdrawal import Chain, Withdrawn, bring_back, settle_withdrawn, withdraw_sources

# What the change ended, what waited for its end, and what became of the one in whose favour it was, however many merges and undos
# on: where that was replaced or taken back by what was said since and still counts, so is this.
_TAKEN = text(f"""
    WITH RECURSIVE chain (learning_id, id) AS (
        SELECT l.id, l.replaced_by FROM learning.learning l
        WHERE l.tenant = :tenant AND (l.retired_by = :source OR l.id = ANY (:waiting)) AND l.status = 'retired'
        UNION
        SELECT c.learning_id, next.id FROM chain c CROSS JOIN LATERAL (
            SELECT n.replaced_by AS id FROM learning.learning n
            WHERE n.tenant = :tenant AND n.id = c.id AND n.status = 'retired'
              AND n.retired_reason IN ('{MERGED}', '{CONSOLIDATED}', '{DISPLACED}') AND n.replaced_by IS NOT NULL
            UNION ALL
            SELECT n.id FROM learning.learning n WHERE n.tenant = :tenant AND n.restores = c.id) AS next
    ),
    overtaken AS (
        SELECT c.learning_id, coalesce(l.replaced_by, l.id) AS by_id
        FROM chain c JOIN learning.learning l ON l.tenant = :tenant AND l.id = c.id
        WHERE l.status = 'retired' AND l.retired_reason = ANY (:ended) AND {END_STANDS} AND NOT EXISTS (
            SELECT FROM learning.change u WHERE u.tenant = :tenant AND u.id = l.retired_by AND u.undone_at IS NOT NULL)
    )
    SELECT l.id, l.valid_from, (SELECT o.by_id FROM overtaken o WHERE o.learning_id = l.id LIMIT 1) AS overtaken_by
    FROM learning.learning l
    WHERE l.tenant = :tenant AND (l.retired_by = :source OR l.id = ANY (:waiting)) AND l.status = 'retired'
    ORDER BY l.valid_from DESC, l.id DESC
""")  # noqa: S608 - a constant

_SAME = """{0}.origin = {1}.origin AND {0}.added_at = {1}.added_at AND {0}.event_id IS NOT DISTINCT FROM {1}.event_id
         AND {0}.message IS NOT DISTINCT FROM {1}.message AND {0}.extraction_id IS NOT DISTINCT FROM {1}.extraction_id"""
# What the change copied, or was copied of what waited for its end, and what a later merge copied of that, unless another learning
# that it merged there has the same.
_UNCOPY = text(f"""
    WITH RECURSIVE gone (id, learning_id, origin, extraction_id, event_id, message, added_at) AS (
        (SELECT v.id, v.learning_id, v.origin, v.extraction_id, v.event_id, v.message, v.added_at
         FROM learning.evidence v WHERE v.tenant = :tenant AND v.copied_by = :source
         UNION
         SELECT v.id, v.learning_id, v.origin, v.extraction_id, v.event_id, v.message, v.added_at
         FROM learning.learning o
         JOIN learning.evidence w ON w.tenant = :tenant AND w.learning_id = o.id AND w.withdrawn_at IS NULL
         JOIN learning.evidence v ON v.tenant = :tenant AND v.learning_id = o.replaced_by AND v.copied_by = o.retired_by
          AND {_SAME.format("v", "w")}
         WHERE o.tenant = :tenant AND o.id = ANY (:waiting))
        UNION
        SELECT c.id, c.learning_id, c.origin, c.extraction_id, c.event_id, c.message, c.added_at
        FROM gone g
        JOIN learning.learning n ON n.tenant = :tenant AND n.id = g.learning_id AND n.status = 'retired'
         AND n.retired_reason IN ('{MERGED}', '{CONSOLIDATED}')
        JOIN learning.evidence c ON c.tenant = :tenant AND c.learning_id = n.replaced_by AND c.copied_by = n.retired_by
         AND {_SAME.format("c", "g")}
        WHERE NOT EXISTS (
            SELECT FROM learning.learning o
            JOIN learning.evidence w ON w.tenant = :tenant AND w.learning_id = o.id AND w.withdrawn_at IS NULL
             AND {_SAME.format("w", "g")}
            WHERE o.tenant = :tenant AND o.replaced_by = n.replaced_by AND o.retired_by = n.retired_by AND o.id <> n.id))
    DELETE FROM learning.evidence v USING gone g WHERE v.tenant = :tenant AND v.id = g.id RETURNING v.learning_id
""")  # noqa: S608 - made of constants

# What came back while its entity was merged lies with the one that stood for it: there it goes, as far as nothing else says it.
_STRAYED = text("""
    SELECT o.id, l.id AS strayed FROM learning.learning o
    JOIN learning.learning l ON l.tenant = o.tenant AND l.restores = o.id AND l.status = 'active'
    WHERE o.tenant = :tenant AND (o.about = ANY (:entities) OR o.target = ANY (:entities))
      AND (l.about IS DISTINCT FROM o.about OR l.target IS DISTINCT FROM o.target)
    ORDER BY o.valid_from DESC, o.id DESC
""")
_RETURN = text(f"""
    DELETE FROM learning.evidence v
    USING unnest(cast(:strayed AS uuid[]), cast(:of AS uuid[])) AS s (id, of), learning.evidence w
    WHERE v.tenant = :tenant AND v.learning_id = s.id AND v.withdrawn_at IS NULL
      AND w.tenant = :tenant AND w.learning_id = s.of AND w.withdrawn_at IS NULL AND {_SAME.format("w", "v")}
    RETURNING v.learning_id
""")  # noqa: S608 - a constant


def take_back(session: Session, tenant: str, source: UUID, *, by: UUID) -> Withdrawn:
    """Undo one change of the curator. `by` is the change that does it, which what has no evidence left is retired by."""
    parted = part(session, tenant, source)
    strayed = session.execute(_STRAYED, {"tenant": tenant, "entities": parted}).all() if parted else []
    sources = {"tenant": tenant, "source": source, "waiting": waiting(session, tenant) if parted else []}
    rows = session.execute(_TAKEN, {**sources, "ended": list(ENDED)}).all()
    copied = session.scalars(_UNCOPY, sources).all()
    returned = {"strayed": [row.strayed for row in strayed], "of": [row.id for row in strayed]}
    copied = [*copied, *(session.scalars(_RETURN, {"tenant": tenant, **returned}) if strayed else ())]
    kept = sorted({*copied, *withdraw_sources(session, tenant, [source])})
    settled = settle_withdrawn(session, tenant, kept, by=by, reason="undone")
    ended = [row.id for row in rows if row.overtaken_by is None]
    restored = bring_back(session, tenant, [*ended, *returned["of"]], undone_by=by)
    left = tuple(Chain(row.id, row.overtaken_by) for row in rows if row.overtaken_by is not None)
    return Withdrawn(
        touched=settled.touched,
        retired=settled.retired,
        restored=(*settled.restored, *restored),
        left=(*settled.left, *left),
    )
