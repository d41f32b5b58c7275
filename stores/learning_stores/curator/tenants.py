"""Every tenant there is, for the schedule: names only, walked by loose index scans. For the dispatcher's role."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.embedding_tenants import every_tenant as every_tenant_with_learnings

# Whoever was said something about, whatever the log has, and whose machines are known.
_TABLES = ("subject", "conversation_event", "machine_spec")

_WALK = """
    WITH RECURSIVE walk AS (
        (SELECT t.tenant FROM learning.{table} t ORDER BY t.tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT t.tenant FROM learning.{table} t WHERE t.tenant > w.tenant ORDER BY t.tenant LIMIT 1)
        FROM walk w WHERE w.tenant IS NOT NULL
    )
    SELECT tenant FROM walk WHERE tenant IS NOT NULL
"""


def every_tenant(session: Session) -> list[str]:
    """The tenants with anything that upkeep could be for."""
    found = set(every_tenant_with_learnings(session))
    for table in _TABLES:
        found.update(session.scalars(text(_WALK.format(table=table))))
    return sorted(found)
