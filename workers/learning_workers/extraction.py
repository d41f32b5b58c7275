"""Extraction: claim a mailbox, read a window, ask the model, commit what holds. No transaction is open while the model is asked."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from learning_schemas.errors import ConfigurationError
from learning_schemas.ids import uuid7
from learning_schemas.scope import GLOBAL_NAMESPACE
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores import mailbox
from learning_stores.admission import admission
from learning_stores.commit import Committed, Extraction, Fenced, commit, settle_without_extraction
from learning_stores.database import Database
from learning_stores.deliveries import Settlement
from learning_stores.learning_rows import Raced
from learning_stores.mailbox import CRASHES_ALONE, Claim, NotReady, WaitReason
from learning_stores.operations import Operations
from learning_stores.place import Place, read_scopes, written_scope
from learning_stores.settings import ServiceSettings
from learning_stores.specs import SpecCache
from learning_stores.store import Known, LearningStore, Reading
from learning_stores.window import Window, load_window
from learning_workers.calls import CallContext, record_call
from learning_workers.heartbeat import Heartbeat
from learning_workers.model_client import ModelClient, Question, Reply
from learning_workers.models import Catalogue, Model
from learning_workers.outcomes import AnswerFailure, CutOff, InvalidOutput, Misconfigured, ModelFailure, ProviderFailure
from learning_workers.pace import Pace
from learning_workers.question import label_known, make_question

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
BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 2.0, 900.0
CONFIGURATION_SECONDS = 60.0
"""Between two tries where somebody has to change the configuration."""


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


class _Wait(Exception):
    """The mailbox must wait."""

    def __init__(self, reason: WaitReason, note: str, seconds: float, failures: int = 0) -> None:
        super().__init__(f"{reason}: {note}")
        self.reason: WaitReason = reason
        self.note = note
        self.seconds = seconds
        self.failures = failures


class _Dead(Exception):
    """The first event of the window cannot be extracted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
    ) -> None:
        self.store = store
        self._database = database
        self._specs = specs
        self._catalogue = catalogue
        self._client = client
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
                log.warning("work refused", cause=str(error))
                report.outcome = "fenced"
                report.reason = str(error)
            except _Wait as wait:
                self._database.run(tenant, mailbox.wait, held, wait.reason, wait.note, wait.seconds, wait.failures)
                log.warning("mailbox waits", reason=wait.reason, note=wait.note, seconds=round(wait.seconds, 1))
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
                held.tenant, mailbox.wait, held, "retry", cause, _backoff(held.failures), held.failures + 1
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
            window = self._database.run(held.tenant, load_window, current, pace.budget)
            if window is None:
                # Settled by others, or forgotten: nothing is left to hold on to.
                self._database.run(held.tenant, settle_without_extraction, held, [], keep=False, at_once=False)
                return
            try:
                if held.crashes_alone >= CRASHES_ALONE and report.windows == 0:
                    raise _Dead("crashes")
                committed = self._extract(held, window, report, keep=keep)
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
            except _Dead as dead:
                go_on = self._bury(held, window, report, dead.reason, dead.reason, keep=keep())

    def _extract(self, held: Claim, window: Window, report: Report, *, keep: Callable[[], bool]) -> Committed:
        spec = self._spec(held, window)
        store_spec = spec.stores[self.store.name]
        model = self._model(store_spec, spec)
        prompt = self.store.prompt(store_spec)
        extraction_id, started = uuid7(), datetime.now(UTC)
        reading = self._reading(held, window, store_spec, spec.language)
        known = label_known(self._database.run(held.tenant, self.store.known, reading, window))
        model_name, note, operations = model.name, None, Operations(kept=(), dropped=Counter())
        if window.by_label:
            context = CallContext(
                held=held, extraction_id=extraction_id, prompt=prompt, asked=model, events=len(window.deliveries)
            )
            reply = self._ask(context, store_spec, known, window, report)
            model_name = reply.model or model.name
            operations = self._grounded(reply, window, known, store_spec)
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
        return self._commit(held, extraction, keep=keep())

    def _reading(self, held: Claim, window: Window, spec: StoreSpec, language: str | None) -> Reading:
        """Where this store writes for this mailbox, and what it reads. `_Dead` where a user is needed and there is none."""
        whose = (self.store.scope, self.store.namespaced, spec, held.user_id, held.session_id)
        scope = written_scope(*whose)
        if scope is None:
            raise _Dead("no user_id")
        place = Place(
            tenant=held.tenant,
            store=self.store.name,
            scope=scope,
            user_id=held.user_id,
            session_id=held.session_id,
            namespace=(spec.namespace or GLOBAL_NAMESPACE) if self.store.namespaced else None,
            agent_id=window.agent_id,
            team_id=window.team_id,
            language=language,
        )
        return Reading(place=place, scopes=read_scopes(*whose), spec=spec)

    def _spec(self, held: Claim, window: Window) -> MachineSpec:
        key = (held.tenant, window.spec_hash)
        spec = self._database.run(held.tenant, self._specs.load, [key]).get(key)
        if spec is None or self.store.name not in spec.stores:
            raise _Wait("waiting for spec", f"spec {window.spec_hash[:12]} is not registered", CONFIGURATION_SECONDS)
        return spec

    def _model(self, store_spec: StoreSpec, spec: MachineSpec) -> Model:
        name = store_spec.model or spec.model or self._settings.model
        model = self._catalogue.get(name)
        if model is None:
            raise _Wait("unknown model", f"{name} is not in the models file", CONFIGURATION_SECONDS)
        return model

    def _ask(self, context: CallContext, spec: StoreSpec, known: Known, window: Window, report: Report) -> Reply:
        """Ask, and once more with what was wrong. Raises what the answer failed by, or `_Wait`."""
        failure: ModelFailure | None = None
        for _ in range(2):
            mistake = failure.note if failure is not None else None
            reply = self._client.ask(self._question(context, spec, known, window, mistake))
            report.model_calls += 1
            self._database.run(context.held.tenant, record_call, context, reply, self._catalogue)
            failure = reply.failure
            if failure is None:
                return reply
            if isinstance(failure, ProviderFailure):
                raise _waiting(failure, context.held.failures)
            if isinstance(failure, CutOff):
                raise failure
        assert failure is not None
        raise failure

    def _question(
        self, context: CallContext, spec: StoreSpec, known: Known, window: Window, mistake: str | None
    ) -> Question:
        try:
            return make_question(self.store, spec, context.asked, known, window, mistake)
        except ConfigurationError as error:
            raise _unusable(error) from None
        except (ValueError, TypeError, KeyError, AttributeError):
            # A spec of a producer in another language. It never changes under its hash: waiting would help nobody.
            raise _Dead("unusable schema") from None

    def _grounded(self, reply: Reply, window: Window, known: Known, spec: StoreSpec) -> Operations:
        try:
            return self.store.operations(reply.patch, window, known, spec)
        except ConfigurationError as error:
            raise _unusable(error) from None
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise InvalidOutput(f"{type(error).__name__} in the patch") from None

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


def _unusable(error: ConfigurationError) -> Exception:
    """What a schema that cannot be used comes to: what this deployment can mend waits for it, the rest is dead."""
    if error.field == "schema_import":
        return _Wait("waiting for spec", str(error)[:200], CONFIGURATION_SECONDS)
    return _Dead("unusable schema")


def _backoff(failures: int) -> float:
    """Seconds, exponential, with jitter."""
    ceiling = min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * 2 ** min(failures, 16))
    return float(ceiling * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret


def _waiting(failure: ProviderFailure, failures: int) -> _Wait:
    """How long the provider is left alone: as it asks, else exponentially longer, with jitter."""
    if isinstance(failure, Misconfigured):
        return _Wait("provider", failure.note, CONFIGURATION_SECONDS, failures + 1)
    seconds = failure.retry_after
    if seconds is None:
        seconds = _backoff(failures)
    return _Wait("provider", failure.note, min(max(seconds, 0.1), MAX_BACKOFF_SECONDS), failures + 1)
