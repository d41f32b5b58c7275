"""Vectors under a filter: what recall's own search finds of the ten nearest, and what its index alone finds, against exact search.

Scopes of up to 20,000 rows are searched exactly, so that the index never meets the narrowest filters. Here it is made to, by
telling it that the scope has 20,001 rows: the worst that it could do.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import psycopg

from benchmarks.figures import percentile
from benchmarks.scale.memory import LARGE, TENANT
from benchmarks.scale.vectors import MODEL

ASKED = 50
_LIMIT = 150  # as ranking asks (Weights.pool)

# Of the namespace's rows one in a hundred, one in ten and three in ten go to namespaces of their own; half of the rest to
# another store of the same namespace. In a transaction that is taken back.
_MOVE = """
    UPDATE learning.learning SET
        scope = CASE WHEN n %% 100 = 7 THEN 'namespace/hundredth' WHEN n %% 10 = 3 THEN 'namespace/tenth'
                     WHEN n %% 10 IN (1, 4, 8) THEN 'namespace/third' ELSE scope END,
        store = CASE WHEN n %% 2 = 0 THEN 'learned_knowledge' ELSE store END
    FROM (SELECT id AS moved, substr(content_key, 2)::bigint AS n FROM learning.learning WHERE tenant = %(tenant)s) AS m
    WHERE tenant = %(tenant)s AND id = moved
"""
BOTH = (LARGE.store, "learned_knowledge")
FILTERS = {
    "a scope of 1 %": tuple((store, "namespace/hundredth") for store in BOTH),
    "a scope of 10 %": tuple((store, "namespace/tenth") for store in BOTH),
    "a scope of 30 %": tuple((store, "namespace/third") for store in BOTH),
    "one store of the largest scope": (("learned_knowledge", "namespace/global"),),
}
_PLACES = "(l.store, l.scope) IN (SELECT * FROM unnest(%(stores)s::text[], %(scopes)s::text[]))"
_ROWS = f"SELECT count(*) FROM learning.learning l WHERE l.tenant = %(tenant)s AND {_PLACES}"
_EXACT = f"""
    SELECT e.learning_id FROM learning.learning l
    JOIN learning.learning_embedding e ON e.tenant = l.tenant AND e.learning_id = l.id AND e.model = %(model)s
    WHERE l.tenant = %(tenant)s AND {_PLACES}
    ORDER BY e.embedding OPERATOR(public.<=>) %(vector)s::real[]::public.vector LIMIT 10
"""
_ARM = """
    SELECT ids
    FROM learning.vector_arm(%(tenant)s, %(stores)s, %(scopes)s, %(vector)s::real[], %(model)s, NULL, %(rows)s, %(limit)s)
"""


@dataclass(frozen=True, kw_only=True)
class Selective:
    """One filter. `share`: of the ten nearest, how many were found, 0 to 1; seconds of each question."""

    name: str
    rows: int
    share: float
    seconds: Sequence[float]
    index_share: float
    index_seconds: Sequence[float]
    exact_seconds: Sequence[float]

    def row(self) -> tuple[str, ...]:
        """As the table shows it."""
        times = (f"{percentile(each, 0.5) * 1e3:,.0f} / {percentile(each, 0.95) * 1e3:,.0f}" for each in self._seconds)
        ours, index, exact = times
        return (self.name, f"{self.rows:,}", f"{self.share:.3f}", ours, f"{self.index_share:.3f}", index, exact)

    @property
    def _seconds(self) -> tuple[Sequence[float], ...]:
        return self.seconds, self.index_seconds, self.exact_seconds


def compared(connection: psycopg.Connection, vectors: Iterator[list[float]]) -> Iterator[Selective]:
    """Every filter; on a superuser's connection with triggers off, whose memory is LARGE's and embedded."""
    with connection.transaction(force_rollback=True):
        connection.execute(_MOVE.encode(), {"tenant": TENANT})
        connection.execute("ANALYZE learning.learning")
        asked = list(islice(vectors, ASKED + 3))
        for name, places in FILTERS.items():
            given = {
                "tenant": TENANT,
                "model": MODEL,
                "limit": _LIMIT,
                "stores": [store for store, _ in places],
                "scopes": [scope for _, scope in places],
            }
            yield _one(connection, name, given, asked)
    connection.execute("VACUUM ANALYZE learning.learning")


def _one(
    connection: psycopg.Connection, name: str, given: dict[str, object], vectors: Sequence[list[float]]
) -> Selective:
    counted = connection.execute(_ROWS.encode(), given).fetchone()
    assert counted is not None
    rows = int(counted[0])
    shares: tuple[list[float], list[float]] = ([], [])
    seconds: tuple[list[float], list[float], list[float]] = ([], [], [])
    for number, vector in enumerate(vectors):
        answers = []
        for place, (statement, total) in enumerate(((_ARM, rows), (_ARM, 20_001), (_EXACT, 0))):
            began = time.perf_counter()
            found = connection.execute(statement.encode(), {**given, "vector": vector, "rows": total}).fetchall()
            if number >= 3:  # three to warm up
                seconds[place].append(time.perf_counter() - began)
            answers.append([row[0] for row in found] if statement is _EXACT else list(found[0][0] or ())[:10])
        if number >= 3:
            nearest = set(answers[2])
            for place in (0, 1):
                shares[place].append(len(nearest & set(answers[place])) / len(nearest))
    return Selective(
        name=name,
        rows=rows,
        share=sum(shares[0]) / len(shares[0]),
        seconds=seconds[0],
        index_share=sum(shares[1]) / len(shares[1]),
        index_seconds=seconds[1],
        exact_seconds=seconds[2],
    )
