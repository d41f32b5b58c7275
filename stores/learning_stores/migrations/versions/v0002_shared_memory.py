"""Entities and insights that are shared, writes by tools and people, proposals, and search by text."""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Run the revision's SQL as it stands beside this file."""
    connection = op.get_bind()
    for name in ("v0002_shared_memory.sql", "v0002_search.sql", "v0002_recall.sql"):
        connection.connection.cursor().execute((_HERE / name).read_text().encode())


def downgrade() -> None:
    """Back to one user's memory: proposals, relationships and aliases stay as rows that the older version does not show."""
    connection = op.get_bind()
    connection.connection.cursor().execute((_HERE / "v0002_downgrade.sql").read_text().encode())
