"""This process's producer ids, and the numbers of its events: without gaps for each place they go to, new after a fork."""

import itertools
import os
from uuid import UUID, uuid4


class Numbering:
    """Hands out (producer, seq) pairs for one destination; safe in threads."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, as another producer."""
        self.producer = uuid4()
        self._numbers = self.producer, itertools.count(1)

    def take(self) -> tuple[UUID, int]:
        """The producer id and a number that no other event of it has."""
        producer, numbers = self._numbers
        return producer, next(numbers)  # one step of the interpreter: no two threads get the same


_NUMBERINGS: dict[str, Numbering] = {}


def numbering_for(destination: str) -> Numbering:
    """The numbering of all machines of this process that send to that address; to another one counts by itself."""
    return _NUMBERINGS.setdefault(destination, Numbering())


def _renew() -> None:
    for numbering in _NUMBERINGS.values():
        numbering.renew()


os.register_at_fork(after_in_child=_renew)
