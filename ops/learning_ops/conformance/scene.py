"""One test's tenant: what is said is taken in as the dispatcher does, and worked on as a worker does."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from sqlalchemy import text

from learning_machine import LearningMachine
from learning_ops.addresses import Addresses
from learning_ops.conformance.case import KnownLines, Said, StoreCase
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import uuid7
from learning_schemas.scope import GLOBAL_NAMESPACE, USER_NAMESPACE
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.database import Database
from learning_stores.event_log import Incoming, accept
from learning_stores.operations import Operations
from learning_stores.place import Place, written_scope
from learning_stores.settings import ServiceSettings
from learning_stores.specs import SpecCache
from learning_stores.window import Window, WindowMessage
from learning_workers.extraction import Extractor, Report
from learning_workers.heartbeat import Heartbeat
from learning_workers.model_client import ModelClient, Question, Reply, Usage
from learning_workers.models import load_catalogue

MODEL = "offline-rules-1"
_RECALL_SECONDS = 20.0

_REPLAY = text("""
    UPDATE learning.delivery SET state = 'pending', reason = NULL, note = NULL, error = NULL, settled_at = NULL,
        extraction_id = NULL, generation = generation + 1
    WHERE tenant = :tenant AND event_id = :event_id
""")
_REOPEN = text("""
    INSERT INTO learning.mailbox (tenant, store, scope, subject, user_id, session_id, due_at, first_pending_at, last_event_at,
                                  debounce, max_wait, flush_no)
    SELECT d.tenant, d.store, d.scope, d.subject, e.user_id, CASE WHEN :by_session THEN e.session_id END, now(), now(), now(),
           interval '0', interval '0', 0
    FROM learning.delivery d JOIN learning.conversation_event e ON e.tenant = d.tenant AND e.id = d.event_id
    WHERE d.tenant = :tenant AND d.event_id = :event_id
""")


class ScriptedAnswers(ModelClient):
    """Stands in the place of the model: answers a question about somebody's words with the patch that the case gives for them."""

    def __init__(self) -> None:
        super().__init__(lambda _: None, 1.0)
        self.calls = 0
        self.said: Said | None = None

    def ask(self, question: Question) -> Reply:
        """The patch for what was said last."""
        assert self.said is not None
        self.calls += 1
        lines = _block(question.data, "transcript")
        label = next(line["id"] for line in lines if line["text"] == self.said.text and "earlier" not in line)
        patch = self.said.patch(label, _block(question.data, "known"))
        return Reply(
            patch=question.patch_model.model_validate_json(json.dumps(patch)),
            failure=None,
            asked=MODEL,
            model=MODEL,
            usage=Usage(),
            seconds=0.0,
        )


def _block(data: str, name: str) -> KnownLines:
    inside = data.split(f"<{name}>\n", 1)[1].split(f"</{name}>", 1)[0]
    return [json.loads(line) for line in inside.split("\n") if line]


class Scene:
    """A case in a tenant of its own; with `private`, its learnings are each user's own, where the store has namespaces."""

    def __init__(self, case: StoreCase, addresses: Addresses, *, private: bool = False) -> None:
        self.case, self.store = case, case.store
        self.tenant = f"conformance-{uuid7()}"
        given: Mapping[str, Any] = case.machine
        if private and case.store.namespaced:
            given = case.private or {**case.machine, "namespace": USER_NAMESPACE}
        urls: dict[str, Any] = {"database_url": addresses.database_url, "redis_url": addresses.redis_url}
        self.machine = LearningMachine(tenant=self.tenant, **urls, **given)
        self.url = addresses.database_url
        self.app, self._dispatcher = Database(self.url), Database(addresses.dispatcher_database_url)
        settings = ServiceSettings.load(**urls, model=MODEL)
        self.answers, self._heartbeat = ScriptedAnswers(), Heartbeat(self.app)
        self._extractor = Extractor(
            self.store,
            self.app,
            SpecCache(),
            load_catalogue(settings),
            self.answers,
            self._heartbeat,
            settings,
            "conformance",
        )

    @property
    def machine_spec(self) -> MachineSpec:
        """The machine's spec."""
        return self.machine.spec

    @property
    def spec(self) -> StoreSpec:
        """The store's."""
        return self.machine.spec.stores[self.store.name]

    def tell(self, said: Said, *, user: str | None = "ada", session: str | None = "s1") -> UUID:
        """Have an event taken in, as the dispatcher does."""
        spec_hash = self.machine_spec.spec_hash()
        messages = [{"role": "user", "content": said.text}, {"role": "assistant", "content": "Noted."}]
        event = ConversationCompleted.make(
            {
                "id": uuid7(), "tenant": self.tenant, "user_id": user, "session_id": session, "messages": messages,
                "occurred_at": datetime.now(UTC), "history": "delta", "end_of_session": True, "spec": spec_hash,
            }
        )  # fmt: skip
        incoming = Incoming(event=event, via="stream", body_bytes=len(event.to_json()))
        carried = {(self.tenant, spec_hash): self.machine_spec}
        verdicts = self._dispatcher.run(None, accept, [incoming], carried, SpecCache(), 8)
        assert set(verdicts.values()) == {"accepted"}, verdicts
        return event.id

    def work(self, said: Said) -> Report:
        """Work on the one mailbox that there is, with the case's answer; nothing of the answer may be dropped."""
        [mailbox] = self.rows("SELECT id FROM learning.mailbox")
        self.answers.said = said
        report = self._extractor.work(self.tenant, mailbox["id"])
        assert not report.dropped, f"{report.dropped} of the answer to {said.text!r} does not hold"
        assert not report.dead, report.dead
        return report

    def hear(self, said: Said, *, user: str | None = "ada", session: str | None = "s1") -> UUID:
        """Tell it and work on it; something must come of it. Returns the event's id."""
        event_id = self.tell(said, user=user, session=session)
        report = self.work(said)
        assert report.outcome == "extracted", report
        return event_id

    def hear_again(self, event_id: UUID, said: Said) -> Report:
        """Replay an event: the same window, and the same answer."""
        by_session = self.spec.scope == "session"
        with self._dispatcher.transaction() as session:
            session.execute(_REPLAY, {"tenant": self.tenant, "event_id": event_id})
            session.execute(_REOPEN, {"tenant": self.tenant, "event_id": event_id, "by_session": by_session})
        return self.work(said)

    def rows(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Rows that the tenant sees."""
        with self.app.transaction(self.tenant) as session:
            return [dict(row._mapping) for row in session.execute(text(statement), values)]

    def learnings(self, status: str = "active") -> list[dict[str, Any]]:
        """The learnings of a status, oldest first."""
        return self.rows("SELECT * FROM learning.learning WHERE status = :status ORDER BY live_from, id", status=status)

    def everything(self) -> list[dict[str, Any]]:
        """Every learning with all that it holds."""
        return self.rows("SELECT * FROM learning.learning ORDER BY id")

    def recalled(self, *, user: str | None = "ada", session: str | None = None, max_tokens: int = 2_000) -> str:
        """The text that an agent gets of what was learned."""
        found = self.machine.recall(
            user_id=user, session_id=session, max_tokens=max_tokens, deadline=_RECALL_SECONDS, on_error="raise"
        )
        return found.context if found.learnings else ""

    def place(self, *, user: str | None = "ada", session: str | None = "s1") -> Place:
        """Where this store writes for a user and session."""
        scope = written_scope(self.store.scope, self.store.namespaced, self.spec, user, session)
        assert scope is not None
        namespace = (self.spec.namespace or GLOBAL_NAMESPACE) if self.store.namespaced else None
        return Place(
            tenant=self.tenant,
            store=self.store.name,
            scope=scope,
            user_id=user,
            session_id=session,
            namespace=namespace,
        )

    def window(self, said: Said, *, user: str = "ada", session: str = "s1") -> Window:
        """A window with these words as its message m1."""
        message = WindowMessage(
            label="m1", event_id=uuid7(), index=0, role="user", name=None, text=said.text, at=datetime.now(UTC),
            session_id=session, earlier=False,
        )  # fmt: skip
        spec_hash = self.machine_spec.spec_hash()
        return Window(user_id=user, spec_hash=spec_hash, deliveries=(), messages=(message,), more=False)

    def operations(self, said: Said, *, user: str = "ada", session: str = "s1") -> Operations:
        """What the store makes of words, without anything known."""
        patch = self.store.patch_model(self.spec).model_validate_json(json.dumps(said.patch("m1", [])))
        made = self.store.operations(patch, self.window(said, user=user, session=session), {}, self.spec)
        assert made.kept, f"the store makes nothing of {said.text!r}: {made.dropped}"
        return made

    def close(self) -> None:
        """Give everything back."""
        self._heartbeat.close()
        self.machine.close()
        self.app.close()
        self._dispatcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
