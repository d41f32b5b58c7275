"""Waiting until an event is settled: how often to look, and what is known when the time is up."""

import itertools
import time
from collections.abc import Iterator
from uuid import UUID

import psycopg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from learning_machine.arguments import checked_number
from learning_machine.emitter import told
from learning_schemas.errors import EventForgotten, InvalidArgument, SettleTimeout
from learning_schemas.results import SETTLED, Receipt
from learning_schemas.spec import MachineSpec
from learning_stores.deliveries import DeliveryStates, delivery_states
from learning_stores.subjects import is_forgotten

FAILURES = (SQLAlchemyError, psycopg.Error, OSError)
"""What a look may fail with; a database that is away for a while ends no wait."""
LONGEST_SECONDS = 30 * 86_400.0
_PAUSES = (0.01, 0.02, 0.05, 0.1)  # seconds between two looks; the last one from then on


def look(session: Session, receipt: Receipt) -> DeliveryStates | None:
    """The states of an event's deliveries, which are asked for now; None where the event was forgotten."""
    found = delivery_states(session, receipt.tenant, receipt.event_id, flush=True)
    owner = receipt.user_id, receipt.session_id
    if not found.states and is_forgotten(session, receipt.tenant, receipt.event_id, owner):
        return None
    return found


class Waiting:
    """One wait for one event. Raises `InvalidArgument`."""

    def __init__(self, receipt: Receipt, timeout: float, spec: MachineSpec, tenant: str) -> None:
        if not isinstance(receipt, Receipt):
            raise InvalidArgument("receipt", f"is {type(receipt).__name__}", "Give the Receipt that emit returned")
        if receipt.tenant != tenant:
            raise InvalidArgument(
                "receipt", "is another tenant's", "Ask the machine that emitted the event: machine.for_tenant('acme')"
            )
        self.timeout = checked_number("timeout", timeout, 0, LONGEST_SECONDS, "The default is 30 seconds")
        self.event: tuple[str, UUID] = (receipt.tenant, receipt.event_id)
        self.states: dict[str, str] = {}
        self._waits: dict[str, str] = {}
        self._stores = set(spec.always())
        self._cause: str | None = None
        self._until = time.monotonic() + self.timeout

    def pauses(self) -> Iterator[float]:
        """Seconds to wait after each look, the last of which is when the time is up. Then raises `SettleTimeout`."""
        for number in itertools.count():
            left = self._until - time.monotonic()
            yield max(0.0, min(_PAUSES[min(number, len(_PAUSES) - 1)], left))
            if left <= 0:
                raise SettleTimeout(self.timeout, self.states, self._cause, self._waits)

    def looks(self) -> Iterator[float]:
        """The same, without an error at the end."""
        try:
            yield from self.pauses()
        except SettleTimeout:
            return

    def is_over(self, found: DeliveryStates | None) -> bool:
        """Take in what a look found; whether every delivery is settled. Raises `EventForgotten` where there will be none."""
        if found is None:
            raise EventForgotten(self.event[1], self.timeout)
        (self.states, self._waits), self._cause = found, None
        return self._stores <= set(self.states) and all(state in SETTLED for state in self.states.values())

    def failed(self, error: Exception) -> None:
        """Take in that a look failed."""
        self._cause = told(error)
