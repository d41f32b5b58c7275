"""The whole system on one machine: embedded servers, model, dispatcher, workers, and on request curator and Flower.

Invariants: every process is a child of this one and ends with it; either all of them run or none does; a child's
environment holds what it needs and nothing else, so that no key and no other role's password reaches it.
"""

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self

from learning_ops.addresses import Addresses
from learning_ops.embedded import DataDirectory, EmbeddedServices
from learning_ops.environment import CURATING, IMPORTING, INHERITED, MISBEHAVING, OUTWARD, STORING, environment
from learning_ops.process import ManagedProcess, ProcessDied, free_port, wait_until
from learning_ops.readiness import says_ready, serves, until_dispatching
from learning_ops.serving_embedding import EmbeddingVariables, ServingEmbedding, embedding_of
from learning_ops.serving_model import Gateway, ModelChoice, ServingModel, models_file, offline_model, openai_model

DATABASE = "learning"
FLOWER_USER = "operator"
_THREADS = 16
_SERVICE_SECONDS = 120.0
_PORTS_TRIED = 3


class Stack:
    """Everything that turns emitted events into memory, on a data directory that the caller holds.

    `openai_key` is needed with model "openai"; it goes to the workers' environment alone. `embedding` are the variables that
    say what embeds; what the model brings along where there are none. With `controlled`, the offline model can be told to
    misbehave while it runs. The dispatcher serves metrics and probes on `metrics_port`, each worker on the one after the last.
    `tell` hears what is started.
    """

    def __init__(
        self,
        data: DataDirectory,
        *,
        model: ModelChoice = "offline",
        openai_key: str | None = None,
        embedding: EmbeddingVariables | None = None,
        operators: bool = False,
        controlled: bool = False,
        metrics_port: int | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.data = data
        self.services = EmbeddedServices(data)
        self._choice = model
        self._openai_key = openai_key
        self._embedding_variables = embedding
        self._operators = operators
        self._controlled = controlled
        self._metrics_port = metrics_port
        self.metrics_ports: dict[str, int] = {}  # by the process's name
        self._tell = tell
        self._children: list[ManagedProcess] = []
        self._addresses: Addresses | None = None
        self._model: ServingModel | None = None
        self._embedding: ServingEmbedding | None = None
        self._run = data.folder(
            "run"
        )  # the children's working directory: no module and no .learning/env to be found in it

    def start(self) -> None:
        """Return when everything serves; after a failure nothing runs.

        Raises ProcessError with the end of the log of what failed, MissingExtra, NoSystemUser, OSError.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        # What the next steps import takes longer than the servers' start; a thread does it meanwhile.
        warm = threading.Thread(target=_import_ahead, name="imports", daemon=True)
        warm.start()
        if self._choice == "offline":
            self._tell("offline model")
            offline, port = self._on_port("offline-model", 0, self._offline)
        self._tell("Postgres and Redis")
        self.services.start()
        warm.join()  # two threads that import what imports one another in a circle can each be given half of it
        self._addresses = self._migrated()
        if self._choice == "offline":
            port = self._until_served("offline-model", offline, port, "/healthz", self._offline)
            self._model = offline_model(port, self.data.secret("offline-model"))
        else:
            self._model = openai_model(self._openai_key, Gateway.of_environment())
        self._embedding = embedding_of(self._model, self._embedding_variables)
        self._tell("dispatcher and workers")
        waiting = [self._add(self._dispatcher())]
        waiting += [self._add(self._worker(store)) for store in _stores()]
        waiting.append(self._add(self._embedding_worker()))
        flower: tuple[ManagedProcess, int] | None = None
        if self._operators:
            waiting.append(self._add(self._curator()))
            flower = self._on_port("flower", 5555, self._flower)
        dispatcher, *workers = waiting
        for worker in workers:
            wait_until(partial(says_ready, worker), _SERVICE_SECONDS, f"{worker.name} taking work", alive=[worker])
        until_dispatching(dispatcher, self.addresses.dispatcher_database_url, _SERVICE_SECONDS)
        if flower is not None:
            self.flower_port = self._until_served("flower", *flower, "/healthcheck", self._flower)

    def stop(self) -> None:
        """End everything and wait until it is gone: first who takes work, then what they work with."""
        try:
            with ThreadPoolExecutor(max_workers=max(1, len(self._children))) as pool:
                # Each of these may take its time to finish what it has in hand.
                list(pool.map(ManagedProcess.stop, self._children))
        finally:
            self.services.stop()

    @property
    def addresses(self) -> Addresses:
        """Where everything is, once it serves."""
        assert self._addresses is not None
        return self._addresses

    @property
    def model(self) -> ServingModel:
        """What extracts, once everything serves."""
        assert self._model is not None
        return self._model

    @property
    def embedding(self) -> ServingEmbedding:
        """What embeds, once everything serves."""
        assert self._embedding is not None
        return self._embedding

    @property
    def children(self) -> Sequence[ManagedProcess]:
        """The processes besides the two servers, in the order of their start."""
        return tuple(self._children)

    def env(self) -> dict[str, str]:
        """What an agent or a worker in another terminal has to know; no key that the user set, and no wider role."""
        return {**_only(self.addresses.env(), *_AGENTS), **self.model.env, **self.embedding.env}

    def operator_env(self) -> dict[str, str]:
        """What an operator in another terminal has to know besides."""
        return _only(self.addresses.env(), *_OPERATORS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _migrated(self) -> Addresses:
        from learning_ops.migration import migrate
        from learning_stores.roles import APP, DISPATCHER, OWNER

        postgres = self.services.postgres
        postgres.create_database(DATABASE)
        urls = {role: postgres.url(DATABASE, role, self.data.secret(role)) for role in (APP, DISPATCHER, OWNER)}
        migrate(postgres.url(DATABASE), urls)
        postgres.let_log_in(OWNER, self.data.secret(OWNER))  # a directory of an earlier version has it without login
        return Addresses(
            database_url=urls[APP],
            dispatcher_database_url=urls[DISPATCHER],
            owner_database_url=urls[OWNER],
            redis_url=self.services.redis.url,
        )

    def _process(
        self, name: str, argv: Sequence[str], env: Mapping[str, str], *, inherited: frozenset[str] = INHERITED
    ) -> ManagedProcess:
        return ManagedProcess(
            name,
            [sys.executable, "-P", *argv],  # -P: the working directory is no place to import from
            env={**environment(inherited), **env},
            cwd=self._run,
            log_path=self.data.log_path(name),
        )

    def _offline(self, port: int) -> ManagedProcess:
        env = {"LEARNING_OFFLINE_API_KEY": self.data.secret("offline-model")}
        argv = ["-m", "learning_ops.offline", "--port", str(port), *(["--control"] if self._controlled else [])]
        return self._process("offline-model", argv, env, inherited=INHERITED | MISBEHAVING)

    def _dispatcher(self) -> ManagedProcess:
        wanted = _only(self.addresses.env(), "LEARNING_DISPATCHER_DATABASE_URL", "LEARNING_REDIS_URL")
        argv = ["-m", "learning_ops.main", "dispatcher"]
        # What embeds, without a key: whether there is anything to nudge a worker for.
        env = {**wanted, **self.embedding.name_alone, **self._measured("dispatcher")}
        return self._process("dispatcher", argv, env, inherited=INHERITED | STORING)

    def _worker(self, store: str) -> ManagedProcess:
        return self._working(store, _THREADS, {**self.model.env, **self.model.key}, outward=not self.model.is_offline)

    def _embedding_worker(self) -> ManagedProcess:
        # Two: one tenant's backlog leaves a thread to the others.
        env = {**self.embedding.env, **self.embedding.key}
        return self._working("embed", 2, env, outward=not self.embedding.is_offline)

    def _working(self, queue: str, threads: int, env: Mapping[str, str], *, outward: bool) -> ManagedProcess:
        wanted = _only(self.addresses.env(), *_AGENTS)
        options = ["-Q", f"learning.{queue}", "-P", "threads", "-c", str(threads), "-n", f"{queue}@%h", "-E"]
        inherited = INHERITED | IMPORTING | (OUTWARD if outward else frozenset())
        name = queue.replace("_", "-") + "-worker"
        env = {**wanted, **env, **models_file(), **self._measured(name)}
        return self._process(name, [*_CELERY, "worker", *options, *_ALONE], env, inherited=inherited)

    def _curator(self) -> ManagedProcess:
        wanted = _only(self.addresses.env(), "LEARNING_DISPATCHER_DATABASE_URL", *_AGENTS)
        schedule = os.fspath(self._run / "beat-schedule")
        options = ["-Q", "learning.curator", "-P", "solo", "-B", "-s", schedule, "-n", "curator@%h", "-E"]
        argv = [*_CELERY, "worker", *options, *_ALONE]
        wanted |= {**self.embedding.without_key, **self.model.env, **self.model.key, **models_file()}
        wanted |= self._measured("curator")
        outward = frozenset() if self.model.is_offline else OUTWARD
        return self._process("curator", argv, wanted, inherited=INHERITED | STORING | CURATING | outward)

    def _measured(self, name: str) -> dict[str, str]:
        """What tells a process its port for metrics and probes, where it is to have one."""
        if self._metrics_port is None:
            return {}
        self.metrics_ports[name] = self._metrics_port + len(self.metrics_ports)
        return {"LEARNING_METRICS_PORT": str(self.metrics_ports[name])}

    def _flower(self, port: int) -> ManagedProcess:
        # By variables, not options: a process list shows these to everybody.
        settings = {
            "LEARNING_REDIS_URL": self.addresses.redis_url,
            "FLOWER_ADDRESS": "127.0.0.1",
            "FLOWER_PORT": str(port),
            "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{self.data.secret('flower')}",
            "FLOWER_PERSISTENT": "true",
            "FLOWER_DB": os.fspath(self.data.folder("flower") / "flower"),
            "FLOWER_STATE_SAVE_INTERVAL": "60000",  # milliseconds; what a killed Flower may forget
        }
        return self._process("flower", [*_CELERY, "flower"], settings)

    def _add(self, process: ManagedProcess) -> ManagedProcess:
        self._children.append(process)  # before it is started, so that an interruption in between still ends it
        process.start()
        return process

    def _on_port(self, name: str, preferred: int, make: Callable[[int], ManagedProcess]) -> tuple[ManagedProcess, int]:
        """Start what listens, on the port that it had last time where that is free."""
        kept = self._run / f"{name}.port"
        last = int(kept.read_text()) if kept.exists() else preferred
        port = free_port(last or None)
        process = self._add(make(port))
        kept.write_text(f"{port}\n")
        return process, port

    def _until_served(
        self, name: str, process: ManagedProcess, port: int, path: str, make: Callable[[int], ManagedProcess]
    ) -> int:
        """Wait until it answers on its port; on another where somebody else took that one meanwhile."""
        for attempt in range(_PORTS_TRIED):
            try:
                wait_until(partial(serves, process, port, path), _SERVICE_SECONDS, f"{name} serving", alive=[process])
            except ProcessDied:
                if attempt == _PORTS_TRIED - 1 or free_port(port) == port:
                    raise
                self._children.remove(process)
                process, port = self._on_port(name, 0, make)
            else:
                break
        return port


_CELERY = ("-m", "celery", "-A", "learning_workers.app")
_ALONE = ("--without-mingle", "--without-gossip", "--loglevel=INFO")  # nothing here asks the other workers for anything


_AGENTS = ("LEARNING_DATABASE_URL", "LEARNING_REDIS_URL")
_OPERATORS = ("LEARNING_DISPATCHER_DATABASE_URL", "LEARNING_OWNER_DATABASE_URL")


def _only(env: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: env[name] for name in names}


def _stores() -> list[str]:
    from learning_stores.registry import installed

    return list(installed())


def _import_ahead() -> None:
    import learning_machine
    import learning_ops.migration  # noqa: F401 - loading it is the purpose

    assert learning_machine
