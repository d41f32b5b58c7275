"""Where an event goes that Redis does not take: straight into the Postgres event log, else into the spool.

All of emit has one budget of time. Postgres gets what Redis left of it, less what is kept for the spool where there is one.
"""

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from learning_machine.breaker import breaker_for
from learning_machine.deadline import awithin, within
from learning_machine.failure import REFUSALS, told
from learning_schemas.closing import ProducerClosed
from learning_schemas.errors import NotAccepted
from learning_schemas.event import ConversationCompleted
from learning_schemas.results import Via
from learning_schemas.scope import subject_of
from learning_schemas.spec import MachineSpec
from learning_stores.database import Database
from learning_stores.event_log import Incoming, Interference, Verdict, accept_directly
from learning_stores.producers import report_last_directly
from learning_stores.specs import SpecCache

if TYPE_CHECKING:
    from learning_machine.spool import Spool

SPOOL_SHARE = 0.2
"""Of the budget, kept for the spool."""
PATIENCE_SECONDS = 0.2
"""And at most that share of it: how long an event that comes behind others waits for them to be drained."""

_ANY_TENANT = None  # a producer counts over all of them

_FAILURES = (SQLAlchemyError, psycopg.Error, OSError, Interference)
_OF_THE_EVENT = (psycopg.DataError, psycopg.IntegrityError)  # the server is well


class Entry(NamedTuple):
    """An event on its way, with the spec that it names."""

    event: ConversationCompleted
    producer: UUID
    seq: int
    stream: str
    body: bytes
    spec: MachineSpec

    @property
    def whose(self) -> tuple[str, str]:
        """Tenant and subject."""
        return self.event.tenant, subject_of(self.event.user_id, self.event.session_id)

    def numbered(self) -> ConversationCompleted:
        """The event as its body says it."""
        return self.event.model_copy(update={"producer": self.producer, "seq": self.seq})


class Fallback:
    """The places after Redis."""

    def __init__(
        self, database: Database, *, shards: int, seconds: float, spool: "Spool | None" = None, spool_bytes: int = 0
    ) -> None:
        self._database = database
        self._breaker = breaker_for(database.conninfo)
        self._specs = SpecCache()
        self._shards = shards
        self._seconds = seconds
        self._spool = spool
        self._spool_bytes = spool_bytes
        self._patience = min(PATIENCE_SECONDS, seconds * SPOOL_SHARE)
        self._reserved = 0.0 if spool is None else seconds * SPOOL_SHARE

    @property
    def is_away(self) -> bool:
        """Whether no place here would take an event."""
        return self._spool is None and self._breaker.is_open

    def spooled(self, entry: Entry, until: float, causes: dict[str, str]) -> bool:
        """Whether the spool took the event, which is to come behind others there.

        If not, either `causes` says why, or nothing is there any more that it would have to come behind.
        """
        try:
            return within(until - time.monotonic(), lambda: self._append_behind(entry))
        except OSError as error:
            causes["spool"] = _told(error)
            return False

    async def aspooled(self, entry: Entry, until: float, causes: dict[str, str]) -> bool:
        """The same from asyncio."""
        try:
            return await awithin(until - time.monotonic(), lambda: self._append_behind(entry))
        except OSError as error:
            causes["spool"] = _told(error)
            return False

    def accept(self, entry: Entry, until: float, causes: dict[str, str]) -> Via:
        """Where the event was accepted; `causes` says why not before, and is added to. Raises `NotAccepted`."""
        began = time.monotonic()
        left = until - self._kept(causes) - began
        if self._may_ask(began, left, causes):
            try:
                verdict = within(left, lambda: self._accept_directly(entry))
            except _FAILURES as error:
                self._failed(began, error, causes)
            else:
                return self._accepted(entry, verdict, causes)
        if self._spool is None or "spool" in causes:
            raise self._nowhere(entry, causes)
        try:
            within(max(until - time.monotonic(), self._reserved), lambda: self._append(entry))
        except OSError as error:
            raise self._not_spooled(entry, error, causes) from error
        return "spool"

    async def aaccept(self, entry: Entry, until: float, causes: dict[str, str]) -> Via:
        """The same from asyncio."""
        began = time.monotonic()
        left = until - self._kept(causes) - began
        if self._may_ask(began, left, causes):
            try:
                async with asyncio.timeout(left):
                    verdict = await self._aaccept_directly(entry)
            except _FAILURES as error:
                self._failed(began, error, causes)
            else:
                return self._accepted(entry, verdict, causes)
        if self._spool is None or "spool" in causes:
            raise self._nowhere(entry, causes)
        try:
            await awithin(max(until - time.monotonic(), self._reserved), lambda: self._append(entry))
        except OSError as error:
            raise self._not_spooled(entry, error, causes) from error
        return "spool"

    def report(self, closed: ProducerClosed, until: float) -> str | None:
        """Say a producer's last number to Postgres; why that failed, where it did."""
        began, causes = time.monotonic(), dict[str, str]()
        if self._may_ask(began, until - began, causes):
            try:
                within(until - began, lambda: self._database.run(_ANY_TENANT, report_last_directly, closed))
            except _FAILURES as error:
                self._failed(began, error, causes)
            else:
                self._breaker.succeeded(time.monotonic())
        return causes.get("postgres")

    async def areport(self, closed: ProducerClosed, until: float) -> str | None:
        """The same from asyncio."""
        began, causes = time.monotonic(), dict[str, str]()
        if self._may_ask(began, until - began, causes):
            try:
                async with asyncio.timeout(until - began):
                    await self._database.arun(_ANY_TENANT, report_last_directly, closed)
            except _FAILURES as error:
                self._failed(began, error, causes)
            else:
                self._breaker.succeeded(time.monotonic())
        return causes.get("postgres")

    def _kept(self, causes: dict[str, str]) -> float:
        """Seconds that are kept for the spool, unless it was asked before."""
        return 0.0 if "spool" in causes else self._reserved

    def _may_ask(self, now: float, left: float, causes: dict[str, str]) -> bool:
        if left <= 0:
            causes["postgres"] = "not tried: no time was left"
            return False
        if not self._breaker.allows(now, self._seconds):
            causes["postgres"] = self._breaker.why(now)
            return False
        return True

    def _accept_directly(self, entry: Entry) -> Verdict:
        try:
            return self._database.run(entry.event.tenant, accept_directly, *self._direct(entry))
        except Interference:  # the same event, from elsewhere, at the same time
            return self._database.run(entry.event.tenant, accept_directly, *self._direct(entry))

    async def _aaccept_directly(self, entry: Entry) -> Verdict:
        try:
            return await self._database.arun(entry.event.tenant, accept_directly, *self._direct(entry))
        except Interference:
            return await self._database.arun(entry.event.tenant, accept_directly, *self._direct(entry))

    def _direct(self, entry: Entry) -> tuple[Incoming, MachineSpec, SpecCache, int]:
        incoming = Incoming(event=entry.numbered(), via="postgres", body_bytes=len(entry.body))
        return incoming, entry.spec, self._specs, self._shards

    def _failed(self, began: float, error: Exception, causes: dict[str, str]) -> None:
        causes["postgres"] = _told(error)
        if isinstance(getattr(error, "orig", None), _OF_THE_EVENT):
            self._breaker.succeeded(time.monotonic())
            return
        self._breaker.failed(began, time.monotonic(), causes["postgres"])

    def _accepted(self, entry: Entry, verdict: Verdict, causes: dict[str, str]) -> Via:
        self._breaker.succeeded(time.monotonic())
        if verdict in REFUSALS:  # and no other place may take it
            raise NotAccepted(entry.numbered(), {**causes, "postgres": REFUSALS[verdict]})
        return "postgres"

    def _append(self, entry: Entry) -> None:
        assert self._spool is not None
        self._spool.append(entry.whose, entry.body, entry.spec.to_json(), self._spool_bytes)

    def _append_behind(self, entry: Entry) -> bool:
        assert self._spool is not None
        spec = entry.spec.to_json()
        return self._spool.append_behind(entry.whose, entry.body, spec, self._spool_bytes, self._patience)

    def _not_spooled(self, entry: Entry, error: OSError, causes: dict[str, str]) -> NotAccepted:
        return self._nowhere(entry, {**causes, "spool": _told(error)})

    def _nowhere(self, entry: Entry, causes: dict[str, str]) -> NotAccepted:
        places = ("redis", "postgres", "spool")  # as they are asked as a rule
        return NotAccepted(entry.numbered(), {place: causes[place] for place in places if place in causes})


def _told(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) and not str(error) else told(error)
