"""The system under test, all real processes: servers with fsync, wires to them, model, dispatchers, workers, producers."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import redis
from sqlalchemy.engine import make_url

from chaos.load import STORES, Load
from chaos.wire import Wire, Wires
from harness import PASSWORDS
from learning_ops.embedded import DataDirectory, EmbeddedServices
from learning_ops.embedded.server import EmbeddedServer
from learning_ops.migration import migrate
from learning_ops.process import ManagedProcess, free_port, wait_until
from learning_ops.readiness import says_ready, serves
from learning_stores.database import Database

SIDES = ("producers", "dispatchers", "workers")
DATABASE = "chaos"
START_SECONDS = 60.0
_THREADS = 8


class Ground:
    """Everything that runs, by name, and direct ways to the servers for who looks on."""

    def __init__(self, load: Load, directory: Path, services: EmbeddedServices) -> None:
        self.load = load
        self.directory = directory
        self.services = services
        self.servers: dict[str, EmbeddedServer] = {"postgres": services.postgres, "redis": services.redis}
        ports = {server: partial(_port, each) for server, each in self.servers.items()}
        self.wires = Wires({f"{side}-{server}": ports[server] for side in SIDES for server in ports})
        self.processes: dict[str, ManagedProcess] = {}
        self.producers: list[ManagedProcess] = []
        self.journals: list[Path] = []

    @property
    def dispatchers(self) -> list[str]:
        """Their names."""
        return [name for name in self.processes if name.startswith("dispatcher")]

    @property
    def workers(self) -> list[str]:
        """Their names."""
        return [name for name in self.processes if name.startswith("worker")]

    @property
    def spool(self) -> Path:
        """The producers' spool directory, in a run that has one."""
        return self.directory / "spool"

    def wire(self, name: str) -> Wire:
        """The wire between a side and a server, such as `workers-redis`."""
        return self.wires.by_name[name]

    def database(self) -> Database:
        """As the superuser, not through a wire."""
        return Database(self.services.postgres.url(DATABASE), connect_seconds=2, answer_seconds=10)

    def redis(self) -> Any:
        """A client of the Redis-protocol server, not through a wire."""
        return redis.Redis.from_url(self.services.redis.url, socket_timeout=5)

    def env(self, side: str | None) -> dict[str, str]:
        """The environment of a process on one side; for None, one that uses no wire."""
        postgres, redis_url = self.services.postgres, self.services.redis.url
        urls = {
            "LEARNING_DATABASE_URL": postgres.url(DATABASE, "learning_app", PASSWORDS["learning_app"]),
            "LEARNING_DISPATCHER_DATABASE_URL": postgres.url(
                DATABASE, "learning_dispatcher", PASSWORDS["learning_dispatcher"]
            ),
            "LEARNING_REDIS_URL": redis_url,
        }
        if side is not None:
            ways = {name: "redis" if name == "LEARNING_REDIS_URL" else "postgres" for name in urls}
            urls = {name: _through(url, self.wire(f"{side}-{ways[name]}").port) for name, url in urls.items()}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LEARNING_", "OPENAI_"))}
        roots = os.fspath(Path(__file__).parents[1])
        path = os.pathsep.join(each for each in (roots, inherited.get("PYTHONPATH")) if each)
        return {**inherited, **urls, "PYTHONPATH": path}

    def process(self, name: str, argv: list[str], env: Mapping[str, str]) -> ManagedProcess:
        """A process of this Python; not started."""
        return ManagedProcess(
            name,
            [sys.executable, *argv],
            env=env,
            cwd=self.directory,
            log_path=self.directory / f"{name}.log",
            stop_signal=signal.SIGKILL,  # also what it gets when the run is killed: it may be stopped at that moment
        )

    def add(self, name: str, argv: list[str], env: Mapping[str, str]) -> ManagedProcess:
        """Start a process that is to run until the end."""
        process = self.processes[name] = self.process(name, argv, env)
        process.start()
        return process

    def start(self) -> None:
        """Start the model, two dispatchers and two workers, and wait until they work."""
        port = free_port()
        model = self.add("model", ["-m", "chaos.model", self.load.to_json(), str(port)], self.env(None))
        at_model = {
            "LEARNING_MODEL": "offline-rules-1",
            "LEARNING_MODEL_BASE_URL": f"http://127.0.0.1:{port}/v1",
            "LEARNING_MODEL_API_KEY": "not-a-key",
        }
        for number in (1, 2):
            self.add(f"dispatcher-{number}", ["-m", "learning_ops.main", "dispatcher"], self.env("dispatchers"))
            self.add(f"worker-{number}", _worker(number), {**self.env("workers"), **at_model})
        wait_until(partial(serves, model, port, "/healthz"), START_SECONDS, "the model serving", alive=[model])
        for name in self.workers:
            worker = self.processes[name]
            wait_until(partial(says_ready, worker), START_SECONDS, f"{name} taking work", alive=[worker])

    def emit(self, load: Load, name: str, side: str | None = "producers") -> list[ManagedProcess]:
        """Start a load's producers."""
        started = []
        for number in range(load.producers):
            journal = self.directory / f"{name}-{number}.journal"
            argv = ["-m", "chaos.producer", load.to_json(), str(number), os.fspath(journal)]
            env = self.env(side)
            if load.spool:
                self.spool.mkdir(mode=0o700, exist_ok=True)
                env["LEARNING_SPOOL_DIR"] = os.fspath(self.spool)
            producer = self.process(f"{name}-{number}", argv, env)
            self.producers.append(producer)
            self.journals.append(journal)
            producer.start()
            started.append(producer)
        return started

    def tree(self, server: str) -> list[psutil.Process]:
        """A server's processes, the first one first; backends lead process groups of their own."""
        pid = self.servers[server].process.pid
        if pid is None:
            return []
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]

    def stop(self) -> None:
        """End what runs, also what is stopped."""
        for process in (*self.producers, *reversed(self.processes.values())):
            if (pid := process.pid) is not None:
                psutil.Process(pid).resume()
        for process in (*self.producers, *reversed(self.processes.values())):
            process.stop()
        for server in self.servers:
            for each in self.tree(server):
                each.resume()

    def left(self) -> list[str]:
        """Processes that still have to do with the run's directory."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                told = " ".join([*process.cmdline(), process.cwd(), *process.environ().values()])
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if os.fspath(self.directory) in told:
                found.append(f"{process.pid} {process.name()}")
        return found


@contextmanager
def ground(load: Load, *, keep: bool = False) -> Iterator[Ground]:
    """A system that works, in a directory that goes with it unless it is kept; every process ends with the block."""
    directory = Path(tempfile.mkdtemp(prefix="learning-chaos-"))
    try:
        with ExitStack() as stack:
            data = stack.enter_context(DataDirectory(directory / "data"))
            services = stack.enter_context(EmbeddedServices(data, appendfsync="always"))
            services.postgres.create_database(DATABASE)
            urls = {role: services.postgres.url(DATABASE, role, password) for role, password in PASSWORDS.items()}
            migrate(services.postgres.url(DATABASE), urls)
            system = Ground(load, directory, services)
            stack.enter_context(system.wires)
            stack.callback(system.stop)
            system.start()
            yield system
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


def _worker(number: int) -> list[str]:
    queues = ",".join(f"learning.{store}" for store in STORES)
    options = ["-Q", queues, "-P", "threads", "-c", str(_THREADS), "-n", f"worker-{number}@%h"]
    return [
        *("-m", "celery", "-A", "learning_workers.app", "worker"),
        *options,
        *("--without-mingle", "--without-gossip", "--loglevel", "INFO"),
    ]


def _through(url: str, port: int) -> str:
    return make_url(url).set(port=port).render_as_string(hide_password=False)


def _port(server: EmbeddedServer) -> int:
    return server.port
