"""Vectors of 1,536 dimensions, written fast: each a topic, a manner and a detail, drawn from pools and added up by Postgres.

Near vectors share the topic, nearer ones the manner too, as embeddings of texts do; drawn freely in 1,536 dimensions all would
be equally far. No model is asked, and what is found says nothing about how well meanings are told apart.
"""

import random
from collections.abc import Iterator

import psycopg
from psycopg import sql

from benchmarks.scale.memory import TENANT
from learning_stores.ranking import vector_index, vector_index_statement

MODEL = "text-embedding-3-small"
DIMENSIONS = 1_536
# How many of each, and how long: cosine of about 0.6 with one of the same topic, 0.85 where the manner is the same too.
_POOLS = (("topic", 1_000, 1.0), ("manner", 2_000, 0.6), ("detail", 5_000, 0.5))
_MAKE = "CREATE TABLE IF NOT EXISTS part (pool text, no integer, vector public.vector, PRIMARY KEY (pool, no))"
_EMBED = """
    INSERT INTO learning.learning_embedding (tenant, learning_id, model, embedding)
    SELECT %(tenant)s, l.id, %(model)s,
           public.l2_normalize(t.vector OPERATOR(public.+) m.vector OPERATOR(public.+) d.vector)
    FROM learning.learning l
    JOIN part t ON t.pool = 'topic' AND t.no = (hashtextextended(l.id::text, 1) & 1073741823) %% 1000
    JOIN part m ON m.pool = 'manner' AND m.no = (hashtextextended(l.id::text, 2) & 1073741823) %% 2000
    JOIN part d ON d.pool = 'detail' AND d.no = (hashtextextended(l.id::text, 3) & 1073741823) %% 5000
    WHERE l.tenant = %(tenant)s AND l.live_from >= to_timestamp(1750000000 + %(first)s * 10)
    ON CONFLICT DO NOTHING
"""


# Recall uses vectors of a model only when every live learning has had one. Beyond `EMBEDDED` learnings that is not so here: what is
# measured is the time, and the vectors that are there are as many as an answer looks at.
_READ = """
    INSERT INTO learning.embedding_model (tenant, model, dimensions, state)
    VALUES (%(tenant)s, %(model)s, %(dimensions)s, 'reading') ON CONFLICT DO NOTHING
"""


class Pools:
    """The parts, and queries made of them: a topic and a manner that rows have too, and a detail of its own."""

    def __init__(self) -> None:
        self._drawn = random.Random(5)
        self._parts = {name: [self._vector(length) for _ in range(many)] for name, many, length in _POOLS}

    def write(self, connection: psycopg.Connection) -> None:
        """Let Postgres have them."""
        connection.execute(_MAKE)
        with connection.cursor() as cursor, cursor.copy("COPY part FROM STDIN") as copy:
            for name, vectors in self._parts.items():
                for number, vector in enumerate(vectors):
                    copy.write_row((name, number, f"[{','.join(f'{place:.5g}' for place in vector)}]"))
        connection.execute("ANALYZE part")
        connection.execute(_READ, {"tenant": TENANT, "model": MODEL, "dimensions": DIMENSIONS})

    def queries(self) -> Iterator[list[float]]:
        """Without end."""
        while True:
            topic, manner = (self._drawn.choice(self._parts[name]) for name in ("topic", "manner"))
            yield [a + b + c for a, b, c in zip(topic, manner, self._vector(0.5), strict=True)]

    def _vector(self, length: float) -> list[float]:
        return [self._drawn.gauss(0, length / DIMENSIONS**0.5) for _ in range(DIMENSIONS)]


def drop_index(connection: psycopg.Connection) -> None:
    """Before many rows are written: making the index anew takes a tenth of the time of adding to it."""
    name = sql.Identifier("learning", vector_index(MODEL, DIMENSIONS))
    connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(name))


def embed(connection: psycopg.Connection, first: int = 0) -> None:
    """Write the vector of every learning from the `first` on that has none, in a session begun by `memory.begin`."""
    connection.execute(_EMBED.encode(), {"tenant": TENANT, "model": MODEL, "first": first})
    connection.execute("VACUUM ANALYZE learning.learning_embedding")


def build_index(connection: psycopg.Connection) -> None:
    """Make the model's HNSW index, as an operator makes it, with the memory that an index of this size wants."""
    connection.execute("SET maintenance_work_mem = '1GB'")
    connection.execute(vector_index_statement(MODEL, DIMENSIONS).encode())
