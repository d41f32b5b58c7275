"""Budgets, and what is reserved of them while a model is asked."""

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Run the revision's SQL as it stands beside this file."""
    op.get_bind().connection.cursor().execute((_HERE / "v0010_budget.sql").read_text().encode())


def downgrade() -> None:
    """Back to a version without budgets; those that were set go."""
    op.get_bind().connection.cursor().execute((_HERE / "v0010_downgrade.sql").read_text().encode())
