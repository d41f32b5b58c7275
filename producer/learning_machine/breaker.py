"""Leaving a server alone that does not take what it is given, so that it costs its time-out once and not in every turn.

A failure opens the breaker for a second, twice as long after each probe that fails, half a minute at most. Then one attempt
is let through as a probe; any success closes it. Times are those of `time.monotonic`.
"""

from learning_machine.lock import Lock

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0


class Breaker:
    """What one process knows of one server; safe in threads and event loops."""

    def __init__(self) -> None:
        self.is_open = False
        self._lock = Lock()
        self._answered_at = self._opened_at = float("-inf")
        self._retry_at = self._urgent_at = self._pause = 0.0
        self._cause = ""

    def allows(self, now: float, probe_seconds: float, *, urgent: bool = False) -> bool:
        """Whether to try. Where it is open, one attempt at a time is a probe, which takes `probe_seconds` at most.

        Where it is `urgent`, because there is no other place, a probe is let through every second.
        """
        if not self.is_open:
            return True
        with self._lock.mutex:
            if self.is_open and now < (min(self._retry_at, self._urgent_at) if urgent else self._retry_at):
                return False
            # A probe that never says what became of it, as one that is cancelled, is followed by the next one then.
            self._retry_at = now + max(self._pause, probe_seconds)
            self._urgent_at = now + max(FIRST_PAUSE, probe_seconds)
            return True

    def succeeded(self, now: float) -> None:
        """An attempt went through."""
        self._answered_at = now
        if self.is_open:
            with self._lock.mutex:
                self.is_open, self._pause = False, 0.0

    def failed(self, began: float, now: float, cause: str) -> None:
        """An attempt that began then failed.

        It opens nothing where another one went through meanwhile (the server is there, and this one had to wait too long),
        and lengthens nothing where it began before the breaker opened.
        """
        with self._lock.mutex:
            if began < self._answered_at or began < self._opened_at:
                return
            self.is_open, self._cause, self._opened_at = True, cause, now
            self._pause = min(max(FIRST_PAUSE, self._pause * 2), LONGEST_PAUSE)
            self._retry_at, self._urgent_at = now + self._pause, now + FIRST_PAUSE

    def why(self, now: float) -> str:
        """Why nothing is tried now."""
        return f"not tried again for {max(0.0, self._retry_at - now):.1f} s, after {self._cause}"


_BREAKERS: dict[str, Breaker] = {}


def breaker_for(destination: str) -> Breaker:
    """What all machines of this process know of the server at that address."""
    return _BREAKERS.setdefault(destination, Breaker())
