"""Which versions run, and which are too old: Python, Postgres with pgvector, Redis."""

import platform
import sys
from collections.abc import Iterator

from learning_ops.doctor.deployment import Deployment, Server, rows
from learning_ops.doctor.finding import Finding, error, note, ok

OLDEST_PYTHON = (3, 11)
OLDEST_POSTGRES = 15
OLDEST_PGVECTOR = (0, 8)
OLDEST_REDIS = (6, 2)
"""XAUTOCLAIM, with which a dispatcher takes over what another had read."""


def python(_: Deployment) -> Iterator[Finding]:
    """This process's."""
    yield judged("Python", sys.version_info[:2], OLDEST_PYTHON, platform.python_version(), "install a newer Python")


def postgres(deployment: Deployment) -> Iterator[Finding]:
    """The server's, and whether something stands in between."""
    with deployment.postgres() as session:
        [(number, told, own, behind)] = rows(
            session,
            "SELECT current_setting('server_version_num')::int, current_setting('server_version'), "
            "pg_backend_pid(), current_setting('synchronous_commit')",
        )
        raw = session.connection().connection.dbapi_connection
        pooled = getattr(raw, "info", None) is not None and raw.info.backend_pid != own  # type: ignore[union-attr]  # psycopg's
    yield judged(
        "Postgres", (number // 10_000,), (OLDEST_POSTGRES,), told.split()[0], "upgrade the server with pg_upgrade"
    )
    if pooled:
        yield ok("a pooler stands before Postgres; statements are not prepared on its connections")
    if behind == "off":
        yield error(
            "synchronous_commit is off: what was accepted can be lost when Postgres is killed",
            "ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf()",
        )


def extensions(deployment: Deployment) -> Iterator[Finding]:
    """Whether pgvector is there."""
    with deployment.postgres() as session:
        found = rows(
            session,
            "SELECT a.name, e.extversion, n.nspname, a.default_version FROM pg_available_extensions a "
            "LEFT JOIN pg_extension e ON e.extname = a.name LEFT JOIN pg_namespace n ON n.oid = e.extnamespace "
            "WHERE a.name = 'vector'",
        )
    if not found:
        yield error("pgvector is not installed on the server", "install the server's package of pgvector, 0.8 or newer")
        return
    [(_, version, schema, newest)] = found
    if version is None:
        yield error(
            "the extension vector is not in this database", "CREATE EXTENSION vector WITH SCHEMA public, as one who may"
        )
        return
    yield judged("pgvector", parts(version), OLDEST_PGVECTOR, version, "ALTER EXTENSION vector UPDATE")
    if schema != "public":
        yield error(
            f"the extension vector is in the schema {schema}, where it is not looked for",
            "ALTER EXTENSION vector SET SCHEMA public",
        )
    if parts(version) < parts(newest):
        yield note(
            f"the server has pgvector {newest}, this database {version}", "ALTER EXTENSION vector UPDATE, as its owner"
        )


def redis(deployment: Deployment) -> Iterator[Finding]:
    """The streams' server and the broker's, where it is another one."""
    servers: tuple[Server, ...] = ("streams",) if deployment.one_redis() else ("streams", "broker")
    for server in servers:
        with deployment.redis(server) as client:
            info = client.info("server")
        # Valkey calls itself compatible with a version of Redis, and has its own besides.
        name, own = ("Valkey", info["valkey_version"]) if "valkey_version" in info else ("Redis", info["redis_version"])
        compatible = parts(str(info["redis_version"]))
        yield judged(name, compatible, OLDEST_REDIS, f"{own} ({server})", "upgrade the server")


def judged(name: str, version: tuple[int, ...], oldest: tuple[int, ...], told: str, remedy: str) -> Finding:
    """Whether a version is new enough."""
    if version < oldest:
        return error(f"{name} {told} is older than {'.'.join(map(str, oldest))}, which is needed", remedy)
    return ok(f"{name} {told}")


def parts(version: str) -> tuple[int, ...]:
    """`0.8.5` as numbers; what is no number ends them."""
    found: list[int] = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
    return tuple(found)
