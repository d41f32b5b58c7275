"""Draining in the background of the process that spools: as long as something lies in its file, and when the machine is closed.

The process's own file is drained, and files that processes before it left in the directory for the same database. It has
connections of its own, and a thread only while there is something to do: until the own file is drained it is tried every
second, so that what has to come behind it waits no longer than the servers are away.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from learning_machine.lock import Lock
from learning_machine.spool import Spool
from learning_machine.spool_drain import Drained, drain, drain_directory
from learning_machine.spool_file import opened
from learning_machine.spool_taker import Taker

logger = logging.getLogger("learning_machine")

LAST_BYTES = 256 * 1024
"""So much of the own file is drained while what comes behind it waits; and more, where it comes faster than it is drained."""
RETRY_SECONDS = 1.0
"""So long after a run that could not finish the next one begins."""


class Drainer:
    """Drains for one spool; safe in threads and after a fork."""

    def __init__(self, spool: Spool, taker: Callable[[], Taker]) -> None:
        self.due = True  # a process before this one may have left something
        self._spool = spool
        self._taker = taker
        self._lock = Lock()
        self._running: threading.Thread | None = None
        self._not_before = 0.0
        self._told: str | None = None  # what is in the way, told once
        self._closing = threading.Event()
        self._stop = threading.Event()

    def wake(self, *, spooled: bool = False) -> None:
        """Begin to drain where that is due, as it is once something was `spooled`, and nobody is at it."""
        if spooled:
            self.due, self._not_before = True, 0.0
        if not self.due or time.monotonic() < self._not_before:
            return
        with self._lock.mutex:
            if self._running is not None and self._running.is_alive():
                return  # who looks whether it is due again before it ends
            self._closing, self._stop = threading.Event(), threading.Event()
            thread = threading.Thread(
                target=self._run, args=(self._closing, self._stop), name="learning-machine-spool", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # the process is ending: the file stays for whoever drains the directory
                return
            self._running = thread

    def close(self, seconds: float) -> None:
        """Drain what there is, for so long; leave the rest in the directory, to be drained by others."""
        if self._spool.undrained() is not None:
            self.wake(spooled=True)
        if (running := self._running) is not None:
            self._closing.set()
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

    def _run(self, closing: threading.Event, stop: threading.Event) -> None:
        while True:
            last = closing.is_set()
            self.due = False  # what is spooled from now on makes it due again
            finished = self._drained(stop)
            with self._lock.mutex:
                waits = self._spool.undrained() is not None
                if not finished:
                    self.due, self._not_before = True, time.monotonic() + RETRY_SECONDS
                if last or stop.is_set() or not (waits or (finished and self.due)):
                    self._running = None
                    return
            if not finished:
                closing.wait(RETRY_SECONDS)

    def _drained(self, stop: threading.Event) -> bool:
        """Drain once; whether everything was that is drained here."""
        result, finished = Drained(), False
        before: int | None = None  # bytes that the round before had to drain
        taker = self._taker()
        try:
            unread = self._drain_others(taker, result, stop)
            while result.cause is None and not stop.is_set() and (own := self._spool.undrained()) is not None:
                left = own[2] - own[1]
                # Nobody is to wait for a server that is away: only where one has just taken some.
                waits = before is not None and (left <= LAST_BYTES or left > before / 2)
                with self._spool.paused() if waits else nullcontext():
                    if (own := self._spool.undrained()) is not None:
                        self._drain_own(*own, taker, result, stop)
                before = left
            finished = result.cause is None and not unread and not stop.is_set()
        except OSError as error:
            self._in_the_way(f"the spool in {self._spool.directory} cannot be drained ({type(error).__name__})")
        finally:
            taker.close()
        self._tell(result)
        if finished:
            self._told = None
        return finished

    def _drain_others(self, taker: Taker, result: Drained, stop: threading.Event) -> bool:
        """What others left comes first, since it is older. Whether it cannot be read: the own file does not wait for that."""
        try:
            drain_directory(self._spool.directory, self._spool.destination, taker, result, stop.is_set)
        except OSError as error:
            told = f"what other processes left in {self._spool.directory} cannot be drained ({type(error).__name__})"
            self._in_the_way(told)
            return True
        return False

    def _in_the_way(self, told: str) -> None:
        if told != self._told:
            self._told = told
            logger.error("%s", told)

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
