"""The Celery app: `celery -A learning_workers.app worker -Q learning.user_profile -P threads -c 16`.

What Flower shows is the truth: a task is named after its store; its arguments are a mailbox id and a tenant; its result is
counts. A stale nudge succeeds with `no_work`; a mailbox that must wait shows as RETRY, though nothing is sent again; a
delivery that died shows as FAILURE.
"""

import importlib
import logging
import os
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import structlog
from celery import bootsteps
from celery.exceptions import Retry
from celery.signals import import_modules, setup_logging, worker_init, worker_ready, worker_shutting_down
from sqlalchemy.exc import SQLAlchemyError

from learning_schemas.errors import ConfigurationError
from learning_stores.database import Database
from learning_stores.registry import installed
from learning_stores.settings import ServiceSettings
from learning_stores.specs import SpecCache
from learning_workers.celery_app import app as app
from learning_workers.curator import Curator
from learning_workers.embedding import Embedder
from learning_workers.extraction import Extractor
from learning_workers.flower_guard import guard_flower
from learning_workers.gate import Gate
from learning_workers.heartbeat import Heartbeat
from learning_workers.log import configure_logging
from learning_workers.model_client import ModelClient
from learning_workers.models import load_catalogue
from learning_workers.purse import Purse
from learning_workers.queues import CURATOR, EMBED, task_name
from learning_workers.tracer import start_traces
from learning_workers.worker_exposure import ExposureStep, committed

logger = structlog.get_logger("learning.curator")


_stopping = threading.Event()


class DeliveryDead(Exception):
    """Deliveries died: their events' ids, with the reason of each. `learning-machine trace ID` says more."""

    def __init__(self, *dead: str) -> None:
        super().__init__(*dead)


class MailboxWaits(Exception):
    """A mailbox is paused: which, why, and the note of what it waits for. Nothing is sent again; the pump nudges it later."""


class EmbeddingWaits(Exception):
    """A tenant's embedding model is left alone for a while: which, and why. The dispatcher nudges again."""


class StorageFailed(Exception):
    """The database did not do what was asked; the work is taken up again when its lease ends."""


class ExtractionFailed(Exception):
    """A fault of the worker: the kind of error and where. The mailbox is taken up again when its lease ends."""


class CurationFailed(Exception):
    """A fault of the curator: the kind of error and where. The run is taken up again later."""


class EmbeddingBroke(Exception):
    """The same of a worker that embeds."""


@setup_logging.connect
def _configure_logging(loglevel: int | str | None = None, **_: Any) -> None:
    configure_logging(loglevel or logging.INFO)


@import_modules.connect
def _guard_flower(**_: Any) -> None:
    guard_flower()


@worker_init.connect
def _load(**_: Any) -> None:
    """The first task does not wait for the SDK, which takes half a second to load.

    A worker whose every task would fail says so and ends: one that is up and commits nothing looks well from outside.
    """
    try:
        settings = ServiceSettings.load()
        settings.database()
        load_catalogue(settings)
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    importlib.import_module("openai")


@worker_shutting_down.connect
def _stop_after_this_window(**_: Any) -> None:
    _stopping.set()


class _Ending(bootsteps.StartStopStep):  # type: ignore[misc]  # celery has no types
    """However a worker is told to end, it ends after the window in hand.

    `worker_shutting_down` is not sent for a broadcast or SIGHUP, nor for SIGQUIT where a task is active: cancelling it raises
    on the threads pool.
    """

    def close(self, parent: Any) -> None:
        _stopping.set()
        structlog.get_logger("learning.worker").info("worker ends", after="the windows in hand")


app.steps["worker"].add(_Ending)
app.steps["worker"].add(ExposureStep)


class _Tracing(bootsteps.StartStopStep):  # type: ignore[misc]  # celery has no types
    """Sends traces, where an endpoint is set, and at the end what is left of them."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        queues = sorted(parent.app.amqp.queues.consume_from)
        try:
            self._end = start_traces(queues[0].replace(".", "-", 1) if len(queues) == 1 else "learning-worker")
        except ConfigurationError as error:
            raise SystemExit(str(error)) from None

    def stop(self, parent: Any) -> None:
        self._end()


app.steps["worker"].add(_Tracing)


class _Process:
    """What the tasks of one worker process share; made after the fork, on first use."""

    def __init__(self) -> None:
        self.settings = ServiceSettings.load()
        self.database = Database(self.settings.database(), pool_size=16, on_commit=committed)
        catalogue = load_catalogue(self.settings)
        heartbeat = Heartbeat(self.database)
        client = ModelClient(catalogue.key, self.settings.model_deadline)
        specs, gate = SpecCache(), Gate.of(self.settings)
        purse = Purse(self.database, catalogue, self.settings.model_deadline)
        owner = f"{socket.gethostname()}:{os.getpid()}"
        self.extractors = {
            name: Extractor(
                store, self.database, specs, catalogue, client, heartbeat, self.settings, owner, gate, purse
            )
            for name, store in installed().items()
        }
        self.embedder = Embedder(self.database, catalogue, self.settings, gate, purse)


_process: _Process | None = None
_process_lock = threading.Lock()


def _this_process() -> _Process:
    global _process
    with _process_lock:
        if _process is None:
            _process = _Process()
        return _process


@contextmanager
def _telling(failed: type[Exception]) -> Iterator[None]:
    """Turn what goes wrong into an error that operators may see."""
    try:
        yield
    except (SQLAlchemyError, psycopg.Error) as error:
        # The driver's message can repeat a row's values: only its type goes where operators see it.
        raise StorageFailed(type(getattr(error, "orig", None) or error).__name__) from None
    except ConfigurationError:
        raise
    except Exception as error:
        # Nor is any other error's message: it can repeat what was said.
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise failed(f"{type(error).__name__} at {where.filename}:{where.lineno}") from None


def _extract(store: str, mailbox_id: int, tenant: str) -> dict[str, Any]:
    if _stopping.is_set():
        # It was reserved before. Others are nudged when this nudge has run out.
        return {"outcome": "no_work", "reason": "stopping"}
    with _telling(ExtractionFailed):
        report = _this_process().extractors[store].work(tenant, mailbox_id, _stopping.is_set)
    if report.dead:
        raise DeliveryDead(*(f"{event_id}: {reason}" for event_id, reason in report.dead))
    if report.outcome == "waiting":
        told = f"mailbox {mailbox_id} waits: {report.reason} ({report.wait})"
        raise Retry(told, exc=MailboxWaits(told))  # the one for the log, the other for Flower
    return report.as_result()


def _register(store: str) -> None:
    @app.task(name=task_name(store))
    def extract(mailbox_id: int, tenant: str) -> dict[str, Any]:
        """Work on one mailbox of the store."""
        return _extract(store, mailbox_id, tenant)


for _store in installed():
    _register(_store)


@app.task(name=EMBED)
def embed(tenant: str) -> dict[str, Any]:
    """Embed what a tenant's memory lacks."""
    with _telling(EmbeddingBroke):
        report = _this_process().embedder.work(tenant, _stopping.is_set)
    if report.waits:
        told = "; ".join(f"{name} waits: {note}" for name, note in sorted(report.waits.items()))
        raise Retry(told, exc=EmbeddingWaits(told))
    return report.as_result()


_curator: Curator | None = None


def _this_curator() -> Curator:
    """This process's curator, made after the fork, on first use; it needs other addresses than a worker of a store."""
    global _curator
    with _process_lock:
        if _curator is None:
            owner = f"{socket.gethostname()}:{os.getpid()}"
            _curator = Curator(ServiceSettings.load(), installed(), owner, on_commit=committed)
        return _curator


@app.task(name=f"{CURATOR}.tick")
def tick() -> dict[str, int]:
    """Make the runs that the schedules say are due, and nudge those that wait or whose worker was not heard of again."""
    with _telling(CurationFailed):
        curator = _this_curator()
        made = curator.insert_due()
        due = curator.take_due()
        tenants = [each for each in due if each[0]]
        for tenant, run_id in tenants:
            _nudge(tenant, run_id)
        # What all tenants stand on waits in no queue behind theirs.
        for tenant, run_id in due:
            if not tenant:
                curator.work(tenant, run_id, _stopping.is_set)
    return {"made": made, "nudged": len(tenants)}


def _nudge(tenant: str, run_id: UUID) -> None:
    app.send_task(f"{CURATOR}.run", args=(tenant, str(run_id)), queue=CURATOR, retry=False)


@worker_ready.connect
def _tick_at_once(sender: Any, **_: Any) -> None:
    """What was missed while no curator ran is not waited for until the next minute."""
    if CURATOR in sender.app.amqp.queues.consume_from:
        app.send_task(f"{CURATOR}.tick", queue=CURATOR, expires=300, retry=False)


@app.task(name=f"{CURATOR}.run")
def run(tenant: str, run_id: str) -> dict[str, Any]:
    """Work on one run for a while, and let the next due one follow."""
    with _telling(CurationFailed):
        curator = _this_curator()
        done = curator.work(tenant, UUID(run_id), _stopping.is_set)
        for following in [] if _stopping.is_set() else curator.take_due():
            _nudge(*following)
    if done is None:
        return {"outcome": "no_work"}
    return {"job": done.job, "outcome": done.state, "looked_at": done.looked_at, "changed": done.changed, **done.report}
