"""A thread that looks at something every few seconds, as long as a block runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from learning_workers.pulse import LOOK_EVERY


@contextmanager
def looking(look: Callable[[], None]) -> Iterator[None]:
    """Call `look`, which must not raise, every `LOOK_EVERY` seconds. The end of the block does not wait for one that hangs."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(LOOK_EVERY):
            look()

    threading.Thread(target=run, name="look", daemon=True).start()
    try:
        yield
    finally:
        over.set()
