"""The LearningMachine: what an agent imports. Recall before the model call, emit after it; nothing else in between."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from learning_machine.arguments import (
    checked_deadline,
    checked_emit_deadline,
    checked_flag,
    checked_hooks,
    checked_spool_dir,
    checked_tokens,
)
from learning_machine.config import (
    CustomStoreConfig,
    EntityMemoryConfig,
    LearnedKnowledgeConfig,
    SessionContextConfig,
    StoreArguments,
    UserProfileConfig,
    configure,
)
from learning_machine.corrections import Corrections
from learning_machine.drafting import draft, redacted
from learning_machine.emitter import EmitLimits, Emitter
from learning_machine.entities import Entities
from learning_machine.event_loops import EventLoops
from learning_machine.forgetting import Forgetting
from learning_machine.forgetting_outside import WaysIn
from learning_machine.library import Library
from learning_machine.portability import Portability
from learning_machine.proposals import Proposals
from learning_machine.query_embedding import QueryEmbedder
from learning_machine.recall_counts import RecallCounts
from learning_machine.recalling import Recalling
from learning_machine.recent import RecentEvents
from learning_machine.settling import FAILURES, Waiting, look
from learning_machine.toolbox import Toolbox
from learning_schemas.errors import ConfigurationError, InvalidArgument, InvalidEvent
from learning_schemas.event import ConversationCompleted, History
from learning_schemas.message import Message
from learning_schemas.redaction import Redactor
from learning_schemas.results import Receipt
from learning_schemas.tracing import span
from learning_stores.database import Database
from learning_stores.recall import Recaller
from learning_stores.rendering import headings_of
from learning_stores.settings import AgentSettings
from learning_stores.store import LearningStore

Messages = Iterable[Message | Mapping[str, Any] | object]

RECALL_SECONDS = 0.5
RECALL_TOKENS = 1_000
_AGENT_SECONDS = 2
"""What an agent waits for Postgres, to connect and for each answer; recall has its own deadline."""


class LearningMachine(Recalling, Toolbox, Library, Corrections, Proposals, Entities, Forgetting, Portability):
    """Memory for one kind of agent. Making one connects to nothing; safe in threads, after a fork, and in many event loops.

    A machine that names no store has the user profile and the session context; one that names any has exactly those. `stores`
    are of the user's own making, plain or in a `CustomStoreConfig`. `namespace` is where stores that share what they learned
    keep it, unless their config says otherwise: "user", "global" (the default) or any name. `language` says how words are
    stemmed when they are looked for: one of Postgres's text search configurations (default "english"), "simple" for others.
    `database_url` and `redis_url` default to `LEARNING_DATABASE_URL` and `LEARNING_REDIS_URL`, else to what
    `learning-machine up` wrote to `.learning/env`. `model` names the extraction model (None: the deployment's). Recall
    answers within `recall_deadline` seconds (`LEARNING_RECALL_DEADLINE`, default 0.5), emit within `emit_deadline` seconds
    (`LEARNING_EMIT_DEADLINE`, default 1). Where `spool_dir` (`LEARNING_SPOOL_DIR`) names a directory, it keeps what neither
    Redis nor Postgres takes. Raises `ConfigurationError`, which names the argument and the remedy.
    """

    def __init__(
        self,
        *,
        name: str = "default",
        tenant: str | None = None,
        model: str | None = None,
        user_profile: bool | UserProfileConfig | None = None,
        session_context: bool | SessionContextConfig | None = None,
        entity_memory: bool | EntityMemoryConfig | None = None,
        learned_knowledge: bool | LearnedKnowledgeConfig | None = None,
        stores: Sequence[LearningStore | type[LearningStore] | CustomStoreConfig] = (),
        namespace: str | None = None,
        language: str | None = None,
        database_url: str | None = None,
        redis_url: str | None = None,
        require_tenant: bool = False,
        redact: bool = True,
        redaction_hooks: Sequence[Callable[[str], str]] = (),
        recall_deadline: float | None = None,
        recall_tokens: int = RECALL_TOKENS,
        emit_deadline: float | None = None,
        spool_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        settings = AgentSettings.load(database_url=database_url, redis_url=redis_url)
        built_in = {
            "user_profile": user_profile,
            "session_context": session_context,
            "entity_memory": entity_memory,
            "learned_knowledge": learned_knowledge,
        }
        self._found(
            configure(
                name, model, StoreArguments(built_in=built_in, custom=stores, namespace=namespace, language=language)
            ),
            Database(settings.database(), connect_seconds=_AGENT_SECONDS, answer_seconds=_AGENT_SECONDS),
            Redactor(checked_hooks(redaction_hooks), enabled=checked_flag("redact", redact)),
            tenant if tenant is not None else settings.tenant,
            require_tenant,
        )
        deadline = settings.recall_deadline or RECALL_SECONDS if recall_deadline is None else recall_deadline
        self._recall_deadline = checked_deadline("recall_deadline", deadline, ConfigurationError)
        self._recall_tokens = checked_tokens("recall_tokens", recall_tokens, ConfigurationError)
        self._headings = headings_of(self._stores.values())
        self._recaller = Recaller(self._database)
        self._counts = RecallCounts(self._database)
        endpoint = settings.embedding_endpoint()
        self._embedder = None if endpoint is None else QueryEmbedder(endpoint, settings.embedding_deadline)
        self._recent = RecentEvents()
        spool = checked_spool_dir(spool_dir, settings.spool_dir)
        self._ways_in = WaysIn(redis_url=settings.redis(), shards=settings.shards, spool_dir=spool, recent=self._recent)
        self._emitter = Emitter(
            settings.redis(),
            self._database,
            self.spec,
            EmitLimits(
                shards=settings.shards,
                max_event_bytes=settings.max_event_bytes,
                seconds=settings.emit_deadline if emit_deadline is None else checked_emit_deadline(emit_deadline),
                spool_dir=spool,
                spool_bytes=settings.spool_bytes,
            ),
        )
        self._loops = EventLoops(self._close_in_loop)

    def __repr__(self) -> str:
        tenant = "none yet" if self._tenant is None and self._require_tenant else repr(self._tenant or "default")
        return f"LearningMachine(name={self.spec.name!r}, tenant={tenant}, stores={', '.join(self.spec.stores)})"

    def emit(
        self,
        messages: Messages,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        agent_id: str | None = None,
        team_id: str | None = None,
        occurred_at: datetime | None = None,
        history: History = "auto",
        end_of_session: bool = False,
        metadata: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """Hand over a finished turn, or a whole conversation: one round trip to Redis, and the event is accepted.

        `messages` are OpenAI-style dictionaries or `Message`s; new ones only, or all of the history again (`history` says
        which; "auto" finds out). `occurred_at` dates them (with a time zone; default now). Raises `InvalidEvent` for bad
        input, and `NotAccepted` (with the event on it) where no place would take it.
        """
        with span("learning.emit", "producer") as trace:
            event, redactions = self._draft(
                messages,
                tenant=self.tenant,
                user_id=user_id,
                session_id=session_id,
                agent_id=agent_id,
                team_id=team_id,
                occurred_at=occurred_at,
                history=history,
                end_of_session=end_of_session,
                metadata=metadata,
                traceparent=trace.traceparent,
            )
            receipt = self._emitter.emit(event, redactions)
            trace.note(learning__event_id=str(receipt.event_id), learning__via=receipt.via)
        self._recent.add(event)
        return receipt

    async def aemit(
        self,
        messages: Messages,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        agent_id: str | None = None,
        team_id: str | None = None,
        occurred_at: datetime | None = None,
        history: History = "auto",
        end_of_session: bool = False,
        metadata: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """`emit` for asyncio."""
        with span("learning.emit", "producer") as trace:
            event, redactions = self._draft(
                messages,
                tenant=self.tenant,
                user_id=user_id,
                session_id=session_id,
                agent_id=agent_id,
                team_id=team_id,
                occurred_at=occurred_at,
                history=history,
                end_of_session=end_of_session,
                metadata=metadata,
                traceparent=trace.traceparent,
            )
            await self._loops.enter()
            receipt = await self._emitter.aemit(event, redactions)
            trace.note(learning__event_id=str(receipt.event_id), learning__via=receipt.via)
        self._recent.add(event)
        return receipt

    def emit_event(self, event: ConversationCompleted) -> Receipt:
        """Send an event again, as `NotAccepted` carries it. Its id stays, so that sending it twice is harmless.

        Raises `InvalidEvent` where it was made by a machine that is configured otherwise, else as `emit` does.
        """
        event, redactions = self._to_send(event)
        receipt = self._emitter.emit(event, redactions)
        self._recent.add(event)
        return receipt

    async def aemit_event(self, event: ConversationCompleted) -> Receipt:
        """`emit_event` for asyncio."""
        event, redactions = self._to_send(event)
        await self._loops.enter()
        receipt = await self._emitter.aemit(event, redactions)
        self._recent.add(event)
        return receipt

    def settle(self, receipt: Receipt, *, timeout: float = 30.0) -> dict[str, str]:
        """Wait until an event is extracted, and say what became of it: store name to delivery state.

        Asks for its mailboxes to be worked on at once, whatever their debounce; a pause or a budget stays. Returns when every
        delivery is settled or dead; raises `SettleTimeout`, with `.states`, after `timeout` seconds, and `EventForgotten`
        where the event's user or session was forgotten.
        """
        waiting = Waiting(receipt, timeout, self.spec, self.tenant)
        for pause in waiting.pauses():
            try:
                found = self._database.run(receipt.tenant, look, receipt)
            except FAILURES as error:
                waiting.failed(error)
            else:
                if waiting.is_over(found):
                    return waiting.states
            time.sleep(pause)
        raise AssertionError("unreachable")

    async def asettle(self, receipt: Receipt, *, timeout: float = 30.0) -> dict[str, str]:  # noqa: ASYNC109 - as in settle
        """`settle` for asyncio."""
        waiting = Waiting(receipt, timeout, self.spec, self.tenant)
        await self._loops.enter()
        for pause in waiting.pauses():
            try:
                found = await self._database.arun(receipt.tenant, look, receipt)
            except FAILURES as error:
                waiting.failed(error)
            else:
                if waiting.is_over(found):
                    return waiting.states
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Say the last number that this process gave to an event, drain its spool as far as a second or so brings it, and give
        back every connection of this process. The machine connects anew if it is used again."""
        self._emitter.close()
        self._recaller.close()
        self._database.close()
        if self._embedder is not None:
            self._embedder.close()

    async def aclose(self) -> None:
        """`close` for asyncio: the connections of the running event loop, which are also closed when the loop ends."""
        await self._emitter.report()
        await self._emitter.drain()
        await self._close_in_loop()
        if self._embedder is not None:
            self._embedder.close()  # its calls run in a loop of their own

    async def _close_in_loop(self) -> None:
        # Where the loop ends, it has cancelled the tasks of recall's pool, and closing that raises.
        try:
            await self._emitter.aclose()
        finally:
            try:
                await self._recaller.aclose()
            finally:
                await self._database.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _draft(self, messages: Messages, **values: Any) -> tuple[ConversationCompleted, dict[str, int]]:
        values["spec"] = self._emitter.spec_hash
        return draft(values, messages, self.spec, self._redact)

    def _to_send(self, event: ConversationCompleted) -> tuple[ConversationCompleted, dict[str, int]]:
        if not isinstance(event, ConversationCompleted):
            raise InvalidArgument("event", f"is {type(event).__name__}", "Give the event that NotAccepted carries")
        if event.tenant != self.tenant:
            raise InvalidEvent(
                "tenant", "is not this machine's", "Send it with the machine that made it: machine.for_tenant('acme')"
            )
        # One that has its number was redacted before, and must not change any more.
        return (event, {}) if event.producer is not None else redacted(event, self._redact)
