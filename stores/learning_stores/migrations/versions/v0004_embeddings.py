"""Embeddings: which models a tenant's memory is embedded with, and what is still to be embedded."""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Run the revision's SQL as it stands beside this file."""
    op.get_bind().connection.cursor().execute((_HERE / "v0004_embeddings.sql").read_text().encode())


def downgrade() -> None:
    """Forget models, work list and refusals; the vectors stay."""
    op.execute("DROP TRIGGER embedding_due_added ON learning.learning")
    op.execute("DROP TRIGGER embedding_due_changed ON learning.learning")
    op.execute("DROP FUNCTION learning.embedding_due_added, learning.embedding_due_changed")
    op.execute("DROP TABLE learning.embedding_due, learning.embedding_refused, learning.embedding_model")
    op.execute("ALTER TABLE learning.learning_embedding DROP COLUMN dimensions")
