"""Ranking: which learnings matter most to a query. The weights, the call, its rows, and what the curator keeps for it.

`learning.rank` (SQL) does the work in one call. Words count by BM25 over the live rows, a vector by its cosine; each is
standardised over all live rows, so that neither drowns the other whatever its scale, and their weighted sum is a learning's
own score. From what was said near it in the same conversation a learning gains a share of that one's own score.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from hashlib import md5
from typing import Any
from uuid import UUID

from psycopg import sql
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.embedding_endpoint import parsed_name

DEFAULT_LANGUAGE = "english"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What counts how much. Chosen on conversations 26, 30 and 41 of LoCoMo (`make bench-retrieval` shows all five).

    The unit of what is added up is one standard deviation of a query's scores.
    """

    k1: float = 0.9
    """BM25: how much less a long learning's word counts."""
    b: float = 0.5
    """BM25: how much length matters at all; learnings are short and much alike."""
    vector: float = 0.8
    """Of the cosine, against 1 of the words."""
    neighbours: tuple[float, ...] = (0.3, 0.3, 0.15, 0.15)
    """Share of the best own score at one message's distance, two, and so on: of the same turn and the next, then of the one
    after. A user's own messages lie two apart."""
    recency: float = 0.05
    """What was said this moment gains this much; half as much after `half_life_days`."""
    half_life_days: float = 30.0
    confidence: float = 0.05
    """Times a learning's confidence (0.5 where it has none): decides between equals."""
    pool: int = 150
    """So many of the best by words and by vector are ranked, and lend to neighbours."""


DEFAULT_WEIGHTS = Weights()
HASHED_FEATURES_WEIGHTS = Weights(vector=0.1)
"""For the offline embeddings, which know words and no meaning: they say little that the words have not said."""


@cache
def weights_json(weights: Weights) -> str:
    """The form in which SQL takes them."""
    return to_json(asdict(weights)).decode()


_BY_MODEL = {"offline-rules-1": HASHED_FEATURES_WEIGHTS}


def weights_for(model: str | None) -> Weights:
    """The weights with which vectors of a model are ranked, whatever dimensions were asked for."""
    return _BY_MODEL.get(parsed_name(model)[0] if model else "", DEFAULT_WEIGHTS)


def real_array(vector: Sequence[float]) -> str:
    """A vector as Postgres reads a real[]; psycopg takes five times as long, and an event loop waits for it.

    Nine digits tell every 32-bit float from its neighbours.
    """
    return f"{{{','.join([f'{value:.9g}' for value in vector])}}}"


@dataclass(frozen=True, kw_only=True)
class RankRequest:
    """What is asked, of which pairs of store and scope.

    `language` is a Postgres text search configuration (`simple`: words as they are). `vector` is the query's embedding by
    `model`; without it the words decide alone. `as_of`: what was live then.
    """

    places: tuple[tuple[str, str], ...]
    query: str
    language: str = DEFAULT_LANGUAGE
    vector: Sequence[float] | None = None
    model: str | None = None
    limit: int = 100
    as_of: datetime | None = None
    weights: Weights | None = None  # None: those for the model

    def parameters(self) -> tuple[Any, ...]:
        """The arguments of `RANK`, in order."""
        return (
            [store for store, _ in self.places],
            [scope for _, scope in self.places],
            self.query.replace("\0", " "),  # Postgres knows no such character
            self.language,
            None if self.vector is None else real_array(self.vector),
            self.model,
            self.limit,
            self.as_of,
            weights_json(self.weights or weights_for(self.model)),
        )


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One learning, and why it was found. `score` is comparable within one answer only."""

    id: UUID
    score: float
    text_score: float  # BM25; 0 where no word is shared
    vector_score: float | None  # cosine; None where there is no vector
    neighbour_score: float
    recency_score: float
    confidence_score: float


COLUMNS = ("id", "score", "text_score", "vector_score", "neighbour_score", "recency_score", "confidence_score")

RANK = f"""
    SELECT {", ".join(COLUMNS)}
    FROM learning.rank(%s::text[], %s::text[], %s, %s, %s::real[], %s, %s, %s::timestamptz, %s::jsonb)
"""  # noqa: S608 - of constants alone
"""As the app role, in a transaction with its tenant set. Best first."""


def ranked(row: Sequence[Any]) -> Ranked:
    """A row of `RANK`."""
    return Ranked(**dict(zip(COLUMNS, row, strict=True)))


def rank(session: Session, request: RankRequest) -> list[Ranked]:
    """The learnings that matter most, best first. The session's transaction has its tenant."""
    rows = session.connection().exec_driver_sql(RANK, request.parameters())
    return [ranked(row) for row in rows]


# How many live rows make a scope large, whose statistics are kept.
LARGE_SCOPE = 20_000

_LARGE = text("""
    SELECT store, scope FROM learning.learning
    WHERE tenant = :tenant AND status = 'active' AND kind <> 'alias'
    GROUP BY store, scope HAVING count(*) > :large ORDER BY store, scope
""")

# ts_stat runs the query that it is given, under the caller's row-level security.
_KEEP = text("""
    INSERT INTO learning.scope_statistics (tenant, store, scope, rows, mean_words, common)
    SELECT :tenant, :store, :scope, n.rows, n.mean_words, coalesce((
        SELECT jsonb_object_agg(w.word, w.ndoc)
        FROM ts_stat(format(
            'SELECT lexemes FROM learning.learning WHERE tenant = %L AND scope = %L AND store = %L AND status = ''active'' '
            'AND kind <> ''alias''', cast(:tenant AS text), cast(:scope AS text), cast(:store AS text))) AS w
        WHERE w.ndoc * 200 >= n.rows), '{}')
    FROM (
        SELECT count(*) AS rows, coalesce(avg(length(lexemes)), 0) AS mean_words FROM learning.learning
        WHERE tenant = :tenant AND scope = :scope AND store = :store AND status = 'active' AND kind <> 'alias') AS n
    ON CONFLICT (tenant, store, scope) DO UPDATE SET rows = excluded.rows, mean_words = excluded.mean_words,
        common = excluded.common, counted_at = clock_timestamp()
""")


def large_places(session: Session, tenant: str) -> list[tuple[str, str]]:
    """The tenant's pairs of store and scope with so many live rows that statistics should be kept."""
    found = session.execute(_LARGE, {"tenant": tenant, "large": LARGE_SCOPE})
    return [(row.store, row.scope) for row in found]


def keep_statistics(session: Session, tenant: str, store: str, scope: str) -> None:
    """Count the words of a place anew. Reads all its live rows (about a second for 100,000)."""
    session.execute(_KEEP, {"tenant": tenant, "store": store, "scope": scope})


def vector_index(model: str, dimensions: int) -> str:
    """The name under which ranking looks for a model's index (SQL: `learning.vector_index`)."""
    return "embedding_" + md5(f"{model}/{dimensions}".encode(), usedforsecurity=False).hexdigest()[:16]


def vector_index_statement(model: str, dimensions: int) -> str:
    """What the owner runs, outside a transaction, when a model other than the default one is embedded with.

    At most 4,000 dimensions: pgvector's limit for halfvec.
    """
    return (
        sql.SQL(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON learning.learning_embedding "
            "USING hnsw ((embedding::public.halfvec({})) public.halfvec_cosine_ops) WHERE model = {}"
        )
        .format(sql.Identifier(vector_index(model, dimensions)), sql.Literal(dimensions), sql.Literal(model))
        .as_string()
    )
