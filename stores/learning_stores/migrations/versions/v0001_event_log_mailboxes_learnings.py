"""The event log, the mailboxes, the learnings, recall, and who may touch what."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Run the revision's SQL as it stands beside this file."""
    connection = op.get_bind()
    for name in ("v0001_event_log_mailboxes_learnings.sql", "v0001_recall.sql"):
        # Through the driver: `%` and `:` in these files are SQL, not parameters.
        connection.connection.cursor().execute((_HERE / name).read_text().encode())


def downgrade() -> None:
    """Remove everything that this revision made. The vector extension stays: others may use it."""
    op.execute("DROP FUNCTION learning.recall")
    for table in (
        "learning_embedding", "evidence", "learning", "entity", "model_call", "extraction", "rejected_event", "producer_seq",
        "dispatcher", "shard_lease", "mailbox", "delivery", "session_message", "conversation_event", "subject", "machine_spec",
    ):  # fmt: skip
        op.execute(f"DROP TABLE learning.{table}")
    op.execute("DROP SEQUENCE learning.acceptance_number, learning.lease_token")
