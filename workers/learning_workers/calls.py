"""The record of every model call, written in a transaction of its own when the call returns, whatever becomes of its patch.

Before a call a reservation is written, and it goes with the record, so that no call is without one of the two.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Self
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.mailbox import Claim
from learning_stores.prompts import Prompt
from learning_stores.reservations import RELEASE
from learning_workers.model_client import Reply
from learning_workers.models import Catalogue, Model

EXTRACT, EMBEDDING = "extract", "embedding"
"""Purposes. A job of the curator has its own name."""

# A call that was given up for lost, because its lease ended, and came back all the same has its row already.
_RECORD = text(f"""
    WITH recorded AS ({RELEASE})
    INSERT INTO learning.model_call AS c (tenant, id, extraction_id, store, purpose, subject, user_id, model_asked, model,
        prompt_name, prompt_version, outcome, events, tokens_input, tokens_cached, tokens_output, cost_usd, estimated_usd,
        service_tier, seconds, called_at)
    VALUES (:tenant, :id, :extraction_id, :store, :purpose, :subject, :user_id, :model_asked, :model, :prompt_name,
        :prompt_version, :outcome, :events, :tokens_input, :tokens_cached, :tokens_output, :cost_usd, :estimated_usd,
        :service_tier, :seconds, clock_timestamp() - :ago * interval '1 s')
    ON CONFLICT (tenant, id) DO UPDATE SET subject = excluded.subject, user_id = excluded.user_id, model = excluded.model,
        outcome = excluded.outcome, tokens_input = excluded.tokens_input, tokens_cached = excluded.tokens_cached,
        tokens_output = excluded.tokens_output, cost_usd = excluded.cost_usd, estimated_usd = excluded.estimated_usd,
        service_tier = excluded.service_tier, seconds = excluded.seconds, called_at = excluded.called_at
    WHERE c.outcome = 'lost'
""")  # noqa: S608 - the part is a constant

_NOT_BILLED = frozenset({"rate_limited", "server_error", "unreachable", "refused_request", "unusable_schema"})
"""Outcomes of calls that no provider bills where it tells no usage."""


@dataclass(frozen=True, kw_only=True)
class CallContext:
    """What a call is made for. `lease` is a mailbox's id and token; `extraction_id` that of the work, whatever its purpose.

    `can_wait`: the answer is in no hurry, and the cheap tier is asked wherever the model has one.
    """

    tenant: str
    store: str
    purpose: str
    extraction_id: UUID
    prompt: Prompt
    asked: Model
    events: int
    subject: str = ""
    user_id: str | None = None
    lease: tuple[int, int] | None = None
    can_wait: bool = False

    @classmethod
    def of(
        cls, held: Claim, *, extraction_id: UUID, prompt: Prompt, asked: Model, events: int, purpose: str = EXTRACT
    ) -> Self:
        """A call for a mailbox that is held."""
        return cls(
            tenant=held.tenant,
            store=held.store,
            purpose=purpose,
            extraction_id=extraction_id,
            prompt=prompt,
            asked=asked,
            events=events,
            subject=held.subject,
            user_id=held.user_id,
            lease=(held.mailbox_id, held.token),
        )


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """A call that returned. Seconds; US dollars; None is unknown. `estimated_usd` stands in for a cost that is not known."""

    tenant: str
    id: UUID
    extraction_id: UUID
    store: str
    purpose: str
    model_asked: str
    prompt_name: str
    prompt_version: str
    outcome: str
    events: int  # texts, of an embedding
    seconds: float
    subject: str = ""
    user_id: str | None = None
    model: str | None = None  # as the answer named it
    tokens_input: int | None = None
    tokens_cached: int | None = None
    tokens_output: int | None = None
    cost_usd: Decimal | None = None
    estimated_usd: Decimal | None = None
    service_tier: str | None = None


def estimated(outcome: str, cost: Decimal | None, tokens: int | None, most: Decimal | None) -> Decimal | None:
    """What a call counts as against a budget where its cost is not known: what was reserved, if it may have been billed."""
    if cost is not None or (outcome in _NOT_BILLED and tokens is None):
        return None
    return most


def record_of(
    context: CallContext, call_id: UUID, asked: str, reply: Reply, catalogue: Catalogue, most: Decimal | None
) -> CallRecord:
    """The record of a reply. Its cost is that of the model which answered, at the tier that served it."""
    usage = reply.usage
    priced = catalogue.served(reply.model) if reply.model else None
    cost = None
    if priced is not None and usage.input is not None and usage.output is not None:
        cost = priced.cost(usage.input, usage.cached or 0, usage.output, reply.tier)
    outcome = reply.failure.outcome if reply.failure is not None else "ok"
    return CallRecord(
        tenant=context.tenant,
        id=call_id,
        extraction_id=context.extraction_id,
        store=context.store,
        purpose=context.purpose,
        subject=context.subject,
        user_id=context.user_id,
        model_asked=asked,
        model=reply.model,
        prompt_name=context.prompt.name,
        prompt_version=context.prompt.version,
        outcome=outcome,
        events=context.events,
        tokens_input=usage.input,
        tokens_cached=usage.cached,
        tokens_output=usage.output,
        cost_usd=cost,
        estimated_usd=estimated(outcome, cost, usage.input, most),
        service_tier=reply.tier,
        seconds=reply.seconds,
    )


def record_call(session: Session, record: CallRecord, ago: float = 0.0) -> None:
    """Write a call down that returned `ago` seconds ago, and give up its reservation. Repeating it changes nothing."""
    session.execute(_RECORD, {**record.__dict__, "ago": ago})
