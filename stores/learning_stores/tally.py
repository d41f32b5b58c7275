"""What a transaction did, in counts, handed over once it has committed: what was rolled back is counted nowhere.

Functions of this package count on their `Session`; `Database.on_commit` gets the tally. Counts name stores, states, reasons and
jobs, never a tenant, a user or a session, because they end in metrics.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from sqlalchemy.orm import Session

Counted = Literal[
    "accepted",  # via
    "rejected",  # field
    "redacted",  # kind
    "settled",  # store, state
    "dead",  # store, reason
    "mailbox taken over",  # store
    "shard taken over",
    "run taken over",  # job
    "run failed",  # job
]
"""What is counted, with what its labels are."""

_KEY = "tally"


@dataclass(kw_only=True)
class Tally:
    """One transaction's. `recallable` are (store, event id) of events that are done in a store for the first time."""

    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    recallable: list[tuple[str, UUID]] = field(default_factory=list)


def tally_of(session: Session) -> Tally:
    """The tally of the transaction that this session is in; empty at first. Not for what a savepoint may roll back."""
    found: Tally = session.info.setdefault(_KEY, Tally())
    return found


def count(session: Session, what: Counted, *labels: str, number: int = 1) -> None:
    """Count something that this transaction does."""
    if number:
        tally_of(session).counts[what, *labels] += number


def take_tally(session: Session) -> Tally | None:
    """What was counted since the last time; None where nothing was."""
    found: Tally | None = session.info.pop(_KEY, None)
    return found
