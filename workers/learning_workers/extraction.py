"""Extraction: claim a mailbox, read a window, ask the model, commit what holds. No transaction is open while the model is asked."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from learning_schemas.ids import uuid7
from learning_schemas.tracing import Trace, span
from learning_stores import mailbox
from learning_stores.admission import admission
from learning_stores.commit import Committed, Extraction, Fenced, commit, settle_without_extraction
from learning_stores.database import Database
from learning_stores.deliveries import Settlement
from learning_stores.learning_rows import Raced
from learning_stores.mailbox import CRASHES_ALONE, Claim, NotReady
from learning_stores.operations import Operations
from learning_stores.settings import ServiceSettings
from learning_stores.specs import SpecCache
from learning_stores.store import LearningStore
from learning_stores.window import Window
from learning_workers.asking import BACKOFF_SECONDS, CONFIGURATION_SECONDS, Asker, Dies, Inquiry, Waits
from learning_workers.backoff import backoff
from learning_workers.calls import CallContext
from learning_workers.gate import BRIEF_SECONDS, PATIENT_SECONDS, Gate
from learning_workers.heartbeat import Heartbeat
from learning_workers.material import Material, read_material
from learning_workers.metrics import FENCED, WAITS, observe_extraction, reason_label, store_label
from learning_workers.model_client import ModelClient
from learning_workers.models import Catalogue
from learning_workers.outcomes import AnswerFailure, CutOff, InvalidOutput
from learning_workers.pace import Pace
from learning_workers.purse import Purse
from learning_workers.question import label_known

logger = structlog.get_logger("learning.worker")

T = TypeVar("T")

MAX_WINDOWS = 8
"""Windows of one claim; then others have a turn."""
COMMIT_TRIES = 5
_CLASHES = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.UniqueViolation,  # an equal row became live after the locks were taken: the answer is not at fault
)


@dataclass(kw_only=True)
class Report:
    """What a task did, in counts: its result in Flower."""

    outcome: str
    reason: str | None = None
    wait: str | None = None
    windows: int = 0
    events: int = 0
    model_calls: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    dead: list[tuple[UUID, str]] = field(default_factory=list)

    def called(self) -> None:
        """A model was asked."""
        self.model_calls += 1

    def as_result(self) -> dict[str, Any]:
        """JSON of ids and counts."""
        if self.reason is not None:
            return {"outcome": self.outcome, "reason": self.reason}
        return {
            "outcome": self.outcome,
            "windows": self.windows,
            "events": self.events,
            "model_calls": self.model_calls,
            "changes": dict(self.changes),
            "dropped": dict(self.dropped),
        }


class Extractor:
    """The work of one worker process on the mailboxes of one store."""

    def __init__(
        self,
        store: LearningStore,
        database: Database,
        specs: SpecCache,
        catalogue: Catalogue,
        client: ModelClient,
        heartbeat: Heartbeat,
        settings: ServiceSettings,
        owner: str,
        gate: Gate | None = None,
        purse: Purse | None = None,
    ) -> None:
        """`gate` and `purse` are one of a process; made from the settings where none is given."""
        self.store = store
        self._database = database
        self._specs = specs
        self._catalogue = catalogue
        purse = purse or Purse(database, catalogue, settings.model_deadline)
        self._asker = Asker(store, catalogue, client, gate or Gate.of(settings), purse, settings.model)
        self._heartbeat = heartbeat
        self._settings = settings
        self._owner = owner

    def work(self, tenant: str, mailbox_id: int, stopping: Callable[[], bool] = lambda: False) -> Report:
        """Claim a mailbox and extract what is due in it. A nudge that finds nothing to do changes nothing."""
        held = self._database.run(tenant, mailbox.claim, tenant, mailbox_id, self._owner)
        if isinstance(held, NotReady):
            if held.reason == "paused":
                return Report(outcome="waiting", reason=held.wait_reason or "paused", wait=held.wait_note)
            return Report(outcome="no_work", reason=held.reason)
        report = Report(outcome="no_work")
        log = logger.bind(mailbox_id=mailbox_id, token=held.token, store=self.store.name)
        with self._heartbeat.of(held):
            try:
                self._windows(held, report, stopping)
            except Fenced as error:
                FENCED.labels(store_label(self.store.name)).inc()
                log.warning("work refused", cause=str(error))
                report.outcome = "fenced"
                report.reason = str(error)
            except Waits as wait:
                self._database.run(tenant, mailbox.wait, held, wait.reason, wait.note, wait.seconds, wait.failures)
                WAITS.labels(store_label(self.store.name), reason_label(wait.reason)).inc()
                tell = log.info if wait.asked_nobody else log.warning  # of those there may be thousands
                tell("mailbox waits", reason=wait.reason, note=wait.note, seconds=round(wait.seconds, 1))
                report.outcome, report.reason, report.wait = "waiting", wait.reason, wait.note
            except (SQLAlchemyError, psycopg.Error) as error:
                self._give_back(held, error)
                raise
        log.info("task done", outcome=report.outcome, windows=report.windows, events=report.events)
        return report

    def _give_back(self, held: Claim, error: Exception) -> None:
        """Pause the mailbox where the database failed, so that this does not count as a crash of its events."""
        cause = type(getattr(error, "orig", None) or error).__name__
        try:
            self._database.run(
                held.tenant,
                mailbox.wait,
                held,
                "retry",
                cause,
                backoff(held.failures, BACKOFF_SECONDS),
                held.failures + 1,
            )
        except (SQLAlchemyError, psycopg.Error):
            logger.warning("the lease runs out by itself", mailbox_id=held.mailbox_id, cause=cause)

    def _windows(self, held: Claim, report: Report, stopping: Callable[[], bool]) -> None:
        pace = Pace(self._settings.window_tokens)

        def keep() -> bool:
            """Whether to go on after this window; asked when the model has answered, which can take long."""
            return report.windows + 1 < MAX_WINDOWS + pace.alone and not stopping()

        go_on = True
        while go_on:
            current = replace(held, window_limit=pace.limit(held.window_limit))
            crashes = held.crashes_alone >= CRASHES_ALONE and report.windows == 0
            material = self._database.run(
                held.tenant, read_material, self.store, self._specs, current, pace.budget, window_only=crashes
            )
            if material is None:
                # Settled by others, or forgotten: nothing is left to hold on to.
                self._database.run(held.tenant, settle_without_extraction, held, [], keep=False, at_once=False)
                return
            window = material.window
            try:
                if crashes:
                    raise Dies("crashes")
                # Where an answer was of no use, what was asked since then would be asked again if the mailbox were given back.
                patience = PATIENT_SECONDS if pace.slow else BRIEF_SECONDS
                with self._traced(window) as trace:
                    committed = self._extract(held, material, report, keep=keep, patience=patience, stopping=stopping)
                    trace.note(learning__outcome=committed.outcome, learning__changes=committed.changes.total())
                go_on = committed.go_on
                report.windows += 1
                report.events += len(window.deliveries)
                report.changes.update(committed.changes)
                report.outcome = "extracted" if report.changes else committed.outcome
                pace.done(event_over=window.deliveries[-1].next_message is None)
            except CutOff as failure:
                if not pace.slower(window):
                    go_on = self._bury(held, window, report, failure.outcome, failure.note, keep=keep())
                    pace.done(event_over=True)
            except AnswerFailure as failure:
                if len(window.deliveries) == 1:
                    go_on = self._bury(held, window, report, failure.outcome, failure.note, keep=keep())
                    pace.done(event_over=True)
                else:
                    pace.alone = len(window.deliveries)
            except Dies as dead:
                go_on = self._bury(held, window, report, dead.reason, dead.reason, keep=keep())

    def _traced(self, window: Window) -> AbstractContextManager[Trace]:
        """A span of the trace that the last of these turns is in; the others are linked."""
        *others, last = [delivery.traceparent for delivery in window.deliveries]
        attributes: dict[str, str | int] = {
            "learning.store": self.store.name,
            "learning.events": len(window.deliveries),
            "learning.event_id": str(window.deliveries[-1].event_id),
        }
        return span("learning.extract", "consumer", parent=last, links=others, attributes=attributes)

    def _extract(
        self,
        held: Claim,
        material: Material,
        report: Report,
        *,
        keep: Callable[[], bool],
        patience: float,
        stopping: Callable[[], bool],
    ) -> Committed:
        window, spec, reading = material.window, material.spec, material.reading
        if spec is None:
            raise Waits("waiting for spec", f"spec {window.spec_hash[:12]} is not registered", CONFIGURATION_SECONDS)
        store_spec = spec.stores[self.store.name]
        model = self._asker.model(store_spec, spec)
        prompt = self.store.prompt(store_spec)
        extraction_id, started = uuid7(), datetime.now(UTC)
        if reading is None:
            raise Dies("no user_id")
        known = label_known(material.known)
        model_name, note, operations = model.name, None, Operations(kept=(), dropped=Counter())
        if window.by_label:
            context = CallContext.of(
                held, extraction_id=extraction_id, prompt=prompt, asked=model, events=len(window.deliveries)
            )
            inquiry = Inquiry(
                context=context,
                failures=held.failures,
                spec=store_spec,
                known=known,
                window=window,
                patience=patience,
                stopping=stopping,
                called=report.called,
            )
            reply = self._asker.ask(inquiry)
            model_name = reply.model or reply.asked
            operations = self._asker.operations(reply, window, known, store_spec)
            served = self._catalogue.served(model_name)
            note = served.nothing_found if served is not None else None
        report.dropped.update(operations.dropped)
        extraction = Extraction(
            id=extraction_id,
            window=window,
            place=reading.place,
            admission=admission(self.store, store_spec, "extraction"),
            operations=operations.kept,
            dropped=operations.dropped,
            model=model_name,
            prompt_name=prompt.name,
            prompt_version=prompt.version,
            started_at=started,
            note=note,
        )
        with span("learning.commit"):
            committed = self._commit(held, extraction, keep=keep())
        observe_extraction(self.store.name, committed.changes.total(), operations.dropped.items())
        return committed

    def _commit(self, held: Claim, extraction: Extraction, *, keep: bool) -> Committed:
        """Commit; what lost against a concurrent writer is run again, the same patch, never the model."""
        for left in range(COMMIT_TRIES - 1, -1, -1):
            try:
                return self._database.run(held.tenant, commit, held, extraction, keep=keep)
            except Raced:
                if not left:
                    raise
            except DBAPIError as error:
                if not left or not isinstance(error.orig, _CLASHES):
                    if isinstance(error.orig, (psycopg.DataError, psycopg.IntegrityError)):
                        raise InvalidOutput(f"the database refuses it ({type(error.orig).__name__})") from None
                    raise
                logger.info("commit repeated", mailbox_id=held.mailbox_id, cause=type(error.orig).__name__)
        raise AssertionError("unreachable")

    def _bury(self, held: Claim, window: Window, report: Report, reason: str, error: str, *, keep: bool) -> bool:
        """Mark the window's first event dead; the mailbox goes on without it."""
        delivery = window.deliveries[0]
        settlement = Settlement(
            event_id=delivery.event_id, generation=delivery.generation, state="dead", reason=reason, error=error
        )
        go_on = self._database.run(
            held.tenant, settle_without_extraction, held, [settlement], keep=keep, at_once=window.more
        )
        report.dead.append((delivery.event_id, reason))
        report.windows += 1
        logger.error("delivery dead", event_id=str(delivery.event_id), store=held.store, reason=reason, error=error)
        return go_on
