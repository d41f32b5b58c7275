"""Recall of large scopes within its deadline: look-ups by key, the newest rows by index, vectors beside their rows."""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """New bodies of functions with the same arguments, so that agents that were not upgraded yet profit too."""
    cursor = op.get_bind().connection.cursor()
    for name in ("v0007_rank.sql", "v0007_recall.sql", "v0007_storage.sql"):
        cursor.execute((_HERE / name).read_text().encode())
    _make_rank(_statement("v0003_rank.sql", "rank").replace(*_AGE).replace(*_COSINE))


def downgrade() -> None:
    """The functions as they were. Vectors stay where they lie; new ones go out of line again."""
    cursor = op.get_bind().connection.cursor()
    cursor.execute("DROP FUNCTION learning.newest_rows, learning.text_arm, learning.vector_arm")
    for file, function in _BEFORE:
        cursor.execute(_statement(file, function).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1).encode())
    cursor.execute("REVOKE ALL ON FUNCTION learning.text_arm, learning.vector_arm FROM PUBLIC")
    cursor.execute("GRANT CREATE ON SCHEMA learning TO learning_search")
    cursor.execute("ALTER FUNCTION learning.text_arm OWNER TO learning_search")
    cursor.execute("ALTER FUNCTION learning.vector_arm OWNER TO learning_search")
    cursor.execute("REVOKE CREATE ON SCHEMA learning FROM learning_search")
    cursor.execute("ALTER TABLE learning.learning_embedding ALTER embedding SET STORAGE EXTERNAL")
    _make_rank(_statement("v0003_rank.sql", "rank"))


_PAST = "greatest(extract(epoch FROM coalesce(p_as_of, now()) - l.valid_from), 0) / halved"
_AGE = f"power(2, -{_PAST})", f"power(2, -least({_PAST}, 60))"
"""Before and after: what is older than some 88 years underflowed, which Postgres takes for an error."""

_ANGLE = "1 - (e.embedding OPERATOR(public.<=>) p_vector::public.vector)"
_COSINE = f"{_ANGLE} AS cosine", f"nullif({_ANGLE}, 'NaN') AS cosine"
"""A vector of zeros has no direction: its NaN made every score beside it one."""


def _make_rank(statement: str) -> None:
    cursor = op.get_bind().connection.cursor()
    cursor.execute(
        "DROP FUNCTION learning.rank(text[], text[], text, text, real[], text, integer, timestamp with time zone, jsonb)"
    )
    cursor.execute(statement.encode())
    cursor.execute("REVOKE ALL ON FUNCTION learning.rank FROM PUBLIC")
    cursor.execute("GRANT EXECUTE ON FUNCTION learning.rank TO learning_app")
    cursor.execute("GRANT CREATE ON SCHEMA learning TO learning_search")
    cursor.execute("ALTER FUNCTION learning.rank OWNER TO learning_search")
    cursor.execute("REVOKE CREATE ON SCHEMA learning FROM learning_search")


_BEFORE = (
    ("v0003_text_arm.sql", "text_arm"),
    ("v0003_rank.sql", "vector_arm"),
    ("v0002_recall.sql", "recall"),
    ("v0005_recall.sql", "recall"),
)
"""The functions that are replaced, and the files in which they stand as they were."""


def _statement(file: str, function: str) -> str:
    written = (_HERE / file).read_text()
    start = written.index(f"CREATE FUNCTION learning.{function}(")
    end = "END $$;"
    return written[start : written.index(end, start) + len(end)]
