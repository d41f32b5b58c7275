"""How often learnings are recalled, and when last: written in batches, aside from any agent's turn."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

# Sorted: two agents that write the same rows never wait for each other crosswise. What was forgotten meanwhile is left out.
_ADD = text("""
    INSERT INTO learning.recall_count AS c (tenant, learning_id, recalled, last_recalled_at)
    SELECT l.tenant, l.id, w.times, clock_timestamp()
    FROM unnest(cast(:ids AS uuid[]), cast(:times AS bigint[])) AS w (id, times)
    JOIN learning.learning l ON l.tenant = :tenant AND l.id = w.id
    ORDER BY l.id
    ON CONFLICT (tenant, learning_id) DO UPDATE SET recalled = c.recalled + excluded.recalled,
        last_recalled_at = greatest(c.last_recalled_at, excluded.last_recalled_at)
""")


def add_recalls(session: Session, tenant: str, times: Mapping[UUID, int]) -> None:
    """Add to the counts of these learnings."""
    ids = sorted(times)
    session.execute(_ADD, {"tenant": tenant, "ids": ids, "times": [times[each] for each in ids]})
