"""A worker's metrics and probes: counts, whether its tasks move and nudges are taken, whether its servers answer."""

from contextlib import ExitStack
from typing import Any, Self

import redis
from celery import bootsteps
from celery.concurrency.solo import TaskPool as SoloPool
from celery.concurrency.thread import TaskPool as ThreadPool
from celery.signals import task_postrun, task_prerun, worker_ready

from learning_schemas.errors import ConfigurationError
from learning_stores.database import TRANSACTION_SECONDS
from learning_stores.settings import ServiceSettings
from learning_stores.tally import Tally
from learning_workers.curator import JOBS
from learning_workers.exposure import Exposure
from learning_workers.gate import PATIENT_SECONDS
from learning_workers.look import looking
from learning_workers.metrics import REGISTRY, TASKS, THREADS, curator_from_zero, observe, worker_from_zero
from learning_workers.pulse import Verdict, WorkerPulse
from learning_workers.queues import CURATOR, EMBED, PREFIX
from learning_workers.readiness import Servers, redis_urls
from learning_workers.streams import brief_client, nudges

_PULSE = WorkerPulse()  # one process has one worker


class WorkerExposure:
    """Of one worker process, from `start` to `close`."""

    def __init__(self, settings: ServiceSettings, pulse: WorkerPulse, queues: list[str], threads: int) -> None:
        """Listens already, so that a port that is taken is said before any work is taken. Raises `ConfigurationError`."""
        assert settings.metrics_port is not None
        self._pulse = pulse
        self._queues = queues
        self._stack = ExitStack()
        pulse.threads = threads
        pulse.task_seconds = settings.model_deadline + PATIENT_SECONDS + 2 * TRANSACTION_SECONDS
        THREADS.set(threads)
        TASKS.set_function(lambda: pulse.running)
        own = (EMBED, CURATOR)
        worker_from_zero(queue.removeprefix(f"{PREFIX}.") for queue in queues if queue not in own)
        if CURATOR in queues:
            curator_from_zero(JOBS)
        with ExitStack() as stack:
            url = settings.database()
            self._servers = Servers(url, "database_url", redis_urls(None, settings.broker()))
            stack.callback(self._servers.close)
            try:
                self._broker: redis.Redis | None = brief_client(settings.broker())
                stack.callback(self._broker.close)
            except ValueError:  # a broker that is no Redis: what waits in it is not looked at
                self._broker = None
            self._exposure = Exposure(
                settings.metrics_host, settings.metrics_port, REGISTRY, live=pulse.live, ready=self._ready
            )
            stack.callback(self._exposure.close)
            for each in (TASKS, THREADS):
                REGISTRY.register(each)
                stack.callback(REGISTRY.unregister, each)
            self._stack = stack.pop_all()

    @classmethod
    def of(cls, settings: ServiceSettings, pulse: WorkerPulse, worker: Any) -> Self | None:
        """Of a Celery worker; None where no port is set. Raises `ConfigurationError`."""
        if settings.metrics_port is None:
            return None
        pool = worker.pool_cls
        if not (isinstance(pool, type) and issubclass(pool, (ThreadPool, SoloPool))):
            raise ConfigurationError(
                "LEARNING_METRICS_PORT",
                "is set, and this worker's pool runs tasks in processes of their own, whose counts would be missing",
                "Start the worker with -P threads",
            )
        threads = worker.concurrency if issubclass(pool, ThreadPool) else 1
        return cls(settings, pulse, sorted(worker.app.amqp.queues.consume_from), threads)

    def start(self) -> None:
        """Answer."""
        self._stack.enter_context(looking(self._look))
        self._exposure.start()

    def close(self) -> None:
        """Give the port and the connections back."""
        self._stack.close()

    def _look(self) -> None:
        if self._broker is None:
            return
        try:
            self._pulse.looked(sum(nudges(self._broker, self._queues).values()))
        except (redis.exceptions.RedisError, OSError):
            self._pulse.looked(None)

    def _ready(self) -> Verdict:
        answer = self._servers.answer()
        if answer.ok and not self._pulse.ready:
            return Verdict(ok=False, told="takes no nudges yet")
        return answer


class ExposureStep(bootsteps.StartStopStep):  # type: ignore[misc]  # celery has no types
    """Serves them as long as the worker runs, where a port is set; a port that is taken ends the worker."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        try:
            self._exposure = WorkerExposure.of(ServiceSettings.load(), _PULSE, parent)
        except ConfigurationError as error:
            raise SystemExit(str(error)) from None

    def start(self, parent: Any) -> None:
        """Answer."""
        if self._exposure is not None:
            self._exposure.start()

    def stop(self, parent: Any) -> None:
        """Give the port back."""
        if self._exposure is not None:
            self._exposure.close()


def committed(tally: Tally | None) -> None:
    """What a worker's databases tell: a task has moved, and what it did."""
    _PULSE.moved()
    observe(tally)


def _began(**_: Any) -> None:
    _PULSE.began()


def _ended(**_: Any) -> None:
    _PULSE.ended()


def _ready(**_: Any) -> None:
    _PULSE.ready = True


task_prerun.connect(_began)
task_postrun.connect(_ended)
worker_ready.connect(_ready)
