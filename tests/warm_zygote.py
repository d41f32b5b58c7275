"""A Python that has made the imports already, and forks where another program would be started. Linux only.

Run as a file by `warm_python`: `python warm_zygote.py SOCKET MODULES`. It imports what the tests' processes import, names the
modules in the file MODULES, and listens on SOCKET. A request is three descriptors, the length of a JSON object, and the object:
argv after the interpreter's name, environment, directory, umask and death signal. The child answers with its process id when it
is set up. From here follows, when it ended, the complement of its wait status: a negative number. A child whose asker closes the
connection before, as one that dies does, gets the death signal. Nothing that reads the environment or starts a thread is imported
before a fork: not the modules that look for the installed stores, since LEARNING_STORES names some of them.
"""

import atexit
import ctypes
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import sys
import time
from types import CodeType, ModuleType
from typing import Any

NUMBER = struct.Struct("!i")
"""A length, a process id or the complement of a wait status on the wire."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

HEAVY = """
    celery celery.bin.celery celery.apps.worker celery.app.amqp celery.app.control celery.app.events celery.app.log
    celery.apps.beat celery.beat celery.concurrency.solo celery.concurrency.thread celery.events.state celery.loaders.app
    celery.worker celery.worker.autoscale celery.worker.components celery.worker.consumer celery.worker.strategy
    celery.worker.consumer.delayed_delivery celery.worker.worker billiard.pool kombu.asynchronous kombu.transport.redis
    sqlalchemy sqlalchemy.orm sqlalchemy.dialects.postgresql.psycopg psycopg pgvector.sqlalchemy
    openai openai.types.responses openai.resources.responses openai.resources.embeddings openai.resources.chat.completions
    pydantic redis structlog rich.console rich.markdown rich.progress rich.table typer typer.rich_utils alembic.command
    learning_machine learning_machine.spool learning_ops.cli learning_ops.cli.output learning_ops.extras learning_ops.migration
    learning_stores.importing learning_stores.unprepared
""".split()  # noqa: SIM905 - a list of its names would be a page

FROM_THE_ENVIRONMENT = frozenset(
    f"learning_workers.{name}"
    for name in (
        "app",
        "backlog_metrics",
        "celery_config",
        "dispatcher",
        "dispatcher_exposure",
        "embedding_pump",
        "pump",
        "queues",
        "worker_exposure",
    )
)
"""What looks for the installed stores when it is imported, or imports what does."""


def preload() -> None:
    """Import what the tests' processes import; fails where that left something that no child may find."""
    import learning_workers
    from learning_stores import registry

    workers = {f"learning_workers.{found.name}" for found in pkgutil.iter_modules(learning_workers.__path__)}
    for name in [*HEAVY, *sorted(workers - FROM_THE_ENVIRONMENT)]:
        importlib.import_module(name)
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(f"the imports left {threads} threads")
    if registry._found is not None:
        raise RuntimeError("an import looked for the installed stores: FROM_THE_ENVIRONMENT lacks a module")
    gc.collect()
    gc.freeze()  # a collection in a child copies no page of what is here


class Zygote:
    """Waits for requests, forks, and tells how each child ended."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._poll = select.poll()
        # First, so that what comes gets no number of what ends in the same moment.
        self._poll.register(listening, select.POLLIN)
        self._children: dict[int, tuple[int, socket.socket]] = {}  # by the descriptor that tells of the end
        self._askers: dict[int, tuple[int, int]] = {}  # by the connection's: the child's, and its death signal
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl
        self.pid = os.getpid()

    def next_child(self) -> dict[str, Any]:
        """Serve; returns in each child, as the request says it should be, with that request."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._askers:
                    self._asker_gone(descriptor)
                elif descriptor in self._children:
                    self._ended(descriptor)
                elif descriptor == self._listening.fileno() and (asked := self._accept()) is not None:
                    return asked

    def _accept(self) -> dict[str, Any] | None:
        connection, _ = self._listening.accept()
        try:
            length, descriptors, _, _ = socket.recv_fds(connection, NUMBER.size, 3, socket.MSG_WAITALL)
            asked = connection.recv(NUMBER.unpack(length)[0], socket.MSG_WAITALL)
            request: dict[str, Any] = json.loads(asked)
        except (OSError, ValueError, struct.error) as error:  # whoever asked is gone, or is not one of us
            sys.stderr.write(f"no request: {error}\n")
            connection.close()
            return None
        child = os.fork()
        if child == 0:
            self._become(request, descriptors, connection)
            return request
        for descriptor in descriptors:
            os.close(descriptor)
        watched = os.pidfd_open(child)
        self._children[watched] = child, connection
        self._poll.register(watched, select.POLLIN)
        self._askers[connection.fileno()] = watched, request["death_signal"]
        self._poll.register(connection, select.POLLRDHUP)
        return None

    def _asker_gone(self, connection: int) -> None:
        self._poll.unregister(connection)
        watched, death_signal = self._askers.pop(connection)
        signal.pidfd_send_signal(watched, death_signal)

    def _ended(self, descriptor: int) -> None:
        child, connection = self._children.pop(descriptor)
        self._poll.unregister(descriptor)
        os.close(descriptor)
        if self._askers.pop(connection.fileno(), None) is not None:
            self._poll.unregister(connection)
        _, status = os.waitpid(child, 0)
        with connection:
            try:
                connection.sendall(NUMBER.pack(~status))
            except OSError as error:  # whoever asked does not want to know
                sys.stderr.write(f"{child} ended with {status}: {error}\n")

    def _become(self, request: dict[str, Any], descriptors: list[int], connection: socket.socket) -> None:
        os.setsid()
        if self._prctl(_PR_SET_PDEATHSIG, request["death_signal"], 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != self.pid:
            os._exit(1)  # it was killed before the signal was set
        self._listening.close()
        for watched, (_, other) in self._children.items():
            os.close(watched)
            other.close()
        for place, descriptor in enumerate(descriptors):
            os.dup2(descriptor, place)
            os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.umask(request["umask"])
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        time.tzset()
        with connection:
            connection.sendall(NUMBER.pack(os.getpid()))


def _open_streams() -> None:
    """Open them anew: what a stream found out about its file when the zygote started is not so of the child's."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        was = getattr(sys, name)
        through = was.write_through  # PYTHONUNBUFFERED
        buffer = open(number, "wb" if number else "rb", 0 if through and number else -1, closefd=False)  # noqa: SIM115 - it stays
        by_line = not through and (number == 2 or os.isatty(number))
        stream = io.TextIOWrapper(buffer, was.encoding, was.errors, line_buffering=by_line, write_through=through)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _look_where(first: str, rest: list[str]) -> None:
    paths = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [first, *paths, *rest]
    importlib.invalidate_caches()


def _program(argv: list[str], rest: list[str]) -> tuple[str | None, CodeType | None, ModuleType]:
    """What argv says to run: a module's name, or code and the module that it runs in."""
    main = ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.orig_argv[:] = [sys.executable, *argv]
    if argv[0] == "-m":
        sys.argv[:] = argv[:1] + argv[2:]
        _look_where(os.getcwd(), rest)
        return argv[1], None, main
    if argv[0] == "-c":
        sys.argv[:] = argv[:1] + argv[2:]
        _look_where("", rest)
        return None, compile(argv[1], "<string>", "exec"), main
    sys.argv[:] = argv
    _look_where(os.path.dirname(os.path.realpath(argv[0])), rest)
    main.__file__ = argv[0]
    with open(argv[0], "rb") as source:
        return None, compile(source.read(), argv[0], "exec"), main


def serve(path: str, modules: str) -> dict[str, Any]:
    """Import, say what was imported, and listen; returns in each child."""
    preload()
    with open(modules, "w") as file:
        json.dump(sorted({name.partition(".")[0] for name in sys.modules}), file)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{path}.new")
    listening.listen(64)
    os.rename(f"{path}.new", path)  # where it is there, it listens
    return Zygote(listening).next_child()


class _End:
    """The last thing that a child does: what an interpreter would do then, but for taking every module apart.

    That is a tenth of a second for what is imported here, most of it spent on copies of the zygote's pages.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        atexit.register(self._leave)  # first here, so last of all

    def __enter__(self) -> None:
        self.code = 0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, SystemExit):
            said = error.code
            self.code = 0 if said is None else said if isinstance(said, int) else 1
        elif isinstance(error, KeyboardInterrupt):
            self.code = None  # Python ends by the signal then
        elif error is not None:
            self.code = 1

    def _leave(self) -> None:
        if self.code is None:
            return
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None and not stream.closed:
                    stream.flush()
            except OSError:
                return  # Python has an exit code of its own for that
        os._exit(self.code & 0xFF)


if __name__ == "__main__":
    # What is run is run from here, at the top: the interpreter then ends as it does after any other program.
    _rest = sys.path[1:]
    _end = _End()
    _request = serve(*sys.argv[1:])
    _open_streams()
    _module, _code, _main = _program(_request["argv"], _rest)
    with _end:
        if _module is not None:
            runpy._run_module_as_main(_module)  # what `python -m` itself calls
        else:
            exec(_code, _main.__dict__)
