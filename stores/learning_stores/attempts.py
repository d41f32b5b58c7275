"""Work that is done again, from the start, where a concurrent write came first."""

from collections.abc import Callable
from typing import TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from learning_stores.learning_rows import Raced

T = TypeVar("T")

TRIES = 5
_CLASHES = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.UniqueViolation,  # an equal row was added after the locks were taken
)


_WITHIN = "within an attempt"


def attempted(session: Session, work: Callable[[], T]) -> T:
    """What `work` returns. Each attempt is a savepoint, so that a failed one gives back the locks that it took.

    Within another attempt it is run once: the outer one holds locks too, and is what has to give them back.
    """
    if session.info.get(_WITHIN):
        return work()
    session.info[_WITHIN] = True
    try:
        return _repeated(session, work)
    finally:
        del session.info[_WITHIN]


def _repeated(session: Session, work: Callable[[], T]) -> T:
    for left in range(TRIES - 1, -1, -1):
        try:
            with session.begin_nested():
                return work()
        except Raced:
            if not left:
                raise
        except DBAPIError as error:
            if not left or not isinstance(error.orig, _CLASHES):
                raise
    raise AssertionError("unreachable")
