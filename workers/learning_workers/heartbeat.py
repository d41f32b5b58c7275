"""Heartbeats: one thread a process extends every lease that the process holds."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from learning_stores.database import Database
from learning_stores.mailbox import HEARTBEAT_SECONDS, Claim, extend

logger = structlog.get_logger("learning.worker")


class Heartbeat:
    """Extends live leases every few seconds; one that is lost is only noted, since the token alone decides who may commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: dict[int, Claim] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def of(self, held: Claim) -> Iterator[None]:
        """Keep a lease alive for as long as the block runs."""
        with self._lock:
            self._held[held.token] = held
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(held.token, None)

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with self._lock:
                held = list(self._held.values())
            for each in held:
                try:
                    kept = self._database.run(each.tenant, extend, each.tenant, each.mailbox_id, each.token)
                except (SQLAlchemyError, psycopg.Error) as error:
                    logger.warning("heartbeat failed", mailbox_id=each.mailbox_id, error=type(error).__name__)
                    continue
                if not kept and each.token in self._held:
                    logger.warning("lease lost", mailbox_id=each.mailbox_id, token=each.token)
