"""The record of every model call, written in a transaction of its own when the call returns, whatever becomes of its patch."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.ids import uuid7
from learning_stores.mailbox import Claim
from learning_stores.prompts import Prompt
from learning_workers.model_client import Reply
from learning_workers.models import Catalogue, Model

_RECORD = text("""
    INSERT INTO learning.model_call (tenant, id, extraction_id, store, purpose, subject, user_id, model_asked, model, prompt_name,
        prompt_version, outcome, events, tokens_input, tokens_cached, tokens_output, cost_usd, seconds)
    VALUES (:tenant, :id, :extraction_id, :store, :purpose, :subject, :user_id, :model_asked, :model, :prompt_name,
        :prompt_version, :outcome, :events, :tokens_input, :tokens_cached, :tokens_output, :cost_usd, :seconds)
""")


@dataclass(frozen=True, kw_only=True)
class CallContext:
    """What a call was made for."""

    held: Claim
    extraction_id: UUID
    prompt: Prompt
    asked: Model
    events: int


def record_call(session: Session, context: CallContext, reply: Reply, catalogue: Catalogue) -> None:
    """Write one call down. Its cost is that of the model which answered."""
    usage = reply.usage
    priced = catalogue.served(reply.model) if reply.model else None
    cost = None
    if priced is not None and usage.input is not None and usage.output is not None:
        cost = priced.cost(usage.input, usage.cached or 0, usage.output)
    session.execute(
        _RECORD,
        {
            "tenant": context.held.tenant,
            "id": uuid7(),
            "extraction_id": context.extraction_id,
            "store": context.held.store,
            "purpose": "extract",
            "subject": context.held.subject,
            "user_id": context.held.user_id,
            "model_asked": context.asked.name,
            "model": reply.model,
            "prompt_name": context.prompt.name,
            "prompt_version": context.prompt.version,
            "outcome": reply.failure.outcome if reply.failure is not None else "ok",
            "events": context.events,
            "tokens_input": usage.input,
            "tokens_cached": usage.cached,
            "tokens_output": usage.output,
            "cost_usd": cost,
            "seconds": reply.seconds,
        },
    )


EMBEDDING = "embedding"


@dataclass(frozen=True, kw_only=True)
class EmbeddingCall:
    """A call that embedded so many texts, which may be of several users. Seconds; US dollars; None is unknown."""

    asked: str
    texts: int
    outcome: str
    seconds: float
    model: str | None = None  # as the answer named it
    tokens: int | None = None
    cost: Decimal | None = None


def record_embedding_call(session: Session, tenant: str, call: EmbeddingCall) -> None:
    """Write one down."""
    call_id = uuid7()
    session.execute(
        _RECORD,
        {
            "tenant": tenant,
            "id": call_id,
            "extraction_id": call_id,  # made for no extraction
            "store": EMBEDDING,
            "purpose": EMBEDDING,
            "subject": "",
            "user_id": None,
            "model_asked": call.asked,
            "model": call.model,
            "prompt_name": EMBEDDING,
            "prompt_version": "1",
            "outcome": call.outcome,
            "events": call.texts,
            "tokens_input": call.tokens,
            "tokens_cached": None,
            "tokens_output": None,
            "cost_usd": call.cost,
            "seconds": call.seconds,
        },
    )
