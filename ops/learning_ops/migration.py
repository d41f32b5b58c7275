"""Bringing a database to the schema of this version: roles, schema, revisions."""

from collections.abc import Mapping

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url

from learning_schemas.errors import LearningMachineError
from learning_stores.database import driver_url
from learning_stores.roles import OWNER, SEARCH, create_roles_sql, may_create_roles, missing_grants, missing_roles

_LOCK = 0x1EA2_4E55  # one migration at a time on one database


class RolesMissing(LearningMachineError):
    """Roles are missing and this user may not create them; `.statements` is the SQL for somebody who may."""

    def __init__(self, statements: list[str]) -> None:
        super().__init__(
            "the database lacks roles or grants, and this user may not make them. Run this as one who may, then migrate again:\n"
            + "\n".join(f"  {statement};" for statement in statements)
        )
        self.statements = statements


def script_directory() -> ScriptDirectory:
    """The revisions."""
    return ScriptDirectory.from_config(_config())


def head_revision() -> str:
    """The newest revision that this version knows."""
    head = script_directory().get_current_head()
    assert head is not None
    return head


def migrate(owner_url: str, login_urls: Mapping[str, str], revision: str = "head") -> tuple[str | None, str | None]:
    """Make roles and schema where they are missing, then run the revisions up to `revision`.

    `login_urls` maps a role to the URL with which it logs in: its password is given to the role when it is made.
    Returns the revisions before and after. Raises `RolesMissing`.
    """
    passwords = {role: make_url(url).password or "" for role, url in login_urls.items()}
    # The URL's password, not a masked one, is what a role is made with.
    engine = create_engine(driver_url(owner_url), hide_parameters=True)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            _prepare_roles(connection, {role: str(password) for role, password in passwords.items()})
            before = MigrationContext.configure(
                connection, opts={"version_table_schema": "learning"}
            ).get_current_revision()
            config = _config()
            config.attributes["connection"] = connection
            if revision in ("base",) or (before is not None and _is_older(revision, before)):
                command.downgrade(config, revision)
            else:
                command.upgrade(config, revision)
            after = MigrationContext.configure(
                connection, opts={"version_table_schema": "learning"}
            ).get_current_revision()
            return before, after
    finally:
        engine.dispose()


def _prepare_roles(connection: Connection, passwords: Mapping[str, str]) -> None:
    missing = missing_roles(connection)
    if missing:
        # What is shown to an operator names no password.
        shown = [*create_roles_sql(missing, dict.fromkeys(passwords, "…")), f"GRANT {SEARCH} TO {OWNER}"]
        if not may_create_roles(connection):
            raise RolesMissing(shown)
        for statement in create_roles_sql(missing, passwords):
            connection.exec_driver_sql(statement.replace("%", "%%"))
    grants = missing_grants(connection)
    if grants and not may_create_roles(connection):
        raise RolesMissing(grants)
    for statement in grants:
        connection.exec_driver_sql(statement)
    user = connection.scalar(text("SELECT current_user"))
    if user != OWNER:
        database = connection.dialect.identifier_preparer.quote(
            str(connection.scalar(text("SELECT current_database()")))
        )
        connection.exec_driver_sql(f"GRANT {OWNER} TO CURRENT_USER")
        connection.exec_driver_sql(f"GRANT CREATE ON DATABASE {database} TO {OWNER}")
        connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public")
        connection.exec_driver_sql(f"SET LOCAL ROLE {OWNER}")
    connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS learning")


def _is_older(revision: str, than: str) -> bool:
    scripts = script_directory()
    return revision in {script.revision for script in scripts.iterate_revisions(than, "base")} - {than}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "learning_stores:migrations")
    config.set_main_option("path_separator", "os")
    return config
