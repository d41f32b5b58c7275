"""Draining in the background of the process that spools: when an emit goes through again, and when the machine is closed.

The process's own file is drained, and files that processes before it left in the directory for the same database. It has
connections of its own, and a thread only while there is something to do.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from learning_machine.lock import Lock
from learning_machine.spool import Spool
from learning_machine.spool_drain import Drained, Taker, drain, drain_directory
from learning_machine.spool_file import opened

logger = logging.getLogger("learning_machine")

RETRY_SECONDS = 1.0
"""So long after a run that could not finish the next one begins, at the earliest."""


class Drainer:
    """Drains for one spool; safe in threads and after a fork."""

    def __init__(self, spool: Spool, taker: Callable[[], Taker]) -> None:
        self.due = True  # a process before this one may have left something
        self._spool = spool
        self._taker = taker
        self._lock = Lock()
        self._running: threading.Thread | None = None
        self._not_before = 0.0
        self._stop = threading.Event()

    def wake(self) -> None:
        """Begin a run where one is due and none is on."""
        if not self.due or time.monotonic() < self._not_before:
            return
        with self._lock.mutex:
            if self._running is not None and self._running.is_alive():
                return
            self.due = False  # what is spooled from now on makes it due again
            self._stop = threading.Event()
            thread = threading.Thread(target=self._run, args=(self._stop,), name="learning-machine-spool", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the process is ending: the file stays for whoever drains the directory
                self.due = True
                return
            self._running = thread

    def close(self, seconds: float) -> None:
        """Drain what there is, for so long; leave the rest in the directory, to be drained by others."""
        if self._spool.undrained() is not None:
            self.due, self._not_before = True, 0.0
            self.wake()
        if (running := self._running) is not None:
            running.join(seconds)
            self._stop.set()
            running.join(seconds)
        if (left := self._spool.undrained()) is not None:
            logger.warning(
                "events are left in the spool file %s; `learning-machine spool drain` takes them up", left[0]
            )
        try:
            self._spool.release()
        except OSError as error:
            logger.error("the spool file could not be brought to the disk (%s)", type(error).__name__)

    def _run(self, stop: threading.Event) -> None:
        result, finished = Drained(), False
        taker = self._taker()
        try:
            drain_directory(self._spool.directory, self._spool.destination, taker, result, stop.is_set)
            while result.cause is None and not stop.is_set() and (own := self._spool.undrained()) is not None:
                self._drain_own(*own, taker, result, stop)
            finished = result.cause is None
        except OSError as error:
            result.cause = type(error).__name__
        finally:
            taker.close()
            if not finished:
                self.due, self._not_before = True, time.monotonic() + RETRY_SECONDS
        self._tell(result)

    def _drain_own(
        self, path: Path, start: int, until: int, taker: Taker, result: Drained, stop: threading.Event
    ) -> None:
        if (file := opened(path)) is None:  # somebody removed it from under us
            logger.error("the spool file %s is gone, with what was not drained yet", path)
            self._spool.was_drained(path, until)
            return
        with file:
            reached = drain(path, file, start, until, taker, result, stop.is_set)
        self._spool.was_drained(path, reached)

    def _tell(self, result: Drained) -> None:
        if result.accepted or result.known:
            logger.warning("spooled events are accepted now: %d, and %d were before", result.accepted, result.known)
        if result.refused or result.damaged:
            logger.error(
                "spooled events were refused (%d) or damaged (%d): the .refused files in %s say which, and why",
                result.refused,
                result.damaged,
                self._spool.directory,
            )
        if result.torn:
            logger.warning("%d spooled events were cut off by a crash before emit returned", result.torn)
