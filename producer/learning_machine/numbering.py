"""This process's producer id, and the numbers of its events: without gaps, for all machines together, new after a fork."""

import itertools
import os
from uuid import UUID, uuid4


class Numbering:
    """Hands out (producer, seq) pairs; safe in threads."""

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


NUMBERING = Numbering()
os.register_at_fork(after_in_child=NUMBERING.renew)
