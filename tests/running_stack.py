"""`learning-machine` as people run it: a process of its own, in a directory of its own, looked at from outside."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

import forked_command
from harness import eventually, in_memory
from warm_python import WarmProcess, read_at_import, warm_python, warm_run

COMMAND = str(Path(sys.executable).with_name("learning-machine"))
START_SECONDS = 120.0


def clean_env(**more: str) -> dict[str, str]:
    """This process's environment without configuration of Learning Machine's or OpenAI's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LEARNING_", "OPENAI_"))}
    return {**kept, "COLUMNS": "100", **more}


def run(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None, stdin: str | None = None) -> Any:
    """Run a command to its end, forked from a Python that has the imports; gives returncode, stdout and stderr as text."""
    return warm_run([COMMAND, *arguments], cwd=cwd, env=clean_env() if env is None else env, stdin=stdin, timeout=100)


def started(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Any:
    """The same, as a shell starts it."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=cwd,
        env=clean_env() if env is None else env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def run_forking(*arguments: str, cwd: Path, env: Mapping[str, str]) -> Any:
    """`run` of a command that has a stack, whose processes are forked as well: for tests that look at none of them."""
    if warm_python() is None:
        return started(*arguments, cwd=cwd, env=env)
    argv, given = _forking(arguments, env)
    return warm_run(argv, cwd=cwd, env=given, timeout=100)


def _forking(arguments: tuple[str, ...], env: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """How it is asked of a forked process, for which what is read at import was read when this one's Python was warmed."""
    warm = warm_python()
    assert warm is not None
    early = read_at_import(env)
    given = {name: value for name, value in env.items() if name not in early} | read_at_import(os.environ)
    return [forked_command.__file__, *arguments], {**given, forked_command.VARIABLE: str(warm.directory)}


def processes_of(marker: Path) -> list[psutil.Process]:
    """Every process whose command line, working directory or environment names the directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            told = " ".join([*process.cmdline(), process.cwd(), *process.environ().values()])
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if str(marker) in told:
            found.append(process)
    return found


class Foreground:
    """A command that runs until it is told to stop; what it prints is in `output`.

    Where `forked`, it and what it starts are forked with their imports made: for tests that look at none of these processes.
    """

    def __init__(
        self, directory: Path, *arguments: str, env: Mapping[str, str] | None = None, forked: bool = False
    ) -> None:
        self._log = directory / f"output-{os.urandom(3).hex()}.txt"
        given = clean_env() if env is None else dict(env)
        self.process: subprocess.Popen[bytes] | WarmProcess
        with self._log.open("wb") as log:
            if forked and (warm := warm_python()) is not None:
                argv, given = _forking(arguments, given)
                assert warm.takes(argv, given, directory)
                with open(os.devnull, "rb") as nothing:
                    streams = (nothing.fileno(), log.fileno(), log.fileno())
                    self.process = warm.fork(argv, env=given, cwd=directory, streams=streams, umask=0o022)
                return
            self.process = subprocess.Popen(
                [COMMAND, *arguments],
                cwd=directory,
                env=given,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self._log.read_text()

    def until(self, pattern: str) -> None:
        """Wait for a line that matches; fails where the command ends before."""

        def printed() -> bool:
            if re.search(pattern, self.output, re.MULTILINE):
                return True
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.output}"
            return False

        eventually(printed, f"{pattern!r} in the output", timeout=START_SECONDS, every=0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait for the end; gives the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@contextmanager
def directory() -> Iterator[Path]:
    """A directory that Postgres's system user may pass through, removed at the end."""
    made = Path(tempfile.mkdtemp(prefix="learning-cli-", dir=in_memory()))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def up(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path, forked: bool = False) -> Iterator[Foreground]:
    """`learning-machine up`, ready; ended with the context, and nothing may be left of it then."""
    running = Foreground(cwd, "up", *arguments, env=env, forked=forked)
    try:
        running.until(r"^ready")
        yield running
    finally:
        running.stop()
    assert processes_of(cwd) == []


def secrets_of(data: Path) -> dict[str, str]:
    """The secrets that were made for a data directory."""
    return dict(json.loads((data / "secrets.json").read_text()))
