"""Verdicts: what a judge said of pairs, for the curator."""

from pathlib import Path

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Run the revision's SQL as it stands beside this file."""
    op.get_bind().connection.cursor().execute((_HERE / "v0011_verdict.sql").read_text().encode())


def downgrade() -> None:
    """Back to a version without verdicts; what was judged is asked again."""
    op.get_bind().connection.cursor().execute((_HERE / "v0011_downgrade.sql").read_text().encode())
