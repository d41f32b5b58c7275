"""A running system that the tests of one module share: one place, one model, real processes."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from harness import Place, Processes, eventually, new_place, rows
from learning_ops.offline.server import Faults, OfflineModel, Settings, running
from learning_ops.process import ManagedProcess
from learning_stores.database import Database
from recipes import Recipes, recipes_on_a_stack


@dataclass(kw_only=True)
class System:
    """A place, its model and its processes; `db` sees every tenant's rows."""

    place: Place
    model: OfflineModel
    processes: Processes
    db: Database
    redis: Any

    def rows(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query over all tenants."""
        return rows(self.db, statement, **parameters)

    def change(self, statement: str, **parameters: Any) -> None:
        """Change rows, as the superuser."""
        from sqlalchemy import text

        with self.db.engine.begin() as connection:
            connection.execute(text(statement), parameters)

    def pauses_over(self) -> None:
        """Let the pauses of models be over, as after a call that was answered."""
        for key in self.redis.scan_iter("learning:pause:*"):
            self.redis.delete(key)

    def mailbox(self, user_id: str, store: str = "user_profile") -> dict[str, Any] | None:
        """A user's mailbox in a store."""
        found = self.rows("SELECT * FROM learning.mailbox WHERE user_id = :u AND store = :s", u=user_id, s=store)
        return found[0] if found else None

    def memories(self, user_id: str) -> list[str]:
        """The live memories of a user, over all tenants."""
        found = self.rows(
            "SELECT content FROM learning.learning WHERE user_id = :u AND kind = 'memory' AND status = 'active'",
            u=user_id,
        )
        return sorted(row["content"] for row in found)

    def extractions(self, user_id: str) -> list[dict[str, Any]]:
        """The committed extractions of a user's profile in order, each with the acceptance numbers that it settled."""
        return self.rows(
            "SELECT x.*, min(d.accepted_no) AS first, max(d.accepted_no) AS last FROM learning.extraction x "
            "JOIN learning.delivery d ON d.tenant = x.tenant AND d.extraction_id = x.id "
            "WHERE x.user_id = :u AND x.store = 'user_profile' GROUP BY x.tenant, x.id ORDER BY x.committed_at",
            u=user_id,
        )

    def deliveries(self, user_id: str, store: str = "user_profile") -> list[dict[str, Any]]:
        """The deliveries of a user's events to a store, in order of acceptance."""
        return self.rows(
            "SELECT d.* FROM learning.delivery d JOIN learning.conversation_event e "
            "ON e.tenant = d.tenant AND e.id = d.event_id WHERE e.user_id = :u AND d.store = :s ORDER BY d.accepted_no",
            u=user_id,
            s=store,
        )

    def settled(self, user_id: str, count: int, timeout: float = 60) -> list[dict[str, Any]]:
        """Wait until so many deliveries of a user are settled; returns them."""

        def look() -> list[dict[str, Any]]:
            found = self.deliveries(user_id)
            return found if sum(row["state"] != "pending" for row in found) >= count else []

        return eventually(look, f"{count} settled deliveries of {user_id}", timeout=timeout)

    def nudge(self, mailbox_id: int, times: int = 1, store: str = "user_profile") -> list[str]:
        """Send nudges past the pump; returns their task ids."""
        with Celery("tests", broker=self.place.redis_url, set_as_current=False) as app:
            app.conf.task_ignore_result = True
            task, queue = f"learning.{store}.extract", f"learning.{store}"
            return [app.send_task(task, args=(mailbox_id, "default"), queue=queue).id for _ in range(times)]

    def holder(self, user_id: str) -> tuple[int, int]:
        """Wait until a worker has a user's mailbox; its process id and its token."""

        def look() -> tuple[int, int] | None:
            mailbox = self.mailbox(user_id)
            return (int(mailbox["owner"].split(":")[1]), mailbox["token"]) if mailbox and mailbox["owner"] else None

        found = eventually(look, f"a worker holds the mailbox of {user_id}")
        assert found is not None
        return found


def log_lines(process: ManagedProcess) -> list[dict[str, Any]]:
    """What a process has logged, of what is JSON."""
    lines = Path(process.log_path).read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


@contextmanager
def system_on(servers: tuple[str, str], template: str) -> Iterator[System]:
    """A system without processes yet; those that are started end with the block."""
    with pytest.MonkeyPatch.context() as patch, new_place(servers, template) as place:
        for variable in [name for name in os.environ if name.startswith(("LEARNING_", "OPENAI_"))]:
            patch.delenv(variable)
        log = place.directory / "model.jsonl"
        with running(Settings(port=0, faults=Faults(), request_log=log)) as model:
            place.extra_env |= {
                "LEARNING_MODEL": "offline-rules-1",
                "LEARNING_MODEL_BASE_URL": model.url,
                "LEARNING_MODEL_API_KEY": "not-a-key",
            }
            processes = Processes(place, warm=True)
            with Database(place.superuser_url) as db, redis.Redis.from_url(place.redis_url) as client:
                try:
                    yield System(place=place, model=model, processes=processes, db=db, redis=client)
                finally:
                    processes.kill_all()


@pytest.fixture(scope="module")
def system(servers: tuple[str, str], template: str) -> Iterator[System]:
    """One system for all tests of a module, without processes at first."""
    with system_on(servers, template) as system:
        yield system


@pytest.fixture
def own_system(servers: tuple[str, str], template: str) -> Iterator[System]:
    """A system of one test's own. Its start empties Redis: not beside `system` in one module."""
    with system_on(servers, template) as system:
        yield system


@pytest.fixture(scope="module")
def recipes() -> Iterator[Recipes]:
    """The cookbook's examples, on one stack for all tests of a module."""
    with recipes_on_a_stack() as recipes:
        yield recipes
