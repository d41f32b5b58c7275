"""Merging learnings: one stays, the others are retired (`merged`) and their evidence and counts are copied to it."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.curator.retiring import MERGED, retire
from learning_stores.operations import Provenance

# What the one that stays has already stays once.
_COPY = text("""
    INSERT INTO learning.evidence (tenant, id, learning_id, origin, extraction_id, event_id, message, quote, user_id, subject,
                                   occurred_at, added_at, copied_by)
    SELECT v.tenant, gen_random_uuid(), w.onto, v.origin, v.extraction_id, v.event_id, v.message, v.quote, v.user_id, v.subject,
           v.occurred_at, v.added_at, :by
    FROM unnest(cast(:ids AS uuid[]), cast(:onto AS uuid[])) AS w (id, onto)
    JOIN learning.evidence v ON v.tenant = :tenant AND v.learning_id = w.id AND v.withdrawn_at IS NULL
    WHERE NOT EXISTS (
        SELECT FROM learning.evidence o
        WHERE o.tenant = v.tenant AND o.learning_id = w.onto AND o.withdrawn_at IS NULL AND o.origin = v.origin
          AND o.extraction_id IS NOT DISTINCT FROM v.extraction_id AND o.event_id IS NOT DISTINCT FROM v.event_id
          AND o.message IS NOT DISTINCT FROM v.message)
    ON CONFLICT DO NOTHING
    RETURNING true
""")

_COUNTS = text("""
    INSERT INTO learning.recall_count AS c (tenant, learning_id, recalled, last_recalled_at)
    SELECT :tenant, w.onto, sum(o.recalled), max(o.last_recalled_at)
    FROM unnest(cast(:ids AS uuid[]), cast(:onto AS uuid[])) AS w (id, onto)
    JOIN learning.recall_count o ON o.tenant = :tenant AND o.learning_id = w.id
    GROUP BY w.onto ORDER BY w.onto
    ON CONFLICT (tenant, learning_id) DO UPDATE SET recalled = c.recalled + excluded.recalled,
        last_recalled_at = greatest(c.last_recalled_at, excluded.last_recalled_at)
""")


def merge(session: Session, source: Provenance, merged: Mapping[UUID, UUID]) -> int:
    """Merge locked live learnings, each into one that stays and is merged into none itself; how much evidence was copied."""
    copied = copy_to(session, source.place.tenant, source.made_by, merged)
    retire(session, source, {learning: (MERGED, stays) for learning, stays in merged.items()})
    return copied


def copy_to(session: Session, tenant: str, by: UUID, heirs: Mapping[UUID, UUID]) -> int:
    """Copy to each of these learnings' heirs what it has, evidence and counts; how much evidence. What ended them is said apart."""
    if not heirs:
        return 0
    values = {"tenant": tenant, "ids": list(heirs), "onto": list(heirs.values())}
    copied = len(session.scalars(_COPY, {**values, "by": by}).all())
    session.execute(_COUNTS, values)
    return copied
