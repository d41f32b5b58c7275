"""agno's agents and teams on the offline model, with a memory in the test's place."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.team import Team

from chat_model import ChatModel
from harness import Place, eventually
from learning_machine.integrations.agno import LearningMachine


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatModel]:
    """The model that agents ask. agno sends nothing else anywhere."""
    monkeypatch.setenv("AGNO_TELEMETRY", "false")
    with ChatModel().running() as model:
        yield model


@pytest.fixture
def model_of_agents(chat: ChatModel) -> Iterator[Callable[[], OpenAIChat]]:
    """Makes agno's client of that model, closed with the test."""
    made: list[OpenAIChat] = []

    def make() -> OpenAIChat:
        made.append(OpenAIChat(id="offline-rules-1", base_url=chat.url, api_key="not-a-key", max_retries=0))
        return made[-1]

    yield make
    for model in made:
        model.get_client().close()


@pytest.fixture
def learning(place: Place) -> Iterator[Callable[..., LearningMachine]]:
    """Makes our machine for agno, closed with the test."""
    made: list[LearningMachine] = []

    def make(**options: Any) -> LearningMachine:
        machine = LearningMachine(**{"database_url": place.app_url, "redis_url": place.redis_url, **options})
        made.append(machine)
        return machine

    yield make
    for machine in made:
        machine.close()


@pytest.fixture
def agent(model_of_agents: Callable[[], OpenAIChat]) -> Callable[..., Agent]:
    """Makes an agent."""

    def make(**options: Any) -> Agent:
        return Agent(**{"name": "Helper", "model": model_of_agents(), "telemetry": False, **options})

    return make


@pytest.fixture
def team(model_of_agents: Callable[[], OpenAIChat], agent: Callable[..., Agent]) -> Callable[..., Team]:
    """Makes a team of one member."""

    def make(**options: Any) -> Team:
        return Team(
            **{
                "name": "Crew",
                "members": [agent(name="Member")],
                "model": model_of_agents(),
                "telemetry": False,
                **options,
            }
        )

    return make


def sync(runner: Any, text: str, **ids: str) -> str:
    """Run it."""
    return str(runner.run(text, **ids).content)


def streamed(runner: Any, text: str, **ids: str) -> str:
    """Run it as a stream."""
    return "".join(
        str(event.content) for event in runner.run(text, stream=True, **ids) if getattr(event, "content", None)
    )


def asynchronous(runner: Any, text: str, **ids: str) -> str:
    """Run it in an event loop."""

    async def run() -> str:
        try:
            return str((await runner.arun(text, **ids)).content)
        finally:
            await _closed(runner)

    return asyncio.run(run())


async def _closed(runner: Any) -> None:
    """Close what an event loop leaves open when it ends."""
    await runner.model.get_async_client().close()


def asynchronously_streamed(runner: Any, text: str, **ids: str) -> str:
    """Run it as a stream in an event loop."""

    async def run() -> str:
        try:
            events = runner.arun(text, stream=True, **ids)
            return "".join([str(event.content) async for event in events if getattr(event, "content", None)])
        finally:
            await _closed(runner)

    return asyncio.run(run())


WAYS = [sync, streamed, asynchronous, asynchronously_streamed]


@pytest.fixture(params=WAYS, ids=[way.__name__ for way in WAYS])
def way(request: pytest.FixtureRequest) -> Callable[..., str]:
    """How a run is made: sync or async, whole or as a stream."""
    found: Callable[..., str] = request.param
    return found


@pytest.fixture
def events(place: Place) -> Callable[[int], list[dict[str, Any]]]:
    """Waits until so many events are in the streams, and gives all there are."""

    def look(count: int) -> list[dict[str, Any]]:
        with redis.Redis.from_url(place.redis_url) as client:

            def found() -> list[dict[str, Any]]:
                streams = sorted(client.scan_iter("learning:events:*"))
                entries = sorted(
                    (entry for stream in streams for entry in client.xrange(stream)), key=lambda entry: entry[0]
                )
                return [json.loads(fields[b"event"]) for _, fields in entries if b"event" in fields]

            return eventually(lambda: events if len(events := found()) >= count else [], f"{count} events")

    return look
