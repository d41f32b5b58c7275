"""Processes of Python that start in a tenth of the time: forked from one that has made the imports (see `warm_zygote`).

For tests of what a process does once it runs. What a start is like (flags, imports, exit of the interpreter's own start) is
tested with processes that are started plainly; so is whatever `WarmPython.takes` says no to.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from learning_ops.log_file import open_log
from learning_ops.process import ManagedProcess, wait_until
from warm_zygote import NUMBER

_ZYGOTE = Path(__file__).with_name("warm_zygote.py")

_READ_AT_IMPORT = tuple(
    """
    AZURE_ CELERY_ C_ FORCE_COLOR GITHUB_ACTIONS KOMBU_ LANG LC_ LD_ MP_ NO_COLOR OPENAI_API_ OPENAI_LOG OTEL_PYTHON_ PROMETHEUS_
    PSYCOPG_ PYDANTIC_ PYTHON PY_COLORS TERM TYPER_ WRAPT_ _TYPER_
    """.split()  # noqa: SIM905 - words in a column say no more
)
"""Beginnings of the names of variables that Python and the modules read before a request is there."""


def read_at_import(env: Mapping[str, str]) -> dict[str, str]:
    """What of an environment was read by then."""
    own = ("OPENAI_API_KEY", "PYTHONPATH")  # the one is read when it is needed, the other is looked at by itself
    return {name: value for name, value in env.items() if name.startswith(_READ_AT_IMPORT) and name not in own}


def _importable(place: Path) -> set[str]:
    found = {path for path in place.iterdir() if path.suffix in ("", ".py", ".pyc", ".so")}
    return {path.name.partition(".")[0] for path in found}


class WarmProcess:
    """A forked process, with the part of `subprocess.Popen` that the tests use."""

    def __init__(self, args: Sequence[str], connection: socket.socket) -> None:
        self.args = args
        self.returncode: int | None = None
        self._connection = (
            connection.detach()
        )  # where garbage is collected, a socket may warn before its owner closes it
        weakref.finalize(self, os.close, self._connection)
        self._lock = threading.Lock()
        self.pid = self._number()
        if self.pid < 0:
            raise ChildProcessError(f"no {' '.join(args)}: the warm Python's log says why")

    def _number(self) -> int:
        told = b""
        while len(told) < NUMBER.size:
            part = os.read(self._connection, NUMBER.size - len(told))
            if not part:
                raise ChildProcessError("the warm Python is gone, and nobody knows how its child ended")
            told += part
        return int(NUMBER.unpack(told)[0])

    def poll(self) -> int | None:
        """The exit code, minus the signal's number if a signal ended it; None while it runs."""
        with self._lock:
            if self.returncode is None and self._has_told(0):
                self.returncode = os.waitstatus_to_exitcode(~self._number())
            return self.returncode

    def _has_told(self, milliseconds: float | None) -> bool:
        told = select.poll()  # a new one, since a poll is no thing for two threads
        told.register(self._connection, select.POLLIN)
        return bool(told.poll(milliseconds))

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; raises `subprocess.TimeoutExpired`."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self._has_told(None if left is None else left * 1000 + 1)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, where it has not ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # the zygote knows of its end, and we do not yet
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class WarmPython:
    """What a zygote in `directory` is asked by. A child ends with whoever asked for it, and all of them with the zygote."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._socket = directory / "socket"
        self._modules = frozenset(json.loads((directory / "modules").read_text()))
        self._early = json.loads((directory / "early").read_text())

    def takes(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> bool:
        """Whether a fork is what a start would be: no flags, no variable read too early, no module in another's place."""
        if argv[0].startswith("-") and argv[0] not in ("-c", "-m"):
            return False
        if read_at_import(env) != self._early:
            return False
        places = [Path(cwd, path) for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
        if argv[0].startswith("-"):
            places.append(cwd)
        return not any(_importable(place) & self._modules for place in places if place.is_dir())

    def fork(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        streams: tuple[int, int, int],
        umask: int,
        death_signal: int = signal.SIGKILL,
    ) -> WarmProcess:
        """A process of `python ARGV`, leader of a session of its own; gets `death_signal` when this process dies."""
        request = json.dumps(
            {"argv": list(argv), "env": dict(env), "cwd": str(cwd), "umask": umask, "death_signal": int(death_signal)}
        ).encode()
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self._socket))
            socket.send_fds(connection, [NUMBER.pack(len(request))], streams)
            connection.sendall(request)
            return WarmProcess([sys.executable, *argv], connection)
        except BaseException:
            connection.close()
            raise


class OwnWarmPython(WarmPython):
    """A zygote from its start to its end; it ends with this process."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        directory = Path(tempfile.mkdtemp(prefix="learning-warm-"))
        left_out = ("LEARNING_", "OPENAI_", "PYTHONPATH")
        env = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        (directory / "early").write_text(json.dumps(read_at_import(env)))
        self.process = ManagedProcess(
            "warm-python",
            [sys.executable, _ZYGOTE, directory / "socket", directory / "modules"],
            env=env,
            log_path=directory / "log",
            stop_signal=signal.SIGKILL,
        )
        try:
            self.process.start()
            wait_until((directory / "socket").exists, 60, "the warm Python listens", alive=[self.process])
            super().__init__(directory)
        except BaseException:
            self._end(directory)
            raise

    def end(self) -> None:
        """Kill it; its children get their death signals."""
        self._end(self.directory)

    def _end(self, directory: Path) -> None:
        self.process.stop()
        shutil.rmtree(directory, ignore_errors=True)


_warm: OwnWarmPython | None = None
_joined: WarmPython | None = None
_warm_lock = threading.Lock()


def join(directory: Path) -> None:
    """Ask another process's zygote from now on."""
    global _joined
    _joined = WarmPython(directory)


def warm_python() -> WarmPython | None:
    """This process's zygote, started on first use; none where the system cannot tell of the end of a process by descriptor."""
    global _warm
    if _joined is not None:
        return _joined
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return None
    with _warm_lock:
        if _warm is None or _warm.owner != os.getpid():
            _warm = OwnWarmPython()
        return _warm


def end() -> None:
    """End this process's zygote, where there is one."""
    global _warm
    with _warm_lock:
        warm, _warm = _warm, None
        if warm is not None and warm.owner == os.getpid():
            warm.end()


class WarmManagedProcess(ManagedProcess):
    """A managed process of Python, forked where that is the same."""

    def start(self) -> None:
        """Start it; see `ManagedProcess`."""
        warm_python()  # not in the thread that starts processes, which starts this one
        super().start()

    def _open(self) -> None:
        warm = warm_python()
        env, cwd = os.environ if self.env is None else self.env, self.cwd or Path.cwd()
        if warm is None or self.user or self.argv[0] != sys.executable or not warm.takes(self.argv[1:], env, cwd):
            super()._open()
            return
        log = open_log(self.log_path)
        try:
            self._log_start = os.fstat(log).st_size
            with open(os.devnull, "rb") as nothing:
                streams = (nothing.fileno(), log, log)
                self._popen = warm.fork(  # type: ignore[assignment]  # as much of a Popen as is used
                    self.argv[1:], env=env, cwd=cwd, streams=streams, umask=0o077, death_signal=self.stop_signal
                )
        finally:
            os.close(log)


def _umask() -> int:
    """This process's: to ask the system for it is to set it, which other threads would see."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Umask:")]
    return int(line.split()[1], 8)


def warm_run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    timeout: float,
    stdin: str | IO[bytes] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """What `subprocess.run` gives of `python ARGV`, output as text; `stdin` is what it reads. Raises TimeoutExpired."""
    command = [sys.executable, *map(str, argv)]
    warm = warm_python()
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if isinstance(stdin, str):
            given.write(stdin.encode())
            given.seek(0)
        reads = stdin if stdin is not None and not isinstance(stdin, str) else given
        if warm is None or not warm.takes(command[1:], env, cwd):
            code = subprocess.run(
                command, env=env, cwd=cwd, timeout=timeout, stdin=reads, stdout=out, stderr=err, check=False
            ).returncode
        else:
            streams = (reads.fileno(), out.fileno(), err.fileno())
            process = warm.fork(command[1:], env=env, cwd=cwd, streams=streams, umask=_umask())
            try:
                code = process.wait(timeout)
            except BaseException:
                process.kill()
                process.wait()
                raise
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(command, code, out.read().decode(), err.read().decode())
