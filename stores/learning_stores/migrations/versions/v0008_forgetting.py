"""Forgetting, replay and undo, and a ledger that adds up."""

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Run the revision's SQL as it stands beside this file."""
    op.get_bind().connection.cursor().execute((_HERE / "v0008_forgetting.sql").read_text().encode())


def downgrade() -> None:
    """Back to a version that forgets, replays and undoes nothing; what was forgotten stays so, receipts go."""
    op.get_bind().connection.cursor().execute((_HERE / "v0008_downgrade.sql").read_text().encode())
