"""An agent's tools against the real database: kept at once, seen by whom it may be seen, and honest when it was not kept."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import openai
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from harness import Place, rows
from learning_machine import (
    Approval,
    Arguments,
    Calling,
    EntityMemoryConfig,
    LearnedKnowledgeConfig,
    LearningMachine,
    Tool,
    ToolDefinition,
    UserProfileConfig,
)
from learning_ops.offline.server import OfflineModel
from learning_stores.database import Database
from learning_stores.learned_knowledge import LearnedKnowledgeStore
from tcp_proxy import TcpProxy

_TOOLS = LearnedKnowledgeStore.tools

AGENTIC = UserProfileConfig(mode="AGENTIC")
INSIGHT = {
    "title": "Egress costs",
    "learning": "Check egress costs before choosing a cloud provider.",
    "context": None,
    "tags": ["cloud"],
}


def tools(machine: LearningMachine, user_id: str | None = "alice", **ids: str) -> dict[str, Tool]:
    return {tool.name: tool for tool in machine.tools(user_id=user_id, **ids)}


@pytest.fixture
def proxy(place: Place) -> Iterator[TcpProxy]:
    """A way to the database that can be cut; it is open."""
    url = make_url(place.app_url)
    assert url.port is not None
    proxy = TcpProxy(url.host or "127.0.0.1", url.port)
    proxy.open()
    yield proxy
    proxy.cut()


def through(proxy: TcpProxy, place: Place, **options: Any) -> LearningMachine:
    """A machine that goes that way."""
    url = make_url(place.app_url).set(host="127.0.0.1", port=proxy.port)
    return LearningMachine(database_url=url.render_as_string(hide_password=False), redis_url=place.redis_url, **options)


def test_given_a_saved_memory_then_recall_has_it_at_once_and_its_evidence_names_the_tool(
    place: Place, everything_db: Database
) -> None:
    with place.machine(user_profile=AGENTIC) as machine:
        of_alice = tools(machine, session_id="s1", agent_id="helper")

        assert of_alice["save_memory"](content="Prefers concise answers") == "Saved."
        assert of_alice["update_profile"](field="preferred_name", value="Al") == "Saved."

        recalled = machine.recall(user_id="alice")
        assert recalled.memories == ("Prefers concise answers",)
        assert recalled.fields == {"preferred_name": "Al"}
        assert of_alice["save_memory"](content="Prefers concise answers.").startswith("Already known")
    [change] = rows(
        everything_db,
        "SELECT DISTINCT c.origin, c.action, c.subject, c.session_id, c.agent_id FROM learning.change c"
        " JOIN learning.learning l ON l.made_by = c.id WHERE l.kind = 'memory'",
    )
    assert change == {
        "origin": "tool",
        "action": "save_memory",
        "subject": "user/alice",
        "session_id": "s1",
        "agent_id": "helper",
    }


def test_given_what_a_tool_kept_then_it_says_for_whom_and_a_person_corrects_it_in_one_line(place: Place) -> None:
    with place.machine(user_profile=AGENTIC, learned_knowledge=True) as machine:
        of_alice = tools(machine)
        of_alice["save_memory"](content="Prefers coffee")
        of_alice["save_learning"](**INSIGHT)
        (memory,) = machine.learnings(user_id="alice", store="user_profile")
        (insight,) = machine.learnings(store="learned_knowledge")

        assert insight.user_id is None
        assert [(each.action, each.user_id) for each in insight.evidence] == [("save_learning", "alice")]
        corrected = machine.update(memory.id, "Prefers tea", by="ann")
        assert corrected.content == "Prefers tea"
        assert (corrected.evidence[-1].by, corrected.evidence[-1].user_id) == ("ann", None)


def test_given_a_saved_insight_then_another_users_agent_finds_it_at_once(place: Place) -> None:
    with place.machine(learned_knowledge=True) as machine:
        assert tools(machine, "alice")["save_learning"](**INSIGHT) == "Saved."

        assert "egress costs" in tools(machine, "bob")["search_learnings"](query="which cloud provider?", limit=None)
        assert "egress costs" in machine.recall(user_id="bob").context


def test_given_another_user_or_tenant_then_nothing_of_it_is_seen_or_changed(place: Place) -> None:
    with place.machine(user_profile=AGENTIC, learned_knowledge=True) as machine:
        tools(machine)["save_memory"](content="Lives in Berlin")
        tools(machine)["save_learning"](**INSIGHT)
        other = machine.for_tenant("other")

        assert machine.recall(user_id="bob").memories == ()
        assert other.recall(user_id="alice").learnings == ()
        assert "egress" not in tools(other)["search_learnings"](query="cloud egress costs")
        for view, user in ((machine, "bob"), (other, "alice")):
            assert tools(view, user)["forget_memory"](memory="Lives in Berlin").startswith("Not forgotten")
        assert machine.recall(user_id="alice").memories == ("Lives in Berlin",)


def test_given_a_namespace_of_the_users_own_then_what_is_saved_there_stays_with_the_user(place: Place) -> None:
    knowledge = LearnedKnowledgeConfig(namespace="user", also_reads=["global"])
    with place.machine(learned_knowledge=True) as everybodys, place.machine(learned_knowledge=knowledge) as own:
        tools(own, "alice")["save_learning"](**INSIGHT)
        tools(everybodys, "carol")["save_learning"](**{**INSIGHT, "title": "T", "learning": "Pin cloud versions."})

        assert "egress costs" in own.recall(user_id="alice").context
        assert "Pin cloud versions" in own.recall(user_id="alice").context
        assert "egress" not in own.recall(user_id="bob").context
        assert "egress" not in own.recall(session_id="s1").context
        assert "egress" not in everybodys.recall(user_id="alice").context
        found = tools(own, "bob")["search_learnings"](query="cloud")
        assert "Pin cloud versions" in found
        assert "egress" not in found


def test_given_propose_then_nobody_is_shown_it_before_somebody_approved_it(
    place: Place, everything_db: Database
) -> None:
    with place.machine(learned_knowledge=LearnedKnowledgeConfig(mode="PROPOSE")) as machine:
        assert "a person decides" in tools(machine)["propose_learning"](**INSIGHT)

        assert machine.recall(user_id="alice").learnings == ()
        assert "egress" not in tools(machine)["search_learnings"](query="cloud egress costs")
    assert rows(everything_db, "SELECT status, awaits FROM learning.learning") == [
        {"status": "proposed", "awaits": "approval"}
    ]


@pytest.mark.parametrize(
    ("approval", "waits"),
    [
        ("always", True),
        (Approval(confidence_below=0.8), True),
        (Approval(confidence_below=0.7), False),
        (None, False),
    ],
)
def test_given_an_approval_then_the_tools_of_any_store_propose_where_it_says_so(
    place: Place, approval: Any, waits: bool
) -> None:
    with place.machine(user_profile=UserProfileConfig(enable_agent_tools=True, approval=approval)) as machine:
        answer = tools(machine)["save_memory"](content="Lives in Berlin")

        assert answer.startswith("Proposed" if waits else "Saved")
        assert machine.recall(user_id="alice").memories == (() if waits else ("Lives in Berlin",))


def test_given_a_secret_then_it_is_not_kept_and_the_answer_says_so(place: Place, everything_db: Database) -> None:
    with place.machine(user_profile=AGENTIC) as machine:
        answer = tools(machine)["save_memory"](content="My password is hunter22x, by the way")

    assert answer == "Saved. Secrets were left out of it (1 × password)."
    [row] = rows(everything_db, "SELECT content, data::text FROM learning.learning")
    assert "hunter22x" not in str(row)
    assert "[redacted: password]" in row["content"]


async def test_given_asyncio_then_a_tool_does_the_same(place: Place) -> None:
    async with place.machine(user_profile=AGENTIC) as machine:
        of_alice = tools(machine)

        assert await of_alice["save_memory"].acall(content="Lives in Berlin") == "Saved."
        assert (await machine.arecall(user_id="alice")).memories == ("Lives in Berlin",)
        assert (await of_alice["forget_memory"].acall(memory="nothing like it")).startswith("Not forgotten")
        assert await of_alice["forget_memory"].acall(memory="Lives in Berlin") == "Forgotten."
        assert machine.recall(user_id="alice").memories == ()
        machine.close()


def test_given_a_server_that_is_away_then_the_answer_says_so_and_the_next_call_after_it_is_back_is_kept(
    place: Place, proxy: TcpProxy
) -> None:
    with through(proxy, place, user_profile=AGENTIC, learned_knowledge=True) as machine:
        save = tools(machine)["save_memory"]
        assert save(content="Lives in Berlin") == "Saved."

        proxy.cut()
        refused = save(content="Is vegetarian")
        searched = tools(machine)["search_learnings"](query="anything")
        proxy.open()

        assert refused == "Not saved: the memory cannot be reached (OperationalError). Try again later."
        assert searched.startswith("No answer: the memory cannot be reached")
        assert machine.recall(user_id="alice").memories == ("Lives in Berlin",)
        assert save(content="Is vegetarian") == "Saved."
        assert set(machine.recall(user_id="alice").memories) == {"Lives in Berlin", "Is vegetarian"}


def test_given_a_connection_that_breaks_at_the_commit_then_the_answer_claims_neither(
    place: Place, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(store: LearnedKnowledgeStore, spec: Any) -> Sequence[ToolDefinition]:
        *_, save = _TOOLS(store, spec)

        def run(calling: Calling, arguments: Arguments) -> str:
            answer = save.run(calling, arguments)
            proxy.cut()
            return answer

        return (ToolDefinition(name=save.name, description=save.description, arguments=save.arguments, run=run),)

    monkeypatch.setattr(LearnedKnowledgeStore, "tools", breaking)
    with through(proxy, place, learned_knowledge=True) as machine:
        answer = tools(machine)["save_learning"](**INSIGHT)

    assert answer.startswith("It is not known whether this was saved")


@contextmanager
def _subject_held(database: Database, subject: str) -> Iterator[None]:
    with database.transaction("default") as session:
        found = session.execute(
            text("SELECT true FROM learning.subject WHERE tenant = 'default' AND subject = :s FOR UPDATE"),
            {"s": subject},
        )
        assert found.scalar()
        yield


def test_given_a_lock_that_nobody_gives_back_then_the_tool_answers_without_it(place: Place, app_db: Database) -> None:
    with place.machine(user_profile=AGENTIC) as machine:
        save = tools(machine)["save_memory"]
        assert save(content="Lives in Berlin") == "Saved."
        with _subject_held(app_db, "user/alice"):
            answer = save(content="Is vegetarian")

        assert answer.startswith("Not saved: the memory cannot be reached (it did not answer in time)")
        assert save(content="Is vegetarian") == "Saved."


def test_given_calls_at_once_then_each_is_kept_once(place: Place) -> None:
    with place.machine(user_profile=AGENTIC) as machine:
        save = tools(machine)["save_memory"]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda number: save(content=f"Likes number {number % 6}"), range(12)))

        assert sum(answer == "Saved." for answer in answers) == 6
        assert sum(answer.startswith("Already known") for answer in answers) == 6
        assert len(machine.recall(user_id="alice").memories) == 6


def test_given_the_offline_model_then_its_chat_endpoint_takes_the_tools_and_what_it_calls_is_kept(
    place: Place, model: OfflineModel
) -> None:
    with place.machine(user_profile=AGENTIC, learned_knowledge=True) as machine:
        of_alice = tools(machine)
        with openai.OpenAI(base_url=model.url, api_key="not-a-key", max_retries=0) as client:
            messages: list[Any] = [
                {"role": "system", "content": machine.instructions()},
                {"role": "user", "content": "Please remember that I work at Netflix."},
            ]
            answer = client.chat.completions.create(
                model="offline-rules-1",
                messages=messages,
                tools=[tool.to_openai() for tool in of_alice.values()],  # type: ignore[misc]  # a TypedDict of theirs
            )
        [call] = answer.choices[0].message.tool_calls or ()
        assert call.type == "function"
        assert of_alice[call.function.name](**json.loads(call.function.arguments)) == "Saved."
        assert "Netflix" in machine.recall(user_id="alice").memories[0]


def test_given_tools_of_entities_then_what_one_agent_adds_another_finds(place: Place) -> None:
    with place.machine(entity_memory=EntityMemoryConfig(mode="AGENTIC", types=["company", "person"])) as machine:
        of_alice, of_bob = tools(machine, "alice"), tools(machine, "bob")
        company = {"name": "Acme Corp", "type": "company", "description": None, "aliases": ["Acme"]}

        assert set(of_alice) == {
            "remember_entity", "add_fact", "add_event", "link_entities", "search_entities", "forget_fact",
        }  # fmt: skip
        assert not of_alice["remember_entity"](**company, properties=[]).startswith("Not saved")
        assert "Added: Uses PostgreSQL" in of_alice["add_fact"](entity="Acme", fact="Uses PostgreSQL")

        assert "Uses PostgreSQL" in of_bob["search_entities"](query="Acme Corp")
        assert "Uses PostgreSQL" in machine.recall(user_id="bob").context
        assert of_bob["remember_entity"](name="Berlin", type="city").startswith("Not saved")
        assert of_alice["search_entities"](query="Berlin") == "Nothing is known of Berlin yet."


class _Deadlocks:
    """Makes the first so many runs of a tool end in a deadlock."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.runs = 0

    def tools(self, store: LearnedKnowledgeStore, spec: Any) -> Sequence[ToolDefinition]:
        *_, save = _TOOLS(store, spec)

        def run(calling: Calling, arguments: Arguments) -> str:
            self.runs += 1
            answer = save.run(calling, arguments)
            if self.left:
                self.left -= 1
                raise OperationalError("", {}, psycopg.errors.DeadlockDetected())
            return answer

        return (ToolDefinition(name=save.name, description=save.description, arguments=save.arguments, run=run),)


@pytest.mark.parametrize(
    ("deadlocks", "runs", "told", "kept"),
    [(2, 3, "Saved.", 1), (9, 3, "Not saved: others were writing the same at that moment. Try again.", 0)],
)
async def test_given_deadlocks_with_other_writers_then_the_call_is_run_again_a_few_times(
    place: Place,
    everything_db: Database,
    monkeypatch: pytest.MonkeyPatch,
    deadlocks: int,
    runs: int,
    told: str,
    kept: int,
) -> None:
    clashing = _Deadlocks(deadlocks)
    monkeypatch.setattr(LearnedKnowledgeStore, "tools", lambda store, spec: clashing.tools(store, spec))
    async with place.machine(learned_knowledge=True) as machine:
        save = tools(machine)["save_learning"]

        assert save(**INSIGHT) == told
        assert (clashing.runs, len(rows(everything_db, "SELECT id FROM learning.learning"))) == (runs, kept)

        clashing.left, clashing.runs = deadlocks, 0
        assert await save.acall(**{**INSIGHT, "learning": "Pin cloud versions."}) == told
        assert clashing.runs == runs
        machine.close()
