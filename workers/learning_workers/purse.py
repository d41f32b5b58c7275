"""The purse: reserves what a call may cost before it is made, and records what it did cost when it returned.

A record that Postgres did not take is kept in this process and written with the next; if the process ends before, the
reservation is found and counted as a call that was lost.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from learning_schemas.ids import uuid7
from learning_stores.database import Database
from learning_stores.reservations import Begun, Offer, OverBudget, Unpriced, release, reserve, sweep
from learning_workers.backoff import spread
from learning_workers.calls import CallContext, CallRecord, record_call, record_of
from learning_workers.gate import PATIENT_SECONDS
from learning_workers.metrics import observe_call
from learning_workers.model_client import Reply
from learning_workers.models import FLEX, Catalogue, Model

logger = structlog.get_logger("learning.purse")

MARGIN_SECONDS = 15.0
"""How much longer than its deadline a call may stand as under way."""
TURN_SPREAD_SECONDS = 600.0
"""Over how long the mailboxes that waited for a day's turn come back."""
CROWDED_SECONDS = 5.0
"""When to look again where only calls under way take up the room."""
UNPRICED_SECONDS = 60.0
SWEEP_SECONDS = 10.0
"""How often a process looks for what a tenant's dead workers left behind."""
KEPT_RECORDS = 1_000
KEPT_TENANTS = 10_000


class NoBudget(Exception):
    """Nothing was asked: no budget has room for it for `seconds`, because of `note`."""

    def __init__(self, note: str, seconds: float) -> None:
        super().__init__(note)
        self.note, self.seconds = note, seconds


@dataclass(frozen=True, kw_only=True)
class Reserved:
    """Leave for one call: its id, the model to ask, at which tier, and US dollars that it may cost at most (None: unknown)."""

    id: UUID
    tenant: str
    model: str
    tier: str | None
    usd: Decimal | None


class Purse:
    """One process's. Safe in threads."""

    def __init__(self, database: Database, catalogue: Catalogue, deadline: float) -> None:
        """`deadline` is how long (seconds) a call may take."""
        self._database = database
        self._catalogue = catalogue
        self.seconds = deadline + PATIENT_SECONDS + MARGIN_SECONDS
        self._unwritten: deque[tuple[float, CallRecord]] = deque(maxlen=KEPT_RECORDS)
        self._swept: dict[str, float] = {}  # by tenant
        self._lock = threading.Lock()

    def reserve(self, context: CallContext, tokens: int) -> tuple[Reserved, Model]:
        """Leave to send so many tokens (by estimate) to the model that is asked, or to a cheaper one. Raises `NoBudget`."""
        asked, other = context.asked, self._catalogue.cheaper(context.asked)
        cheaper = None
        if other is not None and (most := other[0].most(tokens, other[1])) is not None:
            cheaper = Offer(model=other[0].name, usd=most)
        usual = FLEX if context.can_wait and asked.flex is not None else None
        offer = Offer(model=asked.name, usd=asked.most(tokens, usual))
        call_id = uuid7()
        begun = Begun(
            tenant=context.tenant,
            id=call_id,
            extraction_id=context.extraction_id,
            store=context.store,
            purpose=context.purpose,
            prompt_name=context.prompt.name,
            prompt_version=context.prompt.version,
            events=context.events,
            seconds=self.seconds,
            lease=context.lease,
        )
        chosen = self.begin(begun, offer, cheaper)
        model, tier = other if other is not None and chosen is cheaper else (asked, usual)
        return Reserved(id=call_id, tenant=context.tenant, model=model.name, tier=tier, usd=chosen.usd), model

    def begin(self, begun: Begun, asked: Offer, cheaper: Offer | None = None) -> Offer:
        """The same of a call that is offered at a price. Raises `NoBudget`."""
        try:
            return self._database.run(begun.tenant, self._begin, begun, asked, cheaper)
        except Unpriced as unpriced:
            raise NoBudget(unpriced.note, spread(UNPRICED_SECONDS)) from None
        except OverBudget as over:
            if over.seconds is None:
                raise NoBudget(over.note, spread(CROWDED_SECONDS)) from None
            raise NoBudget(over.note, spread(over.seconds, TURN_SPREAD_SECONDS)) from None

    def _begin(self, session: Session, begun: Begun, asked: Offer, cheaper: Offer | None) -> Offer:
        now = time.monotonic()
        if now - self._swept.get(begun.tenant, float("-inf")) <= SWEEP_SECONDS:
            return reserve(session, begun, asked, cheaper)
        sweep(session, begun.tenant)
        offer = reserve(session, begun, asked, cheaper)  # what it raises takes the sweep back, too
        if len(self._swept) >= KEPT_TENANTS:
            self._swept.clear()
        self._swept[begun.tenant] = now
        return offer

    def give_up(self, tenant: str, call_id: UUID) -> None:
        """Nobody was asked after all."""
        self._database.run(tenant, release, tenant, call_id)

    def record(self, context: CallContext, reserved: Reserved, reply: Reply) -> CallRecord:
        """Write down what came of a call. Raises what the database raises; the record is then written with a later one."""
        record = record_of(context, reserved.id, reserved.model, reply, self._catalogue, reserved.usd)
        self.write(record)
        return record

    def write(self, record: CallRecord) -> None:
        """The same with a record that is made."""
        observe_call(record)
        began = time.monotonic()
        try:
            self._database.run(record.tenant, record_call, record)
        except (SQLAlchemyError, psycopg.Error) as error:
            self._keep(began, record, error)
            raise
        self._write_kept()

    def _write_kept(self) -> None:
        while True:
            with self._lock:
                if not self._unwritten:
                    return
                returned, record = self._unwritten.popleft()
            try:
                self._database.run(record.tenant, record_call, record, time.monotonic() - returned)
            except (SQLAlchemyError, psycopg.Error) as error:
                self._keep(returned, record, error)
                return

    def _keep(self, returned: float, record: CallRecord, error: Exception) -> None:
        """Keep a record for later, unless it is the record that Postgres does not take."""
        cause = type(getattr(error, "orig", None) or error).__name__
        told = {"call_id": str(record.id), "model": record.model_asked, "cause": cause}
        if isinstance(getattr(error, "orig", error), (psycopg.DataError, psycopg.IntegrityError)):
            logger.error("a model call cannot be recorded", **told)
            return
        with self._lock:
            self._unwritten.append((returned, record))
        logger.warning("a model call is not recorded yet", **told)
