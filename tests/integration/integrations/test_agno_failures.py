"""What becomes of a run of agno's while our memory is away, slow, or asked what it cannot do: the run is whole."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from agno.agent import Agent
from sqlalchemy.engine import make_url

from chat_model import ChatModel
from harness import Place, eventually
from learning_machine.integrations.agno import LearnedKnowledgeConfig, LearningMachine
from learning_schemas.errors import ConfigurationError
from tcp_proxy import TcpProxy

Make = Callable[..., LearningMachine]
TIP = "Save this lesson: always pin the base image when you build containers."


@pytest.fixture(params=["refused", "silent"])
def away(request: pytest.FixtureRequest, place: Place) -> Iterator[dict[str, str]]:
    """The addresses of a Postgres and a Redis that refuse connections, or take them and never answer."""
    addresses, proxies = {}, []
    for name, url in (("database_url", place.app_url), ("redis_url", place.redis_url)):
        parsed = make_url(url)
        proxy = TcpProxy(parsed.host or "127.0.0.1", parsed.port or 0)
        if request.param == "silent":
            proxy.open()
            proxy.stall()
            proxies.append(proxy)
        addresses[name] = parsed.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    yield addresses
    for proxy in proxies:
        proxy.go_on()
        proxy.cut()


def test_given_redis_and_postgres_away_when_run_in_every_way_then_each_answer_is_there_in_bounded_time_and_the_log_says_it_once(
    away: dict[str, str],
    agent: Callable[..., Agent],
    way: Callable[..., str],
    learning: Make,
    chat: ChatModel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = learning(user_profile=True, learned_knowledge=True, recall_deadline=0.2, emit_deadline=0.2, **away)
    with caplog.at_level(logging.WARNING, "learning_machine"):
        answers = [  # they hang for as long
            way(agent(learning=machine), f"Hello {number}.", user_id="alice", session_id="s1") for number in (1, 2)
        ]
        handed_over = "handing a turn over failed"
        eventually(lambda: handed_over in caplog.text, "the log says that a turn was not taken")

    assert all(f"Hello {number}." in answer for number, answer in zip((1, 2), answers, strict=True))
    assert {"search_learnings", "save_learning"} <= set(chat.tools)
    for what in ("recall failed", handed_over, "It is not learned from: LearningMachine(spool_dir=…)"):
        assert caplog.text.count(what) == 1


def test_given_postgres_away_when_a_tool_is_called_then_the_model_is_told_and_the_run_ends(
    place: Place, agent: Callable[..., Agent], learning: Make
) -> None:
    closed = make_url(place.app_url).set(host="127.0.0.1", port=TcpProxy("127.0.0.1", 1).port)
    machine = learning(
        learned_knowledge=True, recall_deadline=0.2, database_url=closed.render_as_string(hide_password=False)
    )

    answer = agent(learning=machine).run(TIP, user_id="alice", session_id="s1")

    assert "Not saved" in str(answer.content)


def test_given_an_error_of_ours_that_nobody_foresaw_when_run_then_the_answer_is_there(
    agent: Callable[..., Agent],
    way: Callable[..., str],
    learning: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = learning(user_profile=True)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("unforeseen")

    for name in ("recall", "arecall", "emit", "tools"):
        monkeypatch.setattr(type(machine.memory), name, fail)
    with caplog.at_level(logging.WARNING, "learning_machine"):
        answer = way(agent(learning=machine), "Hello.", user_id="alice", session_id="s1")
        eventually(lambda: "handing a turn over failed" in caplog.text, "the log says that a turn was not taken")

    assert "Hello." in answer


def test_given_ids_that_we_do_not_take_when_run_then_the_answer_is_there(
    agent: Callable[..., Agent], learning: Make, caplog: pytest.LogCaptureFixture
) -> None:
    machine = learning(user_profile=True, learned_knowledge=LearnedKnowledgeConfig())

    answer = agent(learning=machine).run("Hello.", user_id=" alice ", session_id="s1")

    assert "Hello." in str(answer.content)
    assert "user_id" in caplog.text


def test_given_no_database_anywhere_when_the_first_run_starts_then_it_is_said_what_is_missing(
    place: Place, agent: Callable[..., Agent], chat: ChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.directory)
    machine = LearningMachine(user_profile=True, redis_url=place.redis_url)

    with pytest.raises(ConfigurationError, match="neither the argument nor LEARNING_DATABASE_URL"):
        agent(learning=machine).run("Hello.", user_id="alice", session_id="s1")
    assert chat.asked == []


def test_given_a_database_that_is_none_of_ours_when_made_then_it_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agno.db.in_memory import InMemoryDb

    monkeypatch.chdir(place.directory)

    with pytest.raises(ConfigurationError, match="db: is a InMemoryDb, and our memory needs Postgres"):
        LearningMachine(db=InMemoryDb(), user_profile=True, redis_url=place.redis_url)


def test_given_no_redis_when_made_then_it_is_said_what_is_missing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.directory)

    with pytest.raises(ConfigurationError, match="LEARNING_REDIS_URL"):
        LearningMachine(user_profile=True, database_url=place.app_url)


@pytest.mark.parametrize("whose", ["the machine's", "the agent's"])
def test_given_agnos_postgres_db_and_no_setting_of_ours_when_run_then_its_url_is_taken_over(
    whose: str,
    place: Place,
    agent: Callable[..., Agent],
    events: Callable[[int], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from agno.db.postgres import PostgresDb

    monkeypatch.chdir(place.directory)
    db = PostgresDb(db_url=make_url(place.superuser_url).set(drivername="postgresql+psycopg").render_as_string(False))
    ours = PostgresDb(db_url=make_url(place.app_url).set(drivername="postgresql+psycopg").render_as_string(False))
    machine = LearningMachine(
        db=ours if whose == "the machine's" else None, learned_knowledge=True, redis_url=place.redis_url
    )
    helper = agent(learning=machine, db=db if whose == "the machine's" else ours)
    try:
        if whose == "the machine's":
            assert "Saved" in str(helper.run(TIP, user_id="alice", session_id="s1").content)
        else:
            helper.initialize_agent()
            assert machine.memory.learnings(store="learned_knowledge") == ()
    finally:
        machine.close()
        for each in (db, ours):
            each.db_engine.dispose()
