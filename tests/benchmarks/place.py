"""Servers for one benchmark: embedded, new, in a directory that goes with them."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from harness import PASSWORDS, Place, Processes
from learning_ops.embedded import DataDirectory, EmbeddedServices
from learning_ops.migration import migrate
from learning_ops.offline.faults import Faults
from learning_ops.offline.server import OfflineModel, Settings, running


@contextmanager
def bench_place(appendfsync: Literal["always", "everysec"] = "always") -> Iterator[Place]:
    """A migrated database and an empty Redis of their own."""
    directory = Path(tempfile.mkdtemp(prefix="learning-bench-"))
    try:
        with DataDirectory(directory / "data") as data, EmbeddedServices(data, appendfsync=appendfsync) as services:
            services.postgres.create_database("bench")
            urls = {role: services.postgres.url("bench", role, password) for role, password in PASSWORDS.items()}
            owner = services.postgres.url("bench")
            migrate(owner, urls)
            yield Place(
                app_url=urls["learning_app"],
                dispatcher_url=urls["learning_dispatcher"],
                owner_url=owner,
                superuser_url=owner,
                redis_url=services.redis.url,
                directory=directory,
            )
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def whole_system(place: Place, *stores: str, latency: float = 0.0) -> Iterator[OfflineModel]:
    """Dispatcher, a worker for these stores, and the offline model, which answers after `latency` seconds."""
    with ExitStack() as stack:
        model = stack.enter_context(running(Settings(faults=Faults(latency=latency))))
        place.extra_env |= {
            "LEARNING_MODEL": "offline-rules-1",
            "LEARNING_MODEL_BASE_URL": model.url,
            "LEARNING_MODEL_API_KEY": "not-a-key",
        }
        processes = Processes(place)
        stack.callback(processes.stop_all)
        processes.dispatcher()
        processes.worker(*stores, threads=8)
        yield model
