"""Heartbeats: one thread a process extends every lease that the process holds."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from learning_stores.database import Database
from learning_stores.mailbox import HEARTBEAT_SECONDS, Claim, extend

logger = structlog.get_logger("learning.worker")


@dataclass(frozen=True)
class _Lease:
    """How to extend it, and what the log calls it."""

    extend: Callable[[], bool]
    name: str


class Heartbeat:
    """Extends live leases every few seconds; one that is lost is only noted, since the token alone decides who may commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: dict[int, _Lease] = {}  # by token
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def of(self, held: Claim) -> Iterator[None]:
        """Keep a mailbox's lease alive for as long as the block runs."""

        def keep() -> bool:
            return self._database.run(held.tenant, extend, held.tenant, held.mailbox_id, held.token)

        with self.keeping(held.token, keep, f"mailbox {held.mailbox_id}"):
            yield

    @contextmanager
    def keeping(self, token: int, extend: Callable[[], bool], name: str) -> Iterator[None]:
        """The same of any lease; `extend` says whether it is still ours."""
        with self._lock:
            self._held[token] = _Lease(extend, name)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(token, None)

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with self._lock:
                held = list(self._held.items())
            for token, each in held:
                try:
                    kept = each.extend()
                except (SQLAlchemyError, psycopg.Error) as error:
                    logger.warning("heartbeat failed", lease=each.name, error=type(error).__name__)
                    continue
                if not kept and token in self._held:
                    logger.warning("lease lost", lease=each.name, token=token)
