"""A Postgres and a Redis-protocol server without Docker, an installation or a key.

Invariants:

- One process owns a data directory at a time (flock), and only the owner starts servers on it.
- A server listens on 127.0.0.1 alone, behind a password made for this directory.
- A server is a child in the foreground. It ends with its owner: by `stop`, and on Linux also when the owner is killed.
  What could still be left of an earlier owner is stopped before a server starts on the same directory.
- What was acknowledged is on disk: fsync for every commit and every append.
- Ports and passwords stay the same from one start to the next, as long as the ports are free.
"""

from contextlib import ExitStack
from types import TracebackType
from typing import Literal, Self

from ..process import ManagedProcess
from .data_directory import DataDirectory, DataDirectoryError, DataDirectoryInUse, DataDirectoryRefused
from .postgres import EmbeddedPostgres
from .redis import EmbeddedRedis
from .system_user import NoSystemUser

__all__ = [
    "DataDirectory",
    "DataDirectoryError",
    "DataDirectoryInUse",
    "DataDirectoryRefused",
    "EmbeddedPostgres",
    "EmbeddedRedis",
    "EmbeddedServices",
    "NoSystemUser",
]


class EmbeddedServices:
    """Both servers on one data directory, which the caller holds; they start side by side, and stop in reverse order.

    Either both run or none does: a failure to start stops what was started.
    """

    def __init__(self, data: DataDirectory, *, appendfsync: Literal["always", "everysec"] = "always") -> None:
        self.redis = EmbeddedRedis(
            data.path / "redis", data.log_path("redis"), data.secret("redis"), appendfsync=appendfsync
        )
        self.postgres = EmbeddedPostgres(data.path / "postgres", data.log_path("postgres"), data.secret("postgres"))
        self._stack = ExitStack()

    def start(self) -> None:
        """Return when both serve. Raises MissingExtra, NoSystemUser, ProcessError, OSError."""
        with ExitStack() as stack:
            for server in (self.redis, self.postgres):
                stack.callback(server.stop)
                server.launch()
            for server in (self.postgres, self.redis):
                server.wait_ready()
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """Stop both; nothing happens if they are not running."""
        self._stack.close()

    @property
    def processes(self) -> list[ManagedProcess]:
        """The servers' processes, in the order of their start."""
        return [self.redis.process, self.postgres.process]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
