"""Asking a model about one window: through the gate, recorded, once more with what was wrong; and what a mailbox waits for."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from learning_schemas.errors import ConfigurationError
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_schemas.tracing import Trace, span
from learning_stores.mailbox import WaitReason
from learning_stores.operations import Operations
from learning_stores.store import Known, LearningStore
from learning_stores.window import Window, tokens_of
from learning_workers.answer_form import schema_tokens
from learning_workers.backoff import MAX_BACKOFF_SECONDS, backoff, spread
from learning_workers.calls import CallContext
from learning_workers.gate import PATIENT_SECONDS, Gate, Held
from learning_workers.model_client import ModelClient, Question, Reply
from learning_workers.models import Catalogue, Model
from learning_workers.outcomes import CutOff, InvalidOutput, Misconfigured, ModelFailure, ProviderFailure, verdict
from learning_workers.purse import NoBudget, Purse
from learning_workers.question import make_question

BACKOFF_SECONDS = 2.0
CONFIGURATION_SECONDS = 60.0
"""Between two tries where somebody has to change the configuration."""


class Waits(Exception):
    """The mailbox must wait; `asked_nobody` where that is by our own counting, and no provider was asked."""

    def __init__(
        self, reason: WaitReason, note: str, seconds: float, failures: int = 0, *, asked_nobody: bool = False
    ) -> None:
        super().__init__(f"{reason}: {note}")
        self.reason: WaitReason = reason
        self.note = note
        self.seconds = seconds
        self.failures = failures
        self.asked_nobody = asked_nobody


class Dies(Exception):
    """The first event of the window cannot be extracted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """What is asked about one window. `patience` is how long (seconds) a first question waits for room in the rate limits."""

    context: CallContext
    failures: int  # of the mailbox, in a row
    spec: StoreSpec
    known: Known
    window: Window
    patience: float
    stopping: Callable[[], bool]
    called: Callable[[], None]  # after each call


class Asker:
    """What asks on behalf of one store."""

    def __init__(
        self,
        store: LearningStore,
        catalogue: Catalogue,
        client: ModelClient,
        gate: Gate,
        purse: Purse,
        default_model: str,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._client = client
        self._gate = gate
        self._purse = purse
        self._default_model = default_model

    def model(self, store_spec: StoreSpec, spec: MachineSpec) -> Model:
        """The model that the spec wants. Raises `Waits` where the models file does not have it."""
        name = store_spec.model or spec.model or self._default_model
        model = self._catalogue.get(name)
        if model is None:
            raise Waits("unknown model", f"{name} is not in the models file", CONFIGURATION_SECONDS)
        return model

    def ask(self, inquiry: Inquiry) -> Reply:
        """Ask, and once more with what was wrong. Raises what the answer failed by, `Waits`, or `Dies`."""
        failure: ModelFailure | None = None
        for patience in (inquiry.patience, PATIENT_SECONDS):
            reply = self._call(inquiry, failure.note if failure is not None else None, patience)
            failure = reply.failure
            if failure is None:
                return reply
            if isinstance(failure, CutOff):
                raise failure
        assert failure is not None
        raise failure

    def operations(self, reply: Reply, window: Window, known: Known, spec: StoreSpec) -> Operations:
        """The operations of an answer that hold. Raises `InvalidOutput`, `Waits`, or `Dies`."""
        try:
            return self._store.operations(reply.patch, window, known, spec)
        except ConfigurationError as error:
            raise _unusable(error) from None
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise InvalidOutput(f"{type(error).__name__} in the patch") from None

    def _call(self, inquiry: Inquiry, mistake: str | None, patience: float) -> Reply:
        context, failures = inquiry.context, inquiry.failures
        question = self._question(inquiry, mistake)
        sent = sent_tokens(question)
        try:
            reserved, model = self._purse.reserve(context, sent)
        except NoBudget as none:
            raise Waits("budget", none.note, none.seconds, failures, asked_nobody=True) from None
        question = replace(question, model=model, tier=reserved.tier)
        try:
            passed = self._gate.enter(model.rate, sent + model.max_output_tokens, patience, inquiry.stopping)
        except Held as held:
            self._purse.give_up(context.tenant, reserved.id)
            raise Waits("provider", held.note, held.seconds, failures, asked_nobody=True) from None
        with span(f"chat {model.name}", "client", attributes={"gen_ai.operation.name": "chat"}) as trace:
            reply = self._client.ask(question)
            _trace_reply(trace, reply)
        failure = reply.failure
        note, asked = (failure.note, getattr(failure, "retry_after", None)) if failure is not None else ("", None)
        paused = self._gate.leave(passed, verdict(failure), note, asked)
        inquiry.called()
        self._purse.record(context, reserved, reply)
        if isinstance(failure, ProviderFailure):
            raise _waiting(failure, failures, paused)
        return reply

    def _question(self, inquiry: Inquiry, mistake: str | None) -> Question:
        try:
            return make_question(
                self._store, inquiry.spec, inquiry.context.asked, inquiry.known, inquiry.window, mistake
            )
        except ConfigurationError as error:
            raise _unusable(error) from None
        except (ValueError, TypeError, KeyError, AttributeError):
            # A spec of a producer in another language. It never changes under its hash: waiting would help nobody.
            raise Dies("unusable schema") from None


def _trace_reply(trace: Trace, reply: Reply) -> None:
    """By OpenTelemetry's conventions for generative models."""
    trace.note(
        gen_ai__request__model=reply.asked,
        gen_ai__response__model=reply.model,
        gen_ai__usage__input_tokens=reply.usage.input,
        gen_ai__usage__output_tokens=reply.usage.output,
    )
    if reply.failure is not None:
        trace.failed(reply.failure.outcome)


def sent_tokens(question: Question) -> int:
    """What a call sends, by estimate: instructions, data, and the form of the answer."""
    return tokens_of(question.instructions) + tokens_of(question.data) + schema_tokens(question.patch_model)


def _unusable(error: ConfigurationError) -> Exception:
    """What a schema that cannot be used comes to: what this deployment can mend waits for it, the rest is dead."""
    if error.field == "schema_import":
        return Waits("waiting for spec", str(error)[:200], CONFIGURATION_SECONDS)
    return Dies("unusable schema")


def _waiting(failure: ProviderFailure, failures: int, paused: float | None) -> Waits:
    """How long the provider is left alone: as it asks, else exponentially longer, and not less than the model's pause."""
    if isinstance(failure, Misconfigured):
        return Waits("provider", failure.note, CONFIGURATION_SECONDS, failures + 1)
    asked = failure.retry_after
    seconds = backoff(failures, BACKOFF_SECONDS) if asked is None else spread(min(asked, MAX_BACKOFF_SECONDS))
    return Waits("provider", failure.note, max(seconds, paused or 0.0), failures + 1)
