"""The curator's runs: what upkeep is due, who works on it, how far it is, and what it did."""

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Run the revision's SQL as it stands beside this file."""
    op.get_bind().connection.cursor().execute((_HERE / "v0009_curator.sql").read_text().encode())


def downgrade() -> None:
    """Back to a version without a curator; what it retired stays retired, its reports go."""
    op.get_bind().connection.cursor().execute((_HERE / "v0009_downgrade.sql").read_text().encode())
