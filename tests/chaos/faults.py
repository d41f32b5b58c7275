"""Applying faults: each in a thread of its own, begun on time and ended, whatever else is going on."""

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import psutil
import psycopg
from celery import Celery
from kombu.exceptions import KombuError, OperationalError
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from chaos.ground import Ground
from chaos.load import STORES
from chaos.schedule import Planned
from learning_workers.queues import queue_name, task_name

_OURS = b"learning:"  # the streams and the set of known specs; every other key is Celery's
_DOUBLED = 50
_LOOK_EVERY = 0.2
_LOOK_SECONDS = 60.0
_INSIST_SECONDS = 30.0
_AWAY = (OSError, KombuError, OperationalError, RedisError, SQLAlchemyError, psycopg.Error)

_IN_HAND = {
    "worker": text("SELECT id, token FROM learning.mailbox WHERE owner LIKE :owner AND lease_until > now()"),
    "dispatcher": text("SELECT shard AS id, token FROM learning.shard_lease WHERE owner LIKE :owner"),
}
_STILL = {
    "worker": "SELECT count(*) FROM learning.mailbox WHERE (id, token) IN "
    "(SELECT * FROM unnest(cast(:ids AS bigint[]), cast(:tokens AS bigint[])))",
    "dispatcher": "SELECT count(*) FROM learning.shard_lease WHERE (shard, token) IN "
    "(SELECT * FROM unnest(cast(:ids AS bigint[]), cast(:tokens AS bigint[])))",
}


@dataclass(kw_only=True)
class Applied:
    """A fault that was applied; Unix times. `taken_over`: seconds from its begin until others had all that it held."""

    kind: str
    target: str
    began: float
    ended: float = 0.0
    held: int = 0  # mailboxes or shards, of one that was killed
    taken_over: float | None = None


class Driver:
    """Applies a schedule to a system."""

    def __init__(self, ground: Ground) -> None:
        self.applied: list[Applied] = []
        self.ended_by_themselves: list[str] = []
        self._ground = ground
        self._down: set[str] = set()  # what is killed at the moment, or is being started
        self._lock = threading.Lock()
        self._turns = defaultdict[str, threading.Lock](threading.Lock)  # by target: one fault at a time
        self._threads: list[threading.Thread] = []
        self._failed: list[BaseException] = []

    def run(self, faults: Sequence[Planned], stop: threading.Event) -> None:
        """Apply all, each at its time; returns when the last has ended. `stop` ends it early."""
        began = time.monotonic()
        try:
            for fault in faults:
                while (left := began + fault.at - time.monotonic()) > 0 and not stop.wait(min(left, 0.5)):
                    self.look_after()
                if stop.is_set():
                    break
                thread = threading.Thread(target=self._applied, args=(fault, stop), name=fault.kind)
                thread.start()
                self._threads.append(thread)
        except BaseException:
            stop.set()  # interrupted: what is down is started and what is stopped goes on before anything else
            raise
        finally:
            for thread in self._threads:
                thread.join()
        if self._failed:
            raise self._failed[0]

    def look_after(self) -> None:
        """Note and start again what ended though nobody killed it."""
        with self._lock:
            up = [name for name in self._ground.processes if name not in self._down]
        for name in up:
            process = self._ground.processes[name]
            if not process.alive and name not in self._down:
                self.ended_by_themselves.append(f"{name} ({process.ending}): {process.log_tail(3)[:2000]}")
                process.start()

    def _applied(self, fault: Planned, stop: threading.Event) -> None:
        try:
            self._apply(fault, stop)
        except BaseException as error:  # raised again by `run`
            self._failed.append(error)

    def _apply(self, fault: Planned, stop: threading.Event) -> None:
        begin, end = self._acts(fault)
        with self._lock:
            turn = self._turns[fault.target]
        with turn:
            held = self._in_hand(fault)
            applied = Applied(kind=fault.kind, target=fault.target, began=time.time(), held=len(held))
            try:
                begin()
                stop.wait(fault.seconds)
            finally:
                end()
                applied.ended = time.time()
        with self._lock:
            self.applied.append(applied)
        if held:
            applied.taken_over = self._taken_over(fault, held, applied.began, stop)

    def _acts(self, fault: Planned) -> tuple[Callable[[], None], Callable[[], None]]:
        """How a fault begins and how it ends."""
        what, _, how = fault.kind.partition(" ")
        if what in ("worker", "dispatcher"):
            if how == "killed":
                return partial(self._kill_process, fault.target), partial(self._start_process, fault.target)
            return partial(self._signal_process, fault.target, signal.SIGSTOP), partial(
                self._signal_process, fault.target, signal.SIGCONT
            )
        if what in ("redis", "postgres"):
            if how == "killed":
                return partial(self._kill_server, what), partial(self._start_server, what)
            return partial(self._stop_server, what), partial(self._continue_server, what)
        if what == "connections":
            wire = self._ground.wire(fault.target)
            return {"cut": wire.cut, "held": wire.hold, "slowed": partial(wire.slow, 0.05 + fault.seconds / 40)}[
                how
            ], wire.mend
        act = {"queues": self._flush_queues, "nudges": self._double_nudges}[what]
        return partial(self._insist, act), _nothing

    def _kill_process(self, name: str) -> None:
        with self._lock:
            self._down.add(name)
        process = self._ground.processes[name]
        if (pid := process.pid) is not None:
            os.kill(pid, signal.SIGKILL)
            process.wait(10)

    def _start_process(self, name: str) -> None:
        if not self._ground.processes[name].alive:
            self._ground.processes[name].start()
        with self._lock:
            self._down.discard(name)

    def _signal_process(self, name: str, number: signal.Signals) -> None:
        if (pid := self._ground.processes[name].pid) is not None:
            os.kill(pid, number)

    def _kill_server(self, name: str) -> None:
        for process in self._ground.tree(name):  # the first one first: it would take the others' end for a crash
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._ground.servers[name].process.wait(10)

    def _start_server(self, name: str) -> None:
        self._ground.servers[name].start()

    def _stop_server(self, name: str) -> None:
        for process in self._ground.tree(name):
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def _continue_server(self, name: str) -> None:
        for process in self._ground.tree(name):
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def _insist(self, act: Callable[[], None]) -> None:
        """Do what needs a server that may be away at this moment."""
        until = time.monotonic() + _INSIST_SECONDS
        while True:
            try:
                return act()
            except _AWAY:
                if time.monotonic() > until:
                    raise
            time.sleep(_LOOK_EVERY)

    def _flush_queues(self) -> None:
        """Delete what Celery and kombu keep, bindings too; the streams stay."""
        with self._ground.redis() as client:
            keys = [key for key in client.scan_iter(count=1000) if not key.startswith(_OURS)]
            if keys:
                client.delete(*keys)

    def _double_nudges(self) -> None:
        """Nudge mailboxes that have work, twice each, past the pump."""
        wanted = text("SELECT id, tenant, store FROM learning.mailbox ORDER BY random() LIMIT :limit")
        with self._ground.database() as database, database.transaction() as session:
            found = session.execute(wanted, {"limit": _DOUBLED}).all()
        with Celery("chaos", broker=self._ground.services.redis.url, set_as_current=False) as celery:
            celery.conf.update(task_ignore_result=True, broker_transport_options={"socket_timeout": 2})
            for row in [row for row in found if row.store in STORES] * 2:
                queue, arguments = queue_name(row.store), (row.id, row.tenant)
                celery.send_task(task_name(row.store), args=arguments, queue=queue, retry=False)

    def _in_hand(self, fault: Planned) -> list[tuple[int, int]]:
        """What a process holds that is about to be killed: (id, token) of mailboxes or shards."""
        what, _, how = fault.kind.partition(" ")
        if how != "killed" or what not in _IN_HAND or (pid := self._ground.processes[fault.target].pid) is None:
            return []
        owner = f"%:{pid}" if what == "worker" else f"%:{pid}:%"
        try:
            with self._ground.database() as database, database.transaction() as session:
                rows = session.execute(_IN_HAND[what], {"owner": owner}).all()
        except (SQLAlchemyError, psycopg.Error):
            return []  # Postgres is away at this moment: nothing can be measured
        return [(row.id, row.token) for row in rows]

    def _taken_over(
        self, fault: Planned, held: list[tuple[int, int]], began: float, stop: threading.Event
    ) -> float | None:
        """Seconds until nothing is held under these tokens; None where that took too long to be waited for."""
        values = {"ids": [one for one, _ in held], "tokens": [token for _, token in held]}
        still = text(_STILL[fault.kind.partition(" ")[0]])
        while time.time() - began < _LOOK_SECONDS and not stop.is_set():
            with suppress(SQLAlchemyError, psycopg.Error), self._ground.database() as database:
                with database.transaction() as session:
                    left = session.scalar(still, values)
                if left == 0:
                    return time.time() - began
            time.sleep(_LOOK_EVERY)
        return None


def _nothing() -> None:
    """An end that needs nothing."""
