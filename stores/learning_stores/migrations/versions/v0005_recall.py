"""Recall with a query, and as of a moment."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Run the revision's SQL as it stands beside this file."""
    op.get_bind().connection.cursor().execute((_HERE / "v0005_recall.sql").read_text().encode())


def downgrade() -> None:
    """Back to recall without a query."""
    op.execute(
        "DROP FUNCTION learning.recall(text, text, text, text, text[], text[], text[], integer, uuid[], text, text, real[], "
        "text, timestamptz, jsonb)"
    )
