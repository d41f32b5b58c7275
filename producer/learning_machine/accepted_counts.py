"""What a machine counts of the events that it hands over: by which place they were accepted, and out of their order.

Once a minute the log says where events go, and why not into the stream; a storm of it would tell nothing more.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping

from learning_machine.lock import Lock
from learning_schemas.results import Via

logger = logging.getLogger("learning_machine")

LOG_EVERY = 60.0


class AcceptedCounts:
    """Counts of one machine in this process; safe in threads."""

    def __init__(self) -> None:
        self.by_place: Counter[Via] = Counter()
        self.overtaking = 0  # events accepted before others of their subject, which lie in a spool that took no more
        self._lock = Lock()
        self._logged: dict[str, float] = {}

    def add(self, via: Via, causes: Mapping[str, str]) -> None:
        """Count an event; `causes` says which places were asked before, and why they did not take it."""
        overtakes = "spool" in causes
        with self._lock.mutex:
            self.by_place[via] += 1
            self.overtaking += overtakes
        if via != "stream" and causes and self._is_due(via):
            logger.warning(
                "events are accepted by %s, because other places do not take them (%s); %d so far",
                via,
                "; ".join(f"{place}: {cause}" for place, cause in causes.items()),
                self.by_place[via],
            )
        if overtakes and self._is_due("overtaking"):
            logger.warning(
                "events are accepted before others of the same user or session, which lie in the spool: it takes no "
                "more (%s); %d so far",
                causes["spool"],
                self.overtaking,
            )

    def _is_due(self, what: str) -> bool:
        now = time.monotonic()
        if now - self._logged.get(what, -LOG_EVERY) < LOG_EVERY:
            return False
        self._logged[what] = now
        return True
