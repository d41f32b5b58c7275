"""Running a function in the child of a fork, for tests of what survives one."""

import os
from collections.abc import Callable


def in_child(work: Callable[[], object]) -> str:
    """What a function gives in the child of a fork."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, str(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        told = answer.read()
    assert os.waitpid(pid, 0)[1] == 0
    return told
