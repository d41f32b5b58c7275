"""Reading what may hang: one reader at a time, in a thread of its own, and nobody waits for it longer than they said."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Reading(Generic[T]):
    """What `read` gives, kept for `fresh` seconds, with what it raises. Safe in threads.

    Whoever asks while it is read waits for the same answer, so that a server that hangs has one of our threads, not one a probe.
    """

    def __init__(self, read: Callable[[], T], *, seconds: float, fresh: float) -> None:
        """`seconds` is how long to wait at most."""
        self._read, self._seconds, self._fresh = read, seconds, fresh
        self._lock = threading.Lock()
        self._future: Future[T] | None = None
        self._read_at = 0.0

    def __call__(self) -> T:
        """The answer. Raises TimeoutError where there is none in time, and what `read` raises."""
        with self._lock:
            future = self._future
            if future is None or (future.done() and time.monotonic() - self._read_at >= self._fresh):
                future = self._future = Future()
                threading.Thread(target=self._fill, args=(future,), name="reading", daemon=True).start()
        return future.result(self._seconds)

    def _fill(self, future: "Future[T]") -> None:
        try:
            answer = self._read()
        except Exception as error:
            self._read_at = time.monotonic()
            future.set_exception(error)
        else:
            self._read_at = time.monotonic()
            future.set_result(answer)
