"""Workers of one thread each, as operators start them, caught in the act: the model's answer is held until a test lets it go.

With one thread, what would be a second task is reserved, and waits in the worker.
"""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from celery import Celery

from harness import eventually, turn
from learning_machine import UserProfileConfig
from learning_ops.process import ManagedProcess
from tcp_proxy import TcpProxy

QUEUE = "learning.user_profile"
TASK = "learning.user_profile.extract"
_NOW: dict[str, Any] = {"user_profile": UserProfileConfig(debounce=0), "session_context": False}
_CELERY = str(Path(sys.executable).with_name("celery"))


class _ModelWire(TcpProxy):
    """While it is stalled, questions pass and answers do not."""

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            answers = source.getpeername() == self._target
            while data := source.recv(65536):
                if answers:
                    self._flows.wait()
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class Crew:
    """The workers of a system's user profiles, over the broker at `url`."""

    def __init__(self, system: Any, url: str, model: TcpProxy) -> None:
        self.system = system
        self._model = model
        self.operator = Celery("operator", broker=url, set_as_current=False)
        self.operator.conf.task_ignore_result = True
        self._alive: list[ManagedProcess] = []
        self._names: dict[str, str] = {}

    def one(self) -> ManagedProcess:
        """The one worker that runs: started where there is none, others ended."""
        self._alive = [worker for worker in self._alive if worker.alive]
        self.end(spared=1)
        return self._alive[0] if self._alive else self.another()

    def end(self, spared: int = 0) -> None:
        """End all workers but so many."""
        while len(self._alive) > spared:
            self._alive.pop().stop()

    def another(self, *settings: str) -> ManagedProcess:
        """One more, which takes work. `settings` are Celery's, as on its command line."""
        name = f"smoke{len(self._names)}"
        argv = [_CELERY, "-A", "learning_workers.app", "worker", "-Q", QUEUE, "-P", "threads", "-c", "1"]
        quiet = ["--without-mingle", "--without-gossip", "--loglevel", "INFO", "-n", f"{name}@%h"]
        worker = self.system.processes.start(name, [*argv, *quiet, *(["--", *settings] if settings else [])])
        self._alive.append(worker)
        self._names[name] = f"{name}@{socket.gethostname()}"
        eventually(lambda: said(worker, "ready."), "a worker takes work")
        return worker

    def address(self, worker: ManagedProcess) -> list[str]:
        """Where operators' commands for one worker go."""
        return [self._names[worker.name]]

    def ask(self, worker: ManagedProcess, command: str, **arguments: Any) -> Any:
        """A worker's answer to an operator's command, over a connection of its own."""
        with self.operator.connection() as connection:
            [answer] = self.operator.control.broadcast(
                command,
                arguments,
                self.address(worker),
                connection=connection,
                reply=True,
                limit=1,
                timeout=10,
            )
        return answer[self._names[worker.name]]

    def hear(self, *users: str, thing: str = "tea") -> None:
        """Let each of them say something, with intake done when this returns."""
        with self.system.place.machine(**_NOW) as machine:
            receipts = [
                machine.emit(turn(f"I love {thing}."), user_id=user, session_id="s1", history="delta") for user in users
            ]
        taken = "SELECT count(*) FROM learning.delivery WHERE event_id = ANY (:ids)"
        ids = [receipt.event_id for receipt in receipts]
        eventually(lambda: self.system.rows(taken, ids=ids) == [{"count": len(ids)}], f"intake of {users}")

    def busy_with(self, user: str) -> int:
        """Let a user say something, and wait until the model is asked about it; the process id of the worker.

        The model's answers are held until `answered`.
        """
        self._model.stall()
        before = self.system.model.requests
        self.hear(user)
        pid: int = self.system.holder(user)[0]
        eventually(lambda: self.system.model.requests > before, "the model is asked")
        return pid

    def answered(self) -> None:
        """Let the model's answers through."""
        self._model.go_on()

    def reserved(self, worker: ManagedProcess, user: str) -> str:
        """Let a user say something while a worker is busy; the id of the task that the worker has reserved."""
        self.hear(user)
        number = self.system.mailbox(user)["id"]

        def look() -> str | None:
            tasks = self.ask(worker, "reserved")
            return next((task["id"] for task in tasks if task["args"][0] == number), None)

        found = eventually(look, f"the nudge of {user} is reserved")
        assert found is not None
        return found

    def nudges_run_out(self) -> None:
        """The thirty seconds for which a nudge is waited for have passed."""
        self.system.change("UPDATE learning.mailbox SET nudged_until = now() WHERE nudged_until > now()")

    def assert_once(self, user: str, *things: str) -> None:
        """Wait until everything that a user said is settled: each was extracted, in one extraction, and is known once."""
        deliveries = self.system.settled(user, len(things))
        assert {(row["state"], row["attempts"]) for row in deliveries} == {("extracted", 1)}
        assert len(deliveries) == len(things)
        assert self.system.memories(user) == sorted(f"Likes {thing}" for thing in things)
        evidence = self.system.rows(
            "SELECT e.event_id, count(*) FROM learning.evidence e JOIN learning.learning l "
            "ON l.tenant = e.tenant AND l.id = e.learning_id WHERE l.user_id = :u GROUP BY 1",
            u=user,
        )
        assert [row["count"] for row in evidence] == [1] * len(things)


@contextmanager
def crew_of(system: Any, url: str) -> Iterator[Crew]:
    """A crew of a system over the broker at `url`, beside a dispatcher."""
    address = urlsplit(system.model.url)
    wire = _ModelWire(address.hostname or "", address.port or 0)
    wire.open()
    system.place.extra_env["LEARNING_MODEL_BASE_URL"] = f"http://127.0.0.1:{wire.port}{address.path}"
    system.processes.dispatcher()
    crew = Crew(system, url, wire)
    try:
        with crew.operator:
            yield crew
    finally:
        wire.cut()


def send(worker: ManagedProcess, number: signal.Signals) -> None:
    """Send a signal to a worker that runs."""
    pid = worker.pid
    assert pid is not None, f"{worker.name} has ended"
    os.kill(pid, number)


def said(worker: ManagedProcess, words: str, times: int = 1) -> bool:
    """Whether a worker's log has these words so often."""
    return worker.log_path.read_text().count(words) >= times
