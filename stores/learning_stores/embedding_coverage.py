"""How far a tenant's memory has vectors of a model, and moving it to another model: for `learning-machine reembed`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.embeddings import FROM, LACKS, SHOWN, Due, text_of


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """One model of a tenant. `live` learnings are to have a vector, `embedded` have one, `refused` cannot.

    `not_before` and `note` where the provider is left alone, and why.
    """

    tenant: str
    model: str
    dimensions: int | None
    state: str
    since: datetime
    live: int
    embedded: int
    refused: int
    not_before: datetime | None
    note: str | None


@dataclass(frozen=True, kw_only=True)
class Remaining:
    """Live learnings of a tenant without a vector of a model, with about how many bytes of text."""

    learnings: int
    text_bytes: int


_COVERAGE = text("""
    SELECT m.tenant, m.model, m.dimensions, m.state, m.since, m.not_before, m.wait_note AS note, n.live, n.embedded, n.refused
    FROM learning.embedding_model m CROSS JOIN LATERAL (
        SELECT count(*) AS live, count(v.learning_id) AS embedded, count(r.learning_id) AS refused
        FROM learning.learning l
        LEFT JOIN learning.learning_embedding v ON v.tenant = l.tenant AND v.learning_id = l.id AND v.model = m.model
        LEFT JOIN learning.embedding_refused r ON r.tenant = l.tenant AND r.learning_id = l.id AND r.model = m.model
        WHERE l.tenant = :tenant AND l.status = 'active' AND l.kind <> 'alias') AS n
    WHERE m.tenant = :tenant ORDER BY m.model
""")
_DUE = text("SELECT count(*) FROM learning.embedding_due WHERE tenant = :tenant")
_MODEL = "CROSS JOIN (SELECT CAST(:model AS text) AS model) AS m"
_LIVE = "l.tenant = :tenant AND l.status = 'active' AND l.kind <> 'alias'"
_REMAINING = text(f"""
    SELECT count(*) AS learnings,
           coalesce(sum(octet_length(l.content) + coalesce(octet_length(e.name) + octet_length(e.type) + 5, 0)), 0) AS text_bytes
    {FROM} {_MODEL} WHERE {_LIVE} AND {LACKS}
""")
_NEXT = text(f"""
    SELECT {SHOWN} {FROM} {_MODEL}
    WHERE {_LIVE} AND l.id > :after AND {LACKS} ORDER BY l.id LIMIT :limit
""")
_FIRST = UUID(int=0)


def coverage(session: Session, tenant: str) -> list[Coverage]:
    """Each of the tenant's models."""
    return [Coverage(**row._mapping) for row in session.execute(_COVERAGE, {"tenant": tenant})]


def due(session: Session, tenant: str) -> int:
    """Rows on the tenant's work list."""
    return int(session.scalar(_DUE, {"tenant": tenant}) or 0)


def remaining(session: Session, tenant: str, model: str) -> Remaining:
    """What the model would have to embed."""
    return Remaining(**session.execute(_REMAINING, {"tenant": tenant, "model": model}).one()._mapping)


def lacking(session: Session, tenant: str, model: str, after: UUID | None, limit: int) -> list[Due]:
    """Live learnings without a vector of the model, by id, behind `after`."""
    given = {"tenant": tenant, "model": model, "after": after or _FIRST, "limit": limit}
    return [
        Due(learning_id=row.id, text=text_of(row), missing=(model,), waits=False)
        for row in session.execute(_NEXT, given)
    ]


_TRY_AGAIN = text("DELETE FROM learning.embedding_refused WHERE tenant = :tenant AND model = :model")


def try_refused_again(session: Session, tenant: str, model: str) -> None:
    """Forget which texts the model refused."""
    session.execute(_TRY_AGAIN, {"tenant": tenant, "model": model})


_OTHERS = text("SELECT model FROM learning.embedding_model WHERE tenant = :tenant AND model <> :model ORDER BY model")
_DROP = text("DELETE FROM learning.embedding_model WHERE tenant = :tenant AND model = :model")
_DROP_VECTORS = text("""
    WITH gone AS (
        SELECT learning_id FROM learning.learning_embedding
        WHERE tenant = :tenant AND model = :model AND learning_id > :after ORDER BY learning_id LIMIT :limit
    )
    DELETE FROM learning.learning_embedding v USING gone
    WHERE v.tenant = :tenant AND v.model = :model AND v.learning_id = gone.learning_id
    RETURNING v.learning_id
""")


def other_models(session: Session, tenant: str, model: str) -> list[str]:
    """The tenant's models besides this one."""
    return list(session.scalars(_OTHERS, {"tenant": tenant, "model": model}))


def drop_model(session: Session, tenant: str, model: str) -> None:
    """Read with this model no longer, and embed nothing with it. Its vectors are left to `drop_vectors`."""
    session.execute(_DROP, {"tenant": tenant, "model": model})
    try_refused_again(session, tenant, model)


def drop_vectors(session: Session, tenant: str, model: str, after: UUID | None, limit: int) -> UUID | None:
    """Delete up to `limit` vectors of a model behind `after`, by learning; the last one's, or None where there was none."""
    given = {"tenant": tenant, "model": model, "after": after or _FIRST, "limit": limit}
    return max(session.scalars(_DROP_VECTORS, given), default=None)


_INDEX = text("""
    SELECT name, to_regclass('learning.' || quote_ident(name)) IS NOT NULL AS there, quote_ident(name) AS quoted,
           quote_literal(CAST(:model AS text)) AS model
    FROM (SELECT learning.vector_index(:model, :dimensions) AS name) AS n
""")
INDEXED_FROM = 20_000
"""Scopes of more live rows are searched through an index of the model's, where there is one."""
_MOST_INDEXED = 4_000  # dimensions, of a halfvec


def missing_index(session: Session, model: str, dimensions: int) -> str | None:
    """The statement that makes the model's index of nearest neighbours, for the owner's role; None where it is there."""
    found = session.execute(_INDEX, {"model": model, "dimensions": dimensions}).one()
    if found.there or dimensions > _MOST_INDEXED:
        return None
    return (
        f"CREATE INDEX CONCURRENTLY {found.quoted} ON learning.learning_embedding "
        f"USING hnsw ((embedding::public.halfvec({int(dimensions)})) public.halfvec_cosine_ops) WHERE model = {found.model}"
    )
