"""How often learnings are recalled, and when last: a sample, for the curator. And look-ups by the words of ranking."""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """A table beside the learnings, which are never changed in place."""
    op.execute("""
        CREATE TABLE learning.recall_count (
            tenant           text        NOT NULL CHECK (tenant <> ''),
            learning_id      uuid        NOT NULL,
            recalled         bigint      NOT NULL,  -- about how often: one recall in a few is counted, as that many
            last_recalled_at timestamptz NOT NULL,
            PRIMARY KEY (tenant, learning_id),
            FOREIGN KEY (tenant, learning_id) REFERENCES learning.learning (tenant, id) ON DELETE CASCADE
        )
    """)
    op.execute("ALTER TABLE learning.recall_count ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE learning.recall_count FORCE ROW LEVEL SECURITY")
    op.execute("""
        CREATE POLICY one_tenant ON learning.recall_count TO learning_app
            USING (tenant = current_setting('learning.tenant', true))
            WITH CHECK (tenant = current_setting('learning.tenant', true))
    """)
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON learning.recall_count TO learning_app")
    op.get_bind().connection.cursor().execute((_HERE / "v0006_search.sql").read_text().encode())


def downgrade() -> None:
    """Forget the counts; look up as before."""
    op.execute("DROP TABLE learning.recall_count")
    op.execute("DROP FUNCTION learning.search(text[], text[], text, integer)")
    op.get_bind().connection.cursor().execute((_HERE / "v0002_search.sql").read_text().encode())
