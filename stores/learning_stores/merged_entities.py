"""Entities that were found to be one: which of them stands for the others, and taking a merge apart again.

A merged entity keeps its row and names the one that it was merged into; what is said of it lies with that one. `merged_into` is
set and unset by the curator's changes alone, with the rows held FOR UPDATE; whoever writes about an entity holds it FOR SHARE.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

_TARGET_SUFFIX = 37  # a relationship's key ends with a colon and the id of its other end


def _standing(column: str) -> str:
    return f"""(
        WITH RECURSIVE up (id, merged_into) AS (
            SELECT e.id, e.merged_into FROM learning.entity e WHERE e.tenant = l.tenant AND e.id = {column}
            UNION
            SELECT n.id, n.merged_into FROM up JOIN learning.entity n ON n.tenant = l.tenant AND n.id = up.merged_into)
        SELECT up.id FROM up WHERE up.merged_into IS NULL)"""  # noqa: S608 - the name of a column, from this module


STANDS = f"""
    SELECT ends.about, ends.target, CASE
        WHEN l.target IS NULL OR right(l.content_key, {_TARGET_SUFFIX}) <> ':' || l.target THEN l.content_key
        ELSE left(l.content_key, -{_TARGET_SUFFIX}) || ':' || ends.target END AS content_key
    FROM (SELECT {_standing("l.about")} AS about, {_standing("l.target")} AS target) AS ends
"""  # noqa: S608 - made of constants
"""About whom, to whom and under which key a learning `l` would be live now: as it was, but for entities that were merged since."""

# With what they were merged into, however many merges on.
_OF_LEARNINGS = text("""
    WITH RECURSIVE up (id, merged_into) AS (
        SELECT e.id, e.merged_into FROM learning.learning l
        JOIN learning.entity e ON e.tenant = l.tenant AND e.id IN (l.about, l.target)
        WHERE l.tenant = :tenant AND l.id = ANY (:ids)
        UNION
        SELECT n.id, n.merged_into FROM up JOIN learning.entity n ON n.tenant = :tenant AND n.id = up.merged_into)
    SELECT DISTINCT id FROM up
""")
_SHARE = text("SELECT id FROM learning.entity WHERE tenant = :tenant AND id = ANY (:ids) ORDER BY id FOR SHARE")


def hold_entities_of(session: Session, tenant: str, learnings: Collection[UUID]) -> None:
    """Hold the entities that learnings name, and those that stand for them, against a merge."""
    values = {"tenant": tenant, "ids": list(learnings)}
    held: set[UUID] = set()
    while new := set(session.scalars(_OF_LEARNINGS, values)) - held:
        session.execute(_SHARE, {"tenant": tenant, "ids": sorted(new)}).all()
        held |= new


# What a change merged: entities whose learnings it ended in favour of learnings about the one that they were merged into.
_MERGED = """
    e.merged_into IS NOT NULL AND EXISTS (
        SELECT FROM learning.learning l JOIN learning.learning n ON n.tenant = l.tenant AND n.id = l.replaced_by
        WHERE l.tenant = e.tenant AND l.retired_by = :source AND l.about = e.id AND n.about = e.merged_into)
"""
_HOLD_MERGED = text(f"""
    SELECT e.id FROM learning.entity e
    WHERE e.tenant = :tenant AND e.id IN (
        SELECT either.id FROM learning.learning l CROSS JOIN LATERAL (VALUES (l.about), (l.target)) AS either (id)
        WHERE l.tenant = :tenant AND l.retired_by = :source)
      AND {_MERGED}
    ORDER BY e.id FOR UPDATE
""")  # noqa: S608 - a constant
# Whoever has its name by now is what the name means: then what was said of it comes back there.
_PART = text("""
    UPDATE learning.entity e SET merged_into = (
        SELECT o.id FROM learning.entity o
        WHERE o.tenant = e.tenant AND o.namespace = e.namespace AND o.user_id IS NOT DISTINCT FROM e.user_id
          AND o.type = e.type AND o.name_key = e.name_key AND o.merged_into IS NULL)
    WHERE e.tenant = :tenant AND e.id = ANY (:ids)
    RETURNING e.id
""")


def part(session: Session, tenant: str, source: UUID) -> list[UUID]:
    """Let the entities that a change merged stand for themselves again; the change's learnings are not touched."""
    ids = list(session.scalars(_HOLD_MERGED, {"tenant": tenant, "source": source}))
    return list(session.scalars(_PART, {"tenant": tenant, "ids": ids})) if ids else []
