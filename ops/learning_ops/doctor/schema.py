"""Whether the database is at this version's revision."""

from collections.abc import Iterator

from learning_ops.doctor.deployment import Deployment, rows
from learning_ops.doctor.finding import Finding, error, note, ok
from learning_ops.extras import require_extra


def revision(deployment: Deployment) -> Iterator[Finding]:
    """The newest revision that was run, beside the newest that this version knows. Only the owner's role may read it."""
    require_extra("ops", "alembic")
    from learning_ops.migration import head_revision, script_directory

    head = head_revision()
    owner = deployment.settings.owner_database_url
    if owner is None or not owner.get_secret_value().strip():
        yield note(
            f"the schema's revision was not looked at: this version's is {head}, and only the owner's role may read the "
            "database's",
            "set LEARNING_OWNER_DATABASE_URL for this command",
        )
        return
    with deployment.postgres("owner") as session:
        there = bool(rows(session, "SELECT 1 WHERE to_regclass('learning.alembic_version') IS NOT NULL"))
        found = rows(session, "SELECT version_num FROM learning.alembic_version") if there else []
    at = found[0][0] if found else None
    if at == head:
        yield ok(f"the schema is at {head}, this version's revision")
    elif at is None:
        yield error("the database has no schema of Learning Machine", "learning-machine migrate")
    elif at in {script.revision for script in script_directory().walk_revisions()}:
        yield error(f"the schema is at {at}, and this version needs {head}", "learning-machine migrate")
    else:
        yield note(
            f"the schema is at {at}, which is newer than this version knows ({head})",
            "upgrade learning-machine here; docs/upgrade.md says which versions run beside each other",
        )
