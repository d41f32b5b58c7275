"""What the embedded servers have in common: a directory, a port that is kept, one process, no orphans."""

import errno
import os
import re
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from ..extras import require_extra
from ..process import ManagedProcess, ProcessDied, ProcessError, free_port, wait_until

_PORT_TAKEN = re.compile(re.escape(os.strerror(errno.EADDRINUSE)), re.IGNORECASE)
_PORTS_TRIED = 5
_READY_TIMEOUT = 60.0  # recovery after a crash replays a log


class EmbeddedServer(ABC):
    """A server on a loopback port that is kept from one start to the next where it is still free.

    `launch` and `wait_ready` are the two halves of `start`, so that several servers can start at the same time.
    """

    name: ClassVar[str]
    program: ClassVar[str]  # the file name of the executable, by which orphans are found

    def __init__(self, directory: Path, log_path: Path, password: str) -> None:
        self.directory = directory.absolute()
        self.log_path = log_path
        self.password = password
        self._process: ManagedProcess | None = None
        self._port: int | None = None

    @abstractmethod
    def _prepare(self) -> Path:
        """Make the directory ready; gives the one that the server works in."""

    @abstractmethod
    def _command(self, home: Path, port: int) -> ManagedProcess:
        """The process to start."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server does its work for a client with the password."""

    def launch(self) -> None:
        """Prepare the directory, stop an orphan that still works in it, start the process; do not wait for it.

        Raises MissingExtra, ProcessError, OSError.
        """
        require_extra("embedded", "psutil")
        from .inspection import stop_orphans

        if self.running:
            raise ProcessError(f"{self.name} is running already")
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        home = self._prepare()
        stop_orphans(self.program, home)
        self._launch_on(home, free_port(self._kept_port()))

    def _launch_on(self, home: Path, port: int) -> None:
        self._home = home
        self._port = port
        self._process = self._command(home, port)
        self._process.start()
        self._port_file.write_text(f"{port}\n")

    def wait_ready(self) -> None:
        """Return when the server serves, at most 60 s later; stops it where it does not. Raises ProcessError."""
        try:
            for attempt in range(_PORTS_TRIED):
                try:
                    wait_until(self._serves, _READY_TIMEOUT, f"{self.name} serving", alive=[self.process])
                except ProcessDied as died:
                    # Between choosing a port and listening on it somebody else may have taken it.
                    if attempt == _PORTS_TRIED - 1 or not _PORT_TAKEN.search(died.tail):
                        raise
                    self._launch_on(self._home, free_port())
                else:
                    return
        except BaseException:
            self.stop()
            raise

    def _serves(self) -> bool:
        from .inspection import listens

        pid = self.process.pid
        # Asked first, so that the password goes to no other process that may have taken the port.
        return pid is not None and listens(pid, self.port) and self._answers()

    def start(self) -> None:
        """`launch`, then `wait_ready`."""
        self.launch()
        self.wait_ready()

    def stop(self) -> None:
        """Stop the server cleanly and wait until it is gone; nothing happens if it is not running."""
        if self._process is not None:
            self._process.stop()

    @property
    def process(self) -> ManagedProcess:
        """The server's process. Raises ProcessError before the first launch."""
        if self._process is None:
            raise ProcessError(f"{self.name} was not started")
        return self._process

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.alive

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1. Raises ProcessError before the first launch."""
        if self._port is None:
            raise ProcessError(f"{self.name} was not started")
        return self._port

    @property
    def _port_file(self) -> Path:
        return self.directory / "port"

    def _kept_port(self) -> int | None:
        try:
            port = int(self._port_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return port if 1024 <= port <= 65535 else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
