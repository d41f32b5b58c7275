"""What is logged of the memory in an agent's run: each failure once a minute, each argument without a meaning once a process."""

import logging
import time

from learning_machine.emitter import told
from learning_machine.lock import Lock

logger = logging.getLogger("learning_machine")

LOG_EVERY = 60.0


class Notices:
    """The failures of one machine; safe in threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._logged: dict[str, float] = {}
        self._kept_back: dict[str, int] = {}

    def failed(self, what: str, cause: Exception | str) -> None:
        """Log that `what` failed, unless the same was logged within the last minute."""
        now = time.monotonic()
        with self._lock.mutex:
            if now - self._logged.get(what, -LOG_EVERY) < LOG_EVERY:
                self._kept_back[what] = self._kept_back.get(what, 0) + 1
                return
            self._logged[what] = now
            before = self._kept_back.pop(what, 0)
        since = f", and {before} more since the last such line" if before else ""
        logger.warning(
            "%s failed, and the run goes on: %s%s", what, cause if isinstance(cause, str) else told(cause), since
        )


_told_of: set[str] = set()


def ignored(argument: str, why: str) -> None:
    """Log once a process that an argument of agno's means nothing here."""
    if argument not in _told_of:
        _told_of.add(argument)
        logger.warning("%s is ignored: %s", argument, why)
