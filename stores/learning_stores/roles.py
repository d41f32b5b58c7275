"""The four database roles, and the SQL that makes them.

`learning_owner` owns the tables; `learning_app` serves agents and workers, one tenant at a time; `learning_dispatcher`
moves events over all tenants and reads nothing that was learned; nobody logs in as `learning_search`.
"""

from collections.abc import Mapping

from psycopg import sql
from sqlalchemy import Connection, text

OWNER, APP, DISPATCHER, SEARCH = "learning_owner", "learning_app", "learning_dispatcher", "learning_search"
ROLES = (OWNER, APP, DISPATCHER, SEARCH)


def missing_roles(connection: Connection) -> list[str]:
    """Those of the four roles that the server does not have."""
    found = set(connection.scalars(text("SELECT rolname FROM pg_roles WHERE rolname LIKE 'learning%'")))
    return [role for role in ROLES if role not in found]


def may_create_roles(connection: Connection) -> bool:
    """Whether this connection's user can make them."""
    return bool(connection.scalar(text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")))


def create_roles_sql(roles: list[str], passwords: Mapping[str, str]) -> list[str]:
    """One statement a role. A role with a password may log in; none of them may see past row-level security."""
    statements = []
    for role in roles:
        login = (
            sql.SQL("LOGIN PASSWORD {}").format(sql.Literal(passwords[role]))
            if role in passwords
            else sql.SQL("NOLOGIN")
        )
        statements.append(sql.SQL("CREATE ROLE {} {} NOBYPASSRLS").format(sql.Identifier(role), login).as_string())
    return statements


def missing_grants(connection: Connection) -> list[str]:
    """What lets the owner hand the search functions to `learning_search`, as far as it is missing; the roles are there.

    The owner may become that role and does not inherit from it where the server can tell these apart (Postgres 16): as itself
    it keeps seeing no rows.
    """
    version = int(str(connection.scalar(text("SHOW server_version_num"))))
    may = "SET" if version >= 160_000 else "MEMBER"
    if connection.scalar(
        text("SELECT pg_has_role(:owner, :search, :may)"), {"owner": OWNER, "search": SEARCH, "may": may}
    ):
        return []
    options = " WITH INHERIT FALSE, SET TRUE" if version >= 160_000 else ""
    return [f"GRANT {SEARCH} TO {OWNER}{options}"]
