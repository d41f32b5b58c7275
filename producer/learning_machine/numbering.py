"""This process's producer ids, and the numbers of its events: without gaps for each place they go to, new after a fork."""

import os
from uuid import UUID, uuid4

from learning_machine.lock import Lock
from learning_schemas.closing import ProducerClosed


class Numbering:
    """Hands out (producer, seq) pairs for one destination; safe in threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.renew()

    def renew(self) -> None:
        """Begin anew, as another producer."""
        self.producer = uuid4()
        self._last = self._reported = 0

    def take(self) -> tuple[UUID, int]:
        """The producer id and a number that no other event of it has."""
        with self._lock.mutex:
            self._last += 1
            return self.producer, self._last

    def unreported(self) -> ProducerClosed | None:
        """The last number, where it was not reported yet."""
        with self._lock.mutex:
            return ProducerClosed(producer=self.producer, last=self._last) if self._last > self._reported else None

    def was_reported(self, closed: ProducerClosed) -> None:
        """Take in that it arrived."""
        with self._lock.mutex:
            if closed.producer == self.producer:
                self._reported = max(self._reported, closed.last)


_NUMBERINGS: dict[str, Numbering] = {}


def numbering_for(destination: str) -> Numbering:
    """The numbering of all machines of this process that send to that address; to another one counts by itself."""
    return _NUMBERINGS.setdefault(destination, Numbering())


def _renew() -> None:
    for numbering in _NUMBERINGS.values():
        numbering.renew()


os.register_at_fork(after_in_child=_renew)
