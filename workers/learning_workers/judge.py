"""The judge of the curator's jobs: a model, asked through purse and gate as extractions are, at the cheap tier where it has one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from learning_stores.curator.judging import Inquiry, JudgeFailed, JudgeWaits, Verdicts
from learning_stores.curator.schedule import OFF
from learning_stores.database import Database
from learning_stores.settings import ServiceSettings
from learning_workers.asking import sent_tokens
from learning_workers.backoff import MAX_BACKOFF_SECONDS, spread
from learning_workers.calls import CallContext, CallRecord, estimated
from learning_workers.gate import PATIENT_SECONDS, Gate, Held
from learning_workers.model_client import ModelClient, Question, Reply
from learning_workers.models import Catalogue, Model, load_catalogue
from learning_workers.outcomes import (
    AnswerFailure,
    CutOff,
    InvalidOutput,
    Misconfigured,
    ProviderFailure,
    SchemaRefused,
    verdict,
)
from learning_workers.purse import NoBudget, Purse

PROVIDER_SECONDS = 60.0
"""When a provider that did not answer is asked again where it does not say when."""
CONFIGURATION_SECONDS = MAX_BACKOFF_SECONDS
"""The same where somebody has to change the configuration."""


class Bench:
    """What the judge of one process needs; made after a fork. Raises `ConfigurationError` where the models file is unusable."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        catalogue = load_catalogue(settings)
        self._client = ModelClient(catalogue.key, settings.model_deadline)
        self._gate = Gate.of(settings)
        model = model_of(settings, catalogue)
        self._judge = None
        if model is not None:
            purse = Purse(database, catalogue, settings.model_deadline)
            self._judge = ModelJudge(model=model, client=self._client, gate=self._gate, purse=purse)

    def judge(self, stopping: Callable[[], bool]) -> "ModelJudge | None":
        """The judge; None where no model is configured."""
        return None if self._judge is None else replace(self._judge, stopping=stopping)

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()
        self._gate.close()


def model_of(settings: ServiceSettings, catalogue: Catalogue) -> Model | None:
    """The model that judges here; None where that is off, the models file does not have it, or its key is not set."""
    name = settings.curator_model or settings.model
    model = None if name == OFF else catalogue.get(name)
    return model if model is not None and catalogue.key(model) is not None else None


@dataclass(frozen=True, kw_only=True)
class ModelJudge:
    """One model as the judge. Safe in threads. `stopping` ends waiting for room in the rate limits."""

    model: Model
    client: ModelClient
    gate: Gate
    purse: Purse
    stopping: Callable[[], bool] = lambda: False

    def ask(self, inquiry: Inquiry) -> Verdicts:
        """Ask, and once more with what was wrong with the answer. Raises `JudgeWaits` and `JudgeFailed`."""
        calls, cost = 0, _Sum()
        mistake = ""
        while True:
            reply, usd = self._call(inquiry, mistake, calls, cost)
            calls += 1
            cost = cost.plus(usd)
            failure = reply.failure
            if failure is None and reply.patch is not None:
                wrong = inquiry.check(reply.patch)
                if wrong is None:
                    return Verdicts(answer=reply.patch, calls=calls, cost_usd=cost.usd)
                failure = InvalidOutput(wrong)
            assert isinstance(failure, AnswerFailure)  # the others wait
            # What was too long stays too long, and a form that is not taken stays so.
            if calls >= inquiry.tries or isinstance(failure, CutOff | SchemaRefused):
                raise JudgeFailed(f"{failure.outcome}: {failure.note}", calls, cost.usd)
            mistake = failure.note

    def _call(self, inquiry: Inquiry, mistake: str, calls: int, cost: "_Sum") -> tuple[Reply, Decimal | None]:
        context = self._context(inquiry)
        question = self._question(inquiry, mistake)
        sent = sent_tokens(question)
        try:
            reserved, model = self.purse.reserve(context, sent)
        except NoBudget as none:
            raise JudgeWaits(f"budget: {none.note}", none.seconds, calls, cost.usd) from None
        question = replace(question, model=model, tier=reserved.tier)
        try:
            passed = self.gate.enter(model.rate, sent + model.max_output_tokens, PATIENT_SECONDS, self.stopping)
        except Held as held:
            self.purse.give_up(context.tenant, reserved.id)
            raise JudgeWaits(f"provider: {held.note}", held.seconds, calls, cost.usd) from None
        reply = self.client.ask(question)
        failure = reply.failure
        note, asked = (failure.note, getattr(failure, "retry_after", None)) if failure is not None else ("", None)
        paused = self.gate.leave(passed, verdict(failure), note, asked)
        usd = _cost(self.purse.record(context, reserved, reply))
        if isinstance(failure, ProviderFailure):
            raise JudgeWaits(f"provider: {failure.note}", _seconds(failure, paused), calls + 1, cost.plus(usd).usd)
        return reply, usd

    def _context(self, inquiry: Inquiry) -> CallContext:
        return CallContext(
            tenant=inquiry.tenant,
            store=inquiry.store,
            purpose=inquiry.job,
            extraction_id=inquiry.run_id,
            prompt=inquiry.prompt,
            asked=self.model,
            events=inquiry.cases,
            subject=inquiry.subject,
            user_id=inquiry.user_id,
            can_wait=True,
        )

    def _question(self, inquiry: Inquiry, mistake: str) -> Question:
        data = inquiry.data
        if mistake:
            data += f"\nYour last answer could not be used ({mistake}). Answer again, in the form that was asked for."
        return Question(
            model=self.model,
            instructions=inquiry.prompt.text,
            data=data,
            name=inquiry.name,
            patch_model=inquiry.answer,
        )


@dataclass(frozen=True)
class _Sum:
    """US dollars so far; None once a part is not known."""

    usd: Decimal | None = Decimal(0)

    def plus(self, usd: Decimal | None) -> "_Sum":
        return _Sum(None if self.usd is None or usd is None else self.usd + usd)


def _cost(record: CallRecord) -> Decimal | None:
    """What a call cost; nothing where no provider bills it."""
    if record.cost_usd is None and estimated(record.outcome, None, record.tokens_input, Decimal(1)) is None:
        return Decimal(0)
    return record.cost_usd


def _seconds(failure: ProviderFailure, paused: float | None) -> float:
    """How long the provider is left alone: as it asks, and not less than the model's pause."""
    if isinstance(failure, Misconfigured):
        return CONFIGURATION_SECONDS
    asked = failure.retry_after
    seconds = PROVIDER_SECONDS if asked is None else min(asked, MAX_BACKOFF_SECONDS)
    return max(spread(seconds), paused or 0.0)
