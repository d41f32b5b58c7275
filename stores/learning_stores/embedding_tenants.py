"""Whose work list has something to do, over all tenants: ids of tenants and times, nothing that was learned.

For the dispatcher's role. Tenants are walked by a loose index scan from wherever the last walk ended, a bounded number a
walk, so that none waits for another's backlog.
"""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

TENANTS_A_WALK = 500


@dataclass(frozen=True, slots=True)
class TenantWork:
    """A tenant with rows on its work list: whether any can be worked on now, and whether a worker has some of them."""

    tenant: str
    ready: bool
    taken: bool


_WALK = text("""
    WITH RECURSIVE tenants AS (
        (SELECT d.tenant, 1 AS place FROM learning.embedding_due d WHERE d.tenant > :after ORDER BY d.tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT d.tenant FROM learning.embedding_due d WHERE d.tenant > t.tenant ORDER BY d.tenant LIMIT 1), t.place + 1
        FROM tenants t WHERE t.tenant IS NOT NULL AND t.place < :limit
    )
    SELECT t.tenant,
           EXISTS (SELECT FROM learning.embedding_due d WHERE d.tenant = t.tenant AND d.ready_at <= now())
           AND (NOT EXISTS (SELECT FROM learning.embedding_model m WHERE m.tenant = t.tenant)
                OR EXISTS (SELECT FROM learning.embedding_model m
                           WHERE m.tenant = t.tenant AND coalesce(m.not_before <= now(), true))) AS ready,
           EXISTS (SELECT FROM learning.embedding_due d WHERE d.tenant = t.tenant AND d.taken_until > now()) AS taken
    FROM tenants t WHERE t.tenant IS NOT NULL ORDER BY t.place
""")

_ALL = text("""
    WITH RECURSIVE due AS (
        (SELECT d.tenant FROM learning.embedding_due d ORDER BY d.tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT d.tenant FROM learning.embedding_due d WHERE d.tenant > t.tenant ORDER BY d.tenant LIMIT 1)
        FROM due t WHERE t.tenant IS NOT NULL
    )
    SELECT tenant FROM due WHERE tenant IS NOT NULL
    UNION SELECT tenant FROM learning.embedding_model ORDER BY tenant
""")


_WAITING = text("""
    SELECT m.model, m.wait_note AS note, count(*) AS tenants FROM learning.embedding_model m
    WHERE m.failures > 0 AND m.wait_note IS NOT NULL
      AND EXISTS (SELECT FROM learning.embedding_due d WHERE d.tenant = m.tenant)
    GROUP BY m.model, m.wait_note ORDER BY m.model, m.wait_note LIMIT 20
""")


@dataclass(frozen=True, slots=True)
class ModelWait:
    """A model that brings nothing since its last success, for what reason, and how many tenants' learnings wait for it."""

    model: str
    note: str
    tenants: int


def waiting_models(session: Session) -> list[ModelWait]:
    """The models whose failures hold up a work list."""
    return [ModelWait(**row._mapping) for row in session.execute(_WAITING)]


_UNFINISHED = text("""
    SELECT m.model, r.model AS reading, count(*) AS tenants
    FROM learning.embedding_model m
    CROSS JOIN LATERAL (
        SELECT o.model FROM learning.embedding_model o
        WHERE o.tenant = m.tenant AND o.state = 'reading' ORDER BY o.model IS DISTINCT FROM :now, o.since, o.model LIMIT 1) AS r
    WHERE m.state = 'building'
    GROUP BY m.model, r.model ORDER BY m.model, r.model LIMIT 20
""")


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A move to `model` that is under way or was given up, in so many tenants that are read with another one (`reading`)."""

    model: str
    reading: str
    tenants: int


def unfinished_moves(session: Session, now: str | None) -> list[Unfinished]:
    """Moves that are not complete; `now` is what embeds, named first where a tenant is read with several. As the dispatcher."""
    return [Unfinished(**row._mapping) for row in session.execute(_UNFINISHED, {"now": now})]


def walk(session: Session, after: str = "", limit: int = TENANTS_A_WALK) -> list[TenantWork]:
    """The next tenants behind `after`, in order, that have rows on their work list."""
    return [TenantWork(*row) for row in session.execute(_WALK, {"after": after, "limit": limit})]


def every_tenant(session: Session) -> list[str]:
    """Every tenant with a live learning, and those that ever had an embedding model: what is not due has been embedded."""
    return list(session.scalars(_ALL))
