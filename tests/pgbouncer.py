"""A real PgBouncer before a test's Postgres, set as docs/deploy.md says, with very few server connections."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import URL, make_url

from learning_ops.embedded.system_user import system_user
from learning_ops.process import ManagedProcess, free_port, wait_until

DEPLOY = Path(__file__).parents[1] / "docs" / "deploy.md"

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="needs PgBouncer: apt-get install pgbouncer")


def documented(language: str) -> str:
    """The block of that language in the section about PgBouncer."""
    section = DEPLOY.read_text().split("\n## PgBouncer\n")[1].split("\n## ")[0]
    [found] = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return str(found)


class Bouncer:
    """A running one; `through(url)` is another address of the same database."""

    def __init__(self, port: int, process: ManagedProcess) -> None:
        self.port, self.process = port, process

    def through(self, url: str) -> str:
        """The address of a database by way of it."""
        return make_url(url).set(host="127.0.0.1", port=self.port).render_as_string(hide_password=False)

    @property
    def log(self) -> str:
        """What it has said."""
        return self.process.log_path.read_text()


@contextmanager
def bouncing(urls: list[str], pool_size: int) -> Iterator[Bouncer]:
    """PgBouncer for the users and the database of these addresses, with so many server connections for each user."""
    assert PROGRAM is not None
    target = make_url(urls[0])
    directory = Path(tempfile.mkdtemp(prefix="learning-bouncer-"))
    port = free_port()
    try:
        users = directory / "userlist.txt"
        users.write_text("".join(f'"{url.username}" "{url.password}"\n' for url in map(make_url, urls)))
        settings = directory / "pgbouncer.ini"
        settings.write_text(_settings(target, port, users, pool_size))
        user = system_user(directory / "nowhere")  # it refuses to run as root
        for path in (directory, users, settings):
            if user is not None:
                os.chown(path, user.pw_uid, user.pw_gid)
        process = ManagedProcess(
            "pgbouncer",
            [PROGRAM, settings],
            env={"PATH": os.defpath},
            cwd=directory,
            log_path=directory / "pgbouncer.log",
            user=user.pw_name if user else None,
        )
        process.start()
        bouncer = Bouncer(port, process)
        try:
            wait_until(lambda: _answers(bouncer.through(urls[0])), 30, "PgBouncer serving", alive=[process])
            yield bouncer
        finally:
            process.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _settings(target: URL, port: int, users: Path, pool_size: int) -> str:
    """What the docs say, at another address."""
    written = documented("ini")
    there: Mapping[str, str] = {
        r"^learning = .*$": f"{target.database} = host={target.host} port={target.port} dbname={target.database}",
        r"^listen_port = .*$": f"listen_port = {port}",
        r"^auth_file = .*$": f"auth_file = {users}",
        r"^default_pool_size = .*$": f"default_pool_size = {pool_size}",
    }
    for pattern, line in there.items():
        written, count = re.subn(pattern, line, written, flags=re.MULTILINE)
        assert count == 1, pattern
    return written


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
