"""Which learnings recall shows, counted for the curator: a sample, kept in memory and written now and then by a thread.

Nothing is written in an agent's turn. Counts that are not written when a process ends are lost; so are those that the database
does not take, once. They tell what is never needed, not how often exactly.
"""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable
from uuid import UUID

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from learning_machine.lock import Lock
from learning_stores.database import Database
from learning_stores.recall_counts import add_recalls

logger = logging.getLogger("learning_machine")

SAMPLE = 4
"""One recall in so many is counted, as so many."""
WRITE_SECONDS = 60.0
MAX_KEPT = 2_000
"""Learnings whose counts are kept at most before they are written."""


class RecallCounts:
    """The counts of one process. Safe in threads and after a fork."""

    def __init__(self, database: Database, *, sample: int = SAMPLE, write_seconds: float = WRITE_SECONDS) -> None:
        self._database = database
        self._sample, self._write_seconds = sample, write_seconds
        self._lock = Lock()
        self._pid = os.getpid()
        self._forget()

    def _forget(self) -> None:
        self._kept: dict[str, Counter[UUID]] = {}
        self._recalls, self._since = 0, time.monotonic()
        self._writing = False

    def note(self, tenant: str, learnings: Iterable[UUID]) -> None:
        """Take in what one recall showed. Returns at once."""
        with self._lock.mutex:
            if self._pid != os.getpid():  # the parent writes its own
                self._pid = os.getpid()
                self._forget()
            self._recalls += 1
            if self._recalls % self._sample:
                return
            counts = self._kept.setdefault(tenant, Counter())
            counts.update(dict.fromkeys(learnings, self._sample))
            due = (
                time.monotonic() - self._since >= self._write_seconds or sum(map(len, self._kept.values())) >= MAX_KEPT
            )
            if not due or self._writing:
                return
            kept, self._kept = self._kept, {}
            self._since, self._writing = time.monotonic(), True
        try:
            threading.Thread(target=self._write, args=(kept,), name="learning-recall-counts", daemon=True).start()
        except RuntimeError:  # no more threads, or the interpreter is ending: a turn does not fail for it
            self._writing = False
            logger.info("how often learnings were recalled is not written this time (no thread)")

    def _write(self, kept: dict[str, Counter[UUID]]) -> None:
        try:
            for tenant, times in kept.items():
                if times:
                    self._database.run(tenant, add_recalls, tenant, times)
        except (SQLAlchemyError, psycopg.Error, OSError) as error:
            logger.info("how often learnings were recalled is not written this time (%s)", type(error).__name__)
        finally:
            with self._lock.mutex:
                self._writing = False
