"""Who may see what: the four roles, those who log in, and row-level security table by table."""

from collections.abc import Iterator
from typing import Any

from learning_ops.doctor.deployment import Deployment, Role, rows
from learning_ops.doctor.finding import Finding, error, ok, warning
from learning_stores.roles import APP, DISPATCHER, OWNER, ROLES, SEARCH

_ROLES = "SELECT rolname, rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = ANY (:roles)"

_MINE = "tenant = current_setting('learning.tenant', true)"

# A tenant's table has the one policy for the app, and it goes by the transaction's tenant; any other has none for the app.
_TABLES = """
    SELECT c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
           EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant' AND a.attnotnull) AS tenant,
           EXISTS (SELECT FROM pg_policies p WHERE p.schemaname = 'learning' AND p.tablename = c.relname
                   AND p.policyname = 'one_tenant' AND p.roles @> '{learning_app}' AND p.cmd = 'ALL'
                   AND p.permissive = 'PERMISSIVE' AND p.qual LIKE '%tenant = current_setting(%learning.tenant%'
                   AND p.with_check LIKE '%tenant = current_setting(%learning.tenant%') AS one_tenant,
           ARRAY(SELECT p.policyname::text FROM pg_policies p WHERE p.schemaname = 'learning' AND p.tablename = c.relname
                 AND (p.roles @> '{learning_app}' OR p.roles @> '{public}') AND p.policyname <> 'one_tenant'
                 ORDER BY 1) AS others
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'learning' AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version' ORDER BY 1
"""

_LOGIN = """
    SELECT r.rolname, r.rolsuper, r.rolbypassrls,
           ARRAY(SELECT m.rolname::text FROM pg_roles m WHERE m.rolname = ANY (:roles) AND m.rolname <> r.rolname
                 AND pg_has_role(r.rolname, m.oid, 'MEMBER') ORDER BY 1) AS member_of
    FROM pg_roles r WHERE r.rolname = current_user
"""


def roles(deployment: Deployment) -> Iterator[Finding]:
    """The four roles: that they are there, and that none sees past row-level security."""
    with deployment.postgres() as session:
        found = {row.rolname: row for row in rows(session, _ROLES, roles=list(ROLES))}
    wrong = False
    for role in ROLES:
        for finding in _role(role, found.get(role)):
            wrong = True
            yield finding
    if not wrong:
        yield ok(f"the roles {', '.join(ROLES)} are there, and none sees past row-level security")


def _role(role: str, row: Any) -> Iterator[Finding]:
    if row is None:
        yield error(f"the role {role} is missing", "learning-machine migrate")
        return
    if row.rolsuper:
        yield error(f"the role {role} is a superuser, whom no policy binds", f"ALTER ROLE {role} NOSUPERUSER")
    if row.rolbypassrls:
        yield error(f"the role {role} has BYPASSRLS, so that no policy binds it", f"ALTER ROLE {role} NOBYPASSRLS")
    if role == SEARCH and row.rolcanlogin:
        yield warning(f"the role {role} may log in, and nobody is to", f"ALTER ROLE {role} NOLOGIN")


def logins(deployment: Deployment) -> Iterator[Finding]:
    """Who really logs in with the two addresses, which need not be the roles themselves."""
    expected: dict[Role, tuple[str, set[str]]] = {
        "app": (APP, {APP}),
        "dispatcher": (DISPATCHER, {DISPATCHER}),
    }
    for login, (role, allowed) in expected.items():
        _, variable = deployment.address(login)
        with deployment.postgres(login) as session:
            [row] = rows(session, _LOGIN, roles=list(ROLES))
        remedy = f"let {variable} name the role {role}, or a user that is a member of it alone"
        if row.rolsuper or row.rolbypassrls:
            power = "is a superuser" if row.rolsuper else "has BYPASSRLS"
            yield error(f"{variable} logs in as {row.rolname}, who {power}: no policy binds it", remedy)
        elif row.rolname == OWNER or (wider := set(row.member_of) - allowed):
            told = OWNER if row.rolname == OWNER else ", ".join(sorted(wider))
            yield error(f"{variable} logs in as {row.rolname}, who has the rights of {told}", remedy)
        elif row.rolname != role and role not in row.member_of:
            yield error(f"{variable} logs in as {row.rolname}, who is no {role}", remedy)
        else:
            yield ok(f"{variable} logs in as {row.rolname}, with the rights of {role} alone")


def policies(deployment: Deployment) -> Iterator[Finding]:
    """Row-level security of each of our tables: enabled, forced, and one tenant a transaction for the app."""
    with deployment.postgres() as session:
        tables = rows(session, _TABLES)
    if not tables:
        yield error("there is no table of Learning Machine that this role sees", "learning-machine migrate")
        return
    wrong = [finding for table in tables for finding in _table(table)]
    yield from wrong
    if not wrong:
        yield ok(f"row-level security is enabled and forced on each of {len(tables)} tables")


def _table(table: Any) -> Iterator[Finding]:
    name = f"learning.{table.name}"
    if not table.enabled:
        yield error(f"row-level security is off on {name}", f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    if not table.forced:
        yield error(
            f"row-level security does not bind the owner of {name}", f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY"
        )
    if table.tenant and not table.one_tenant:
        remedy = (
            f"DROP POLICY IF EXISTS one_tenant ON {name}; "
            f"CREATE POLICY one_tenant ON {name} TO learning_app USING ({_MINE}) WITH CHECK ({_MINE})"
        )
        yield error(f"{name} has no policy that keeps the app to its tenant", remedy)
    for policy in table.others:
        yield error(f"the policy {policy} on {name} gives the app more", f'DROP POLICY "{policy}" ON {name}')
