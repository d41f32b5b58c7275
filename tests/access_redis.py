"""Redis servers of a test's own with the users of docs/deploy.md: the embedded one, and Debian's with TLS."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
import redis

from learning_ops.embedded import DataDirectory, EmbeddedRedis
from learning_ops.process import ManagedProcess, free_port, wait_until

DEPLOY = Path(__file__).parents[1] / "docs" / "deploy.md"
REDIS_SERVER = shutil.which("redis-server")
OPENSSL = shutil.which("openssl")
needs_tls = pytest.mark.skipif(
    REDIS_SERVER is None or OPENSSL is None,
    reason="needs a Redis with TLS, which the embedded one is built without: apt-get install redis-server openssl",
)
PASSWORDS = {"learning_producer": "producer-in-tests", "learning_services": "services-in-tests"}


def documented_users() -> list[str]:
    """The lines of an ACL file in the section about users, with the tests' passwords."""
    section = DEPLOY.read_text().split("\n### Users\n")[1].split("\n### ")[0]
    [written] = re.findall(r"```\n(user .*?)```", section, re.DOTALL)
    for user, password in PASSWORDS.items():
        placeholder = f"{user.removeprefix('learning_').upper()}_PASSWORD"
        assert placeholder in written
        written = written.replace(placeholder, password)
    return str(written).splitlines()


def documented_parameters(authority: Path) -> str:
    """What the URL in the section about TLS has behind its `?`, with the tests' certificate of the authority."""
    section = DEPLOY.read_text().split("\n### TLS\n")[1].split("\n### ")[0]
    [names] = re.findall(r"^rediss://\S+\?(\S+)$", section, re.MULTILINE)
    parameters = dict(pair.split("=", 1) for pair in names.split("&"))
    assert set(parameters) == {"ssl_ca_certs"}
    return urlencode({**parameters, "ssl_ca_certs": os.fspath(authority)})


@dataclass(frozen=True, kw_only=True)
class Access:
    """A running server: its addresses for the two users, and for the test itself, who may everything."""

    producer_url: str
    services_url: str
    admin_url: str

    def refused(self) -> list[str]:
        """Which commands, keys or channels were refused to whom since it started."""
        with redis.Redis.from_url(self.admin_url, decode_responses=True) as client:
            return [
                f"{each['username']} {each['context']} {each['reason']} {each['object']}" for each in client.acl_log()
            ]

    def forget_refused(self) -> None:
        """Begin that list anew."""
        with redis.Redis.from_url(self.admin_url) as client:
            client.acl_log_reset()


@contextmanager
def embedded() -> Iterator[Access]:
    """The embedded server, without TLS; its own user is the test's."""
    with (
        tempfile.TemporaryDirectory(prefix="learning-redis-") as closed,
        DataDirectory(Path(closed) / "data") as data,
        EmbeddedRedis(data.path / "redis", data.log_path("redis"), data.secret("redis")) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        for line in documented_users():
            _, name, *rules = line.split()
            if name != "default":
                client.execute_command("ACL", "SETUSER", name, *rules)
        urls = {name: f"redis://{name}:{secret}@127.0.0.1:{server.port}/0" for name, secret in PASSWORDS.items()}
        yield Access(
            producer_url=urls["learning_producer"], services_url=urls["learning_services"], admin_url=server.url
        )


@contextmanager
def with_tls() -> Iterator[Access]:
    """Debian's server over TLS alone, with the users from a file, and the default one off."""
    assert REDIS_SERVER is not None
    directory = Path(tempfile.mkdtemp(prefix="learning-tls-"))
    try:
        authority = certificates(directory)
        users = directory / "users.acl"
        users.write_text("\n".join([*documented_users(), "user tests on >tests ~* &* +@all", ""]))
        port = free_port()
        settings = {
            "bind": "127.0.0.1", "port": 0, "tls-port": port, "tls-auth-clients": "no", "tls-ca-cert-file": authority,
            "tls-cert-file": directory / "server.pem", "tls-key-file": directory / "server.key", "aclfile": users,
            "save": '""', "appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction",
        }  # fmt: skip  # a line a subject
        configuration = directory / "redis.conf"
        configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        process = ManagedProcess("redis-tls", [REDIS_SERVER, configuration], cwd=directory, log_path=directory / "log")
        behind = f"127.0.0.1:{port}/0?{documented_parameters(authority)}"
        access = Access(
            producer_url=f"rediss://learning_producer:{PASSWORDS['learning_producer']}@{behind}",
            services_url=f"rediss://learning_services:{PASSWORDS['learning_services']}@{behind}",
            admin_url=f"rediss://tests:tests@{behind}",
        )
        process.start()
        try:
            wait_until(lambda: _answers(access.admin_url), 30, "Redis serving over TLS", alive=[process])
            yield access
        finally:
            process.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def certificates(directory: Path) -> Path:
    """An authority (whose certificate is returned) and a server's certificate for 127.0.0.1 and localhost."""
    assert OPENSSL is not None
    extension = directory / "extension"
    extension.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for arguments in (
        ["req", "-x509", *key, "-days", "2", "-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.pem"],
        ["req", *key, "-subj", "/CN=redis", "-keyout", "server.key", "-out", "server.csr"],
        ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
         "-extfile", "extension", "-out", "server.pem"],
    ):  # fmt: skip  # as on a command line
        subprocess.run([OPENSSL, *arguments], cwd=directory, check=True, capture_output=True)
    return directory / "ca.pem"


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=5) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
