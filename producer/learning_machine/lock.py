"""A lock that the child of a fork can take, whoever held it in the parent."""

import os
import threading
from weakref import WeakSet


class Lock:
    """Holds a mutex, which is new after a fork: `with lock.mutex: …`."""

    def __init__(self) -> None:
        self.renew()
        _ALL.add(self)

    def renew(self) -> None:
        """Forget who holds it."""
        self.mutex = threading.Lock()


_ALL: WeakSet[Lock] = WeakSet()


def _in_child_of_fork() -> None:
    for lock in _ALL:
        lock.renew()


os.register_at_fork(after_in_child=_in_child_of_fork)
