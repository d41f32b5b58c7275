"""The demo: sample conversations of two users go through a whole stack, and what became of them is read back.

The conversations are in `demo_conversations.jsonl`, in the form that `learning-machine emit` takes. Their days are emitted
one after the other, each when the one before is settled, so that a later day finds what an earlier one left.
"""

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_machine import LearnedKnowledgeConfig, LearningMachine, Receipt, SessionContextConfig
from learning_ops.addresses import Addresses
from learning_schemas.results import Learning
from learning_schemas.scope import GLOBAL_NAMESPACE, session_scope, user_scope
from learning_stores.database import Database
from learning_stores.library import learnings_under
from learning_stores.status import Trace, trace

SETTLE_SECONDS = 60.0
STORES: dict[str, Any] = {
    "user_profile": True,
    "session_context": SessionContextConfig(enable_planning=True),
    "entity_memory": True,
    "learned_knowledge": LearnedKnowledgeConfig(mode="ALWAYS"),
}
"""What the demo's machine remembers."""
GLOBAL = f"namespace/{GLOBAL_NAMESPACE}"
_TENANT = "demo"

_EARLIER = text("SELECT count(DISTINCT tenant) FROM learning.machine_spec WHERE tenant = :name OR tenant LIKE :like")
_CALLS = text(
    "SELECT store, count(*) AS calls FROM learning.model_call WHERE tenant = :tenant AND purpose = 'extract' "
    "GROUP BY store ORDER BY store"
)


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """One line of the file: the arguments of emit, and the day on which it was said."""

    day: date
    arguments: dict[str, Any]

    @property
    def last_words(self) -> str:
        """What the user said last."""
        said = [message["content"] for message in self.arguments["messages"] if message["role"] == "user"]
        return str(said[-1])


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A conversation that was emitted: at which time, in how many seconds, and what was answered."""

    conversation: Conversation
    at: datetime
    seconds: float
    receipt: Receipt


@dataclass(frozen=True, kw_only=True)
class Played:
    """What the demo has to show."""

    tenant: str
    sent: list[Sent]
    paths: list[Trace]
    users: dict[str, list[Learning]]
    sessions: dict[tuple[str, str], list[Learning]]
    shared: list[Learning]
    stores: int
    model_calls: dict[str, int]
    context: str
    recall_seconds: float
    recalled: tuple[str, str]


def conversations() -> list[Conversation]:
    """The sample conversations, in their order."""
    lines = files("learning_ops").joinpath("demo_conversations.jsonl").read_text(encoding="utf-8").splitlines()
    found = []
    for line in lines:
        values = json.loads(line)
        values["occurred_at"] = datetime.fromisoformat(values["occurred_at"])
        found.append(Conversation(day=values["occurred_at"].date(), arguments=values))
    return found


@contextmanager
def unconfigured(directory: Path) -> Iterator[None]:
    """Within this no variable and no `.learning/env` of the user's reaches the demo: it is the same for everybody."""
    hidden = {name: value for name, value in os.environ.items() if name.startswith(("LEARNING_", "OPENAI_"))}
    for name in hidden:
        del os.environ[name]
    try:
        with chdir(directory):
            yield
    finally:
        os.environ.update(hidden)


def play(addresses: Addresses, settled: Callable[[int], None]) -> Played:
    """Emit everything, wait until it is settled, and read it back. `settled` hears of so many deliveries more.

    Raises SettleTimeout, NotAccepted.
    """
    with (
        Database(addresses.dispatcher_database_url, pool_size=1) as ledger,
        Database(addresses.database_url, pool_size=1) as memory,
    ):
        tenant = ledger.run(None, _new_tenant)
        with LearningMachine(
            name="demo",
            tenant=tenant,
            database_url=addresses.database_url,
            redis_url=addresses.redis_url,
            **STORES,
        ) as machine:
            sent: list[Sent] = []
            for _, day in itertools.groupby(conversations(), key=lambda conversation: conversation.day):
                todays = [_emit(machine, conversation) for conversation in day]
                for each in todays:
                    settled(len(machine.settle(each.receipt, timeout=SETTLE_SECONDS)))
                sent += todays
            newest = sent[0].conversation.arguments
            user, session = newest["user_id"], "tomorrow"
            machine.recall(user_id=user, session_id=session, deadline=5)  # connects
            began = time.perf_counter()
            context = machine.recall(user_id=user, session_id=session, on_error="raise", deadline=5).context
            recall_seconds = time.perf_counter() - began
        pairs = dict.fromkeys(_owner(each) for each in sent)
        users = dict.fromkeys(user for user, _ in pairs)
        return Played(
            tenant=tenant,
            sent=sent,
            paths=[ledger.run(None, trace, each.receipt.event_id, tenant) for each in sent],
            users={user: memory.run(tenant, learnings_under, tenant, user_scope(user)) for user in users},
            sessions={
                pair: memory.run(tenant, learnings_under, tenant, session_scope(*pair)) for pair in sorted(pairs)
            },
            shared=memory.run(tenant, learnings_under, tenant, GLOBAL),
            stores=len(STORES),
            model_calls=ledger.run(None, _model_calls, tenant),
            context=context,
            recall_seconds=recall_seconds,
            recalled=(user, session),
        )


def _emit(machine: LearningMachine, conversation: Conversation) -> Sent:
    at = datetime.now(UTC)
    began = time.perf_counter()
    receipt = machine.emit(**conversation.arguments)
    return Sent(conversation=conversation, at=at, seconds=time.perf_counter() - began, receipt=receipt)


def _owner(sent: Sent) -> tuple[str, str]:
    arguments = sent.conversation.arguments
    return arguments["user_id"], arguments["session_id"]


def _new_tenant(session: Session) -> str:
    """A tenant of this run's own: a data directory that is used again has the earlier runs' in it."""
    earlier = session.scalar(_EARLIER, {"name": _TENANT, "like": f"{_TENANT}-%"})
    return f"{_TENANT}-{earlier + 1}" if earlier else _TENANT


def _model_calls(session: Session, tenant: str) -> dict[str, int]:
    return {row.store: row.calls for row in session.execute(_CALLS, {"tenant": tenant})}
