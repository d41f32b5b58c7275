"""A turn of agno's agent without learning, with agno's own, and with ours: its latency, its calls, and memories written at once.

The agent's model takes 0.3 s, whoever extracts 1 s. Both are the offline model, which calls no tool where agno extracts: agno's own
calls are the fewest that it can make, one a store and turn.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from agno.agent import Agent
from agno.db.postgres import PostgresDb
from agno.learn import LearningMachine as AgnoMachine
from agno.models.openai import OpenAIChat
from sqlalchemy.engine import make_url

from benchmarks.figures import Figure, percentile
from benchmarks.place import bench_place, whole_system
from chat_model import ChatModel
from harness import Place, rows
from learning_machine import LearnedKnowledgeConfig, UserProfileConfig
from learning_machine.integrations.agno import LearningMachine
from learning_stores.database import Database

MODEL_SECONDS, EXTRACTOR_SECONDS = 0.3, 1.0
TURNS = 8
LONG = 20
WRITES = 20
STORES = ("user_profile", "session_context", "learned_knowledge")


@dataclass(kw_only=True)
class Scene:
    """The servers that all of them share."""

    place: Place
    db: PostgresDb
    model: ChatModel
    extractor: ChatModel
    clients: list[OpenAIChat]

    def client(self, server: ChatModel) -> OpenAIChat:
        """agno's client of a model."""
        self.clients.append(OpenAIChat(id="offline-rules-1", base_url=server.url, api_key="not-a-key", max_retries=0))
        return self.clients[-1]

    def agent(self, learning: Any) -> Agent:
        """An agent that keeps its sessions in agno's database, whatever it learns by."""
        return Agent(name="Helper", model=self.client(self.model), db=self.db, learning=learning, telemetry=False)

    def theirs(self, stores: int) -> AgnoMachine:
        """agno's own: the profile and memories that `learning=True` means, and the session for a third."""
        extractor = self.client(self.extractor)
        return AgnoMachine(db=self.db, model=extractor, user_profile=True, user_memory=True, session_context=stores > 2)

    def ours(self, stores: int) -> LearningMachine:
        """Ours: profile and session, and insights for a third."""
        return LearningMachine(
            user_profile=True,
            session_context=True,
            learned_knowledge=LearnedKnowledgeConfig(mode="ALWAYS") if stores > 2 else False,
            database_url=self.place.app_url,
            redis_url=self.place.redis_url,
        )


def run() -> list[Figure]:
    """Latencies, calls and tokens, and writes at once."""
    with _scene() as scene:
        return [*_latencies(scene), *_calls(scene), *_writes(scene)]


@contextmanager
def _scene() -> Iterator[Scene]:
    with ExitStack() as stack:
        place = stack.enter_context(bench_place())
        stack.enter_context(whole_system(place, *STORES, latency=EXTRACTOR_SECONDS))
        model = stack.enter_context(ChatModel(MODEL_SECONDS).running())
        extractor = stack.enter_context(ChatModel(EXTRACTOR_SECONDS).running())
        url = make_url(place.superuser_url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        db = PostgresDb(db_url=url)
        stack.callback(db.db_engine.dispose)
        scene = Scene(place=place, db=db, model=model, extractor=extractor, clients=[])
        stack.callback(lambda: [client.get_client().close() for client in scene.clients])
        yield scene


def _latencies(scene: Scene) -> list[Figure]:
    without = _turn(scene.agent(None), "without")
    figures = []
    for stores in (2, 3):
        theirs = _turn(scene.agent(scene.theirs(stores)), f"theirs-{stores}")
        with _closing(scene.ours(stores)) as machine:
            ours = _turn(scene.agent(machine), f"ours-{stores}")
        for who, seconds in (("agno's own learning", theirs), ("ours", ours)):
            figures.append(
                Figure(
                    what=f"a turn with {who}, {stores} stores / without learning, p50",
                    value=f"{seconds / without:.2f} × ({seconds:.2f} / {without:.2f} s)",
                )
            )
    return figures


def _turn(agent: Agent, user_id: str) -> float:
    """Seconds of a turn, p50; the first warms up."""
    found = []
    for number in range(TURNS + 1):
        began = time.perf_counter()
        agent.run(f"I like dish number {number}.", user_id=user_id, session_id=f"{user_id}-{number}")
        found.append(time.perf_counter() - began)
    return percentile(found[1:], 0.5)


def _calls(scene: Scene) -> list[Figure]:
    calls, tokens = _counted(scene), _told(scene)
    _session(scene.agent(scene.theirs(3)), "long-theirs")
    theirs_calls, theirs_tokens = _counted(scene) - calls, _told(scene) - tokens
    calls, tokens = _counted(scene), _told(scene)
    with Database(scene.place.superuser_url) as database, _closing(scene.ours(3)) as machine:
        _settled(database)  # of the turns before
        before = rows(database, _OURS)[0]
        _session(scene.agent(machine), "long-ours")
        _settled(database)
        after = rows(database, _OURS)[0]
    ours_calls = _counted(scene) - calls + after["calls"] - before["calls"]
    ours_tokens = _told(scene) - tokens + after["tokens"] - before["tokens"]
    return [
        Figure(
            what=f"model calls over {LONG} turns of one session, 3 stores, the agent's among them: agno's own / ours",
            value=f"{theirs_calls / ours_calls:.2f} × ({theirs_calls} / {ours_calls})",
        ),
        Figure(
            what="input tokens of these calls: agno's own / ours",
            value=f"{theirs_tokens / ours_tokens:.2f} × ({theirs_tokens:,} / {ours_tokens:,})",
        ),
    ]


_OURS = "SELECT count(*) AS calls, coalesce(sum(tokens_input), 0)::bigint AS tokens FROM learning.model_call"
_PENDING = "SELECT count(*) AS n FROM learning.delivery WHERE state = 'pending'"


def _session(agent: Agent, user_id: str) -> None:
    for number in range(LONG):
        agent.run(f"I like dish number {number}.", user_id=user_id, session_id=user_id)


def _settled(database: Database) -> None:
    """Wait until everything that was said is extracted."""
    until = time.monotonic() + 120
    while rows(database, _PENDING)[0]["n"]:
        if time.monotonic() > until:
            raise TimeoutError("deliveries are still pending after 120 s")
        time.sleep(0.2)


def _counted(scene: Scene) -> int:
    return len(scene.model.asked) + len(scene.extractor.asked)


def _told(scene: Scene) -> int:
    return scene.model.input_tokens + scene.extractor.input_tokens


def _writes(scene: Scene) -> list[Figure]:
    """Memories of one user that as many threads write at once."""
    store: Any = scene.theirs(2).user_memory_store
    with ThreadPoolExecutor(WRITES) as threads:
        list(threads.map(lambda number: store.add_memory("eve", f"Likes dish {number}"), range(WRITES)))
    theirs = len(store.get("eve").memories)
    machine = scene.place.machine(user_profile=UserProfileConfig(mode="AGENTIC"))
    with machine, ThreadPoolExecutor(WRITES) as threads:
        (tool,) = [tool for tool in machine.tools(user_id="eve", session_id="s1") if tool.name == "save_memory"]
        list(threads.map(lambda number: tool(content=f"Likes dish {number}"), range(WRITES)))
        ours = len(machine.learnings(user_id="eve", kind="memory"))
    return [
        Figure(what=f"of {WRITES} memories written at once, kept by agno's store", value=f"{theirs}"),
        Figure(what="the same, kept by ours", value=f"{ours}", goal=f"{WRITES}", reached=ours == WRITES),
    ]


@contextmanager
def _closing(machine: LearningMachine) -> Iterator[LearningMachine]:
    try:
        yield machine
    finally:
        machine.close()
