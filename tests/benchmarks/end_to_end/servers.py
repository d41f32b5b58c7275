"""The servers of one run, and a new database on them for every measurement: all on one machine, Redis with fsync as shipped."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.footprint import cpu_of
from harness import PASSWORDS, Place, Processes, new_place
from learning_ops.embedded import DataDirectory, EmbeddedServices
from learning_ops.migration import migrate
from learning_ops.process import ManagedProcess, free_port, wait_until
from learning_ops.readiness import serves

THREADS = 8
"""Of one worker process of either design."""
START_SECONDS = 60.0
_TEMPLATE = "bench"
_TESTS = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Postgres with a migrated template database, and Redis."""

    services: EmbeddedServices

    @property
    def pids(self) -> dict[str, int | None]:
        """Of both, by name."""
        return {"Postgres": self.services.postgres.process.pid, "Redis": self.services.redis.process.pid}

    @contextmanager
    def place(self, model_seconds: float = 0.0) -> Iterator["Bench"]:
        """A new database, an emptied Redis and a model that takes so long; all that is started here ends with the block."""
        urls = (self.services.postgres.url(_TEMPLATE), self.services.redis.url)
        with new_place(urls, _TEMPLATE) as place:
            path = os.pathsep.join(each for each in (os.fspath(_TESTS), os.environ.get("PYTHONPATH")) if each)
            port = free_port()
            place.extra_env |= {
                "PYTHONPATH": path,
                "LEARNING_MODEL": "offline-rules-1",
                "LEARNING_MODEL_BASE_URL": f"http://127.0.0.1:{port}/v1",
                "LEARNING_MODEL_API_KEY": "not-a-key",
                "NAIVE_DATABASE_URL": place.superuser_url,
                "NAIVE_THREADS": str(THREADS),
            }
            processes = Processes(place)
            try:
                model = processes.start(
                    "model", ["-m", "benchmarks.end_to_end.instant_model", str(port), str(model_seconds)]
                )
                wait_until(partial(serves, model, port, "/"), START_SECONDS, "the model serving", alive=[model])
                yield Bench(place=place, processes=processes, running={"model": model}, servers=self)
            finally:
                processes.stop_all()


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One measurement's database, Redis and processes, by name."""

    place: Place
    processes: Processes
    running: dict[str, ManagedProcess]
    servers: Servers

    def pids(self) -> dict[str, int | None]:
        """Of all that runs: the servers, and what was started here."""
        return {**self.servers.pids, **{name: process.pid for name, process in self.running.items()}}

    def cpu(self) -> dict[str, float]:
        """CPU seconds used so far, by name."""
        return cpu_of(self.pids())

    def check(self) -> None:
        """Raise where one of them has ended: a figure of what is left would be of something else."""
        for name, process in self.running.items():
            if not process.alive:
                raise RuntimeError(f"{name} ended ({process.ending}):\n{process.log_tail()}")


@contextmanager
def servers() -> Iterator[Servers]:
    """Both, embedded, in a directory that goes with them."""
    directory = Path(tempfile.mkdtemp(prefix="learning-bench-"))
    try:
        with DataDirectory(directory / "data") as data, EmbeddedServices(data) as services:
            services.postgres.create_database(_TEMPLATE)
            urls = {role: services.postgres.url(_TEMPLATE, role, password) for role, password in PASSWORDS.items()}
            migrate(services.postgres.url(_TEMPLATE), urls)
            yield Servers(services=services)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
