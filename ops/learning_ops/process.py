"""Child processes that never outlive this one.

A child runs in a session of its own, so that Ctrl-C in the terminal reaches only the parent, which then stops its
children in the order it wants. On Linux a child also receives its stop signal when the parent dies, however it dies.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from queue import SimpleQueue

from learning_ops.log_file import open_log

_TETHER = Path(__file__).with_name("tether.py")
_HEAD_BYTES, _TAIL_BYTES = 65_536, 8_192
_KILL_TIMEOUT = 5.0

# ProcessError
# ├── ProcessDied
# └── NotInTime (also a TimeoutError)


class ProcessError(Exception):
    """a child process did not do what it was started for"""


class ProcessDied(ProcessError):
    """NAME ended (exit code N) before WHAT; its log, PATH, ends: …"""

    def __init__(self, process: "ManagedProcess", what: str) -> None:
        self.process = process
        self.tail = process.log_tail()
        super().__init__(f"{process.name} ended ({process.ending}) before {what}; {_log_says(process, self.tail)}")


class NotInTime(ProcessError, TimeoutError):
    """SECONDS s passed without WHAT; the log of NAME, PATH, ends: …"""

    def __init__(self, timeout: float, what: str, processes: Sequence["ManagedProcess"]) -> None:
        logs = [f"\n{process.name}: {_log_says(process, process.log_tail())}" for process in processes]
        super().__init__(f"{timeout:g} s passed without {what}{''.join(logs)}")


def _log_says(process: "ManagedProcess", tail: str) -> str:
    return f"its log, {process.log_path}, ends:\n{tail}" if tail else f"its log, {process.log_path}, is empty"


class _Spawner(threading.Thread):
    """The thread that starts every child, and lives as long as the process.

    Linux sends the death signal when the *thread* that started the child ends, so a short-lived one must not start any.
    """

    def __init__(self) -> None:
        super().__init__(name="learning-spawner", daemon=True)
        self.pid = os.getpid()
        self._work: SimpleQueue[tuple[Future[None], Callable[[], None]]] = SimpleQueue()

    def submit(self, call: Callable[[], None]) -> Future[None]:
        future: Future[None] = Future()
        self._work.put((future, call))
        return future

    def run(self) -> None:
        while True:
            future, call = self._work.get()
            try:
                call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(None)


_spawner: _Spawner | None = None
_spawner_lock = threading.Lock()


def _spawn(call: Callable[[], None]) -> Future[None]:
    global _spawner
    with _spawner_lock:
        if _spawner is None or _spawner.pid != os.getpid():  # threads do not survive a fork
            _spawner = _Spawner()
            _spawner.start()
        return _spawner.submit(call)


class ManagedProcess:
    """One child process, its log file and its end.

    `env` replaces the environment (default: inherited); `log_path` receives stdout and stderr, appended, mode 0600;
    a log over 10 MiB is set aside before a start. What the child writes is of mode 0600 and 0700, by its umask.
    `stop_signal` asks for a clean end and is what the child gets when this process dies; after `stop_timeout` seconds
    comes `escalation`, if given, for as long again, then SIGKILL to the child's process group.
    `user` (root only) is the name of the system user to run as.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | os.PathLike[str]],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        *,
        log_path: Path,
        stop_signal: signal.Signals = signal.SIGTERM,
        stop_timeout: float = 10.0,
        escalation: signal.Signals | None = None,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.argv = [os.fspath(word) for word in argv]
        self.env = env
        self.cwd = cwd
        self.log_path = log_path
        self.stop_signal = stop_signal
        self.stop_timeout = stop_timeout
        self.escalation = escalation
        self.user = user
        self._popen: subprocess.Popen[bytes] | None = None
        self._spawning: Future[None] | None = None
        self._log_start = 0

    def start(self) -> None:
        """Start the program and return at once; it may be started again after it ended.

        Raises ProcessError if it is running already, OSError if it or its log cannot be opened.
        """
        if self.alive:
            raise ProcessError(f"{self.name} is running already (pid {self.pid})")
        self._spawning = _spawn(self._open)
        self._spawning.result()

    def _open(self) -> None:
        tether = [sys.executable, "-I", "-S", os.fspath(_TETHER), str(os.getpid()), str(int(self.stop_signal))]
        log = open_log(self.log_path)
        try:
            self._log_start = os.fstat(log).st_size
            self._popen = subprocess.Popen(
                [*tether, self.user or "", *self.argv],
                env=self.env,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)

    def stop(self) -> None:
        """Ask the program to end, wait, insist, kill; returns when it is gone. Nothing happens if it is gone already.

        Raises ProcessError if it survives SIGKILL, which only the kernel can bring about.
        """
        if self._spawning is not None:
            wait([self._spawning])  # a start that was interrupted may still be under way
        popen = self._popen
        if popen is None or not self.alive:
            return
        for number in (self.stop_signal, self.escalation):
            if number is not None:
                popen.send_signal(number)
                if self._ended_within(self.stop_timeout):
                    return
        self._kill_group(popen.pid)
        if not self._ended_within(_KILL_TIMEOUT):
            raise ProcessError(f"{self.name} (pid {popen.pid}) is still there after SIGKILL")

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the program ended by itself, at most `timeout` seconds; gives its return code.

        Raises ProcessError if it was never started, NotInTime.
        """
        if self._popen is None:
            raise ProcessError(f"{self.name} was not started")
        if not self._ended_within(timeout):
            raise NotInTime(timeout or 0.0, f"the end of {self.name}", [self])
        return self._popen.returncode

    def _ended_within(self, timeout: float | None) -> bool:
        assert self._popen is not None
        first = self._popen.returncode is None
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        if first:
            self._kill_group(self._popen.pid)  # at once, while the group's number cannot be anybody else's
        return True

    @staticmethod
    def _kill_group(group: int) -> None:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError:
            if sys.platform != "darwin":  # macOS says this of a group that has only a zombie left
                raise

    @property
    def alive(self) -> bool:
        """Whether the program is running. When it is found dead, what it left in its process group is killed."""
        return self._popen is not None and not self._ended_within(0)

    @property
    def returncode(self) -> int | None:
        """Exit code, minus the signal's number if a signal ended it, or None while it runs or was never started."""
        return None if self._popen is None or self.alive else self._popen.returncode

    @property
    def ending(self) -> str:
        """How it ended, for people."""
        code = self.returncode
        if code is None:
            return "not ended"
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

    @property
    def pid(self) -> int | None:
        """Process id of the running program, which is also its process group's; else None."""
        return self._popen.pid if self._popen is not None and self.alive else None

    def log_head(self) -> str:
        """What it wrote first since it was started, up to 64 KiB."""
        return self._logged(self._log_start, _HEAD_BYTES)

    def log_tail(self, lines: int = 30) -> str:
        """The last lines that it wrote since it was started."""
        try:
            end = self.log_path.stat().st_size
        except FileNotFoundError:
            return ""
        return "\n".join(self._logged(max(self._log_start, end - _TAIL_BYTES)).splitlines()[-lines:])

    def _logged(self, start: int, size: int = -1) -> str:
        try:
            with self.log_path.open("rb") as log:
                log.seek(start)
                return log.read(size).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""


def free_port(preferred: int | None = None) -> int:
    """A TCP port of 127.0.0.1 that nothing listens on at this moment: `preferred` where it is one."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do; TIME_WAIT is no hindrance
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                if port == 0:
                    raise
            else:
                return int(probe.getsockname()[1])
    raise AssertionError("port 0 either binds or raises")


def wait_until(
    condition: Callable[[], bool], timeout: float, what: str, *, alive: Sequence[ManagedProcess] = ()
) -> None:
    """Return once `condition()` is true; it is asked every 5 to 50 ms for at most `timeout` seconds.

    `what` completes "… before" and "… without". Raises ProcessDied as soon as one of `alive` has ended, NotInTime; both
    carry the end of the process's log.
    """
    deadline = time.monotonic() + timeout
    pause = 0.005
    while not condition():
        for process in alive:
            if not process.alive:
                raise ProcessDied(process, what)
        left = deadline - time.monotonic()
        if left <= 0:
            raise NotInTime(timeout, what, alive)
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, 0.05)
