"""What ranking needs: dates among a learning's words, where evidence was said, kept statistics, and the functions that rank."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Run the revision's SQL as it stands beside this file."""
    connection = op.get_bind()
    for name in ("v0003_signals.sql", "v0003_text_arm.sql", "v0003_rank.sql"):
        connection.connection.cursor().execute((_HERE / name).read_text().encode())


def downgrade() -> None:
    """Back to search by `ts_rank`: statistics and places of evidence go, and can be computed again."""
    connection = op.get_bind()
    connection.connection.cursor().execute((_HERE / "v0003_downgrade.sql").read_text().encode())
