"""Redis with users of its own, and over TLS: the whole path, with the lines that docs/deploy.md says, and nothing refused."""

import asyncio
import base64
import http.client
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from access_redis import Access, certificates, embedded, needs_tls, with_tls
from harness import Place, Processes, eventually, rows, turn
from learning_machine import ConfigurationError, LearningMachine, UserProfileConfig
from learning_ops.offline.server import OfflineModel
from learning_ops.process import free_port
from learning_schemas.scope import stream_name
from learning_stores.database import Database
from running_stack import run
from warm_python import warm_run

KINDS = ["users", pytest.param("users and TLS", marks=needs_tls)]


@pytest.fixture
def access(request: pytest.FixtureRequest) -> Iterator[Access]:
    """A server with the users of the docs, of the kind that the test names."""
    with embedded() if request.param == "users" else with_tls() as found:
        yield found


def _machine(place: Place, url: str) -> LearningMachine:
    return LearningMachine(
        database_url=place.app_url, redis_url=url, user_profile=UserProfileConfig(debounce=0), emit_deadline=10.0
    )


def _limited(place: Place, model: OfflineModel) -> None:
    """A models file with limits, so that the workers count in Redis."""
    lines = [f'base_url = "{model.url}"', 'api = "responses"', 'key_variable = "LEARNING_MODEL_API_KEY"']
    limits = ["max_output_tokens = 500", "requests_per_minute = 1000", "tokens_per_minute = 10000000"]
    path = place.directory / "models.toml"
    path.write_text("\n".join(['[models."offline-rules-1"]', *lines, *limits]))
    place.extra_env |= {
        "LEARNING_MODELS_FILE": str(path),
        "LEARNING_EMBEDDING_MODEL": "offline-rules-1",
        "LEARNING_EMBEDDING_BASE_URL": model.url,
        "LEARNING_EMBEDDING_API_KEY": "not-a-key",
    }


def _celery(processes: Processes, name: str, *arguments: str, **env: str) -> Any:
    return processes.start(name, ["-m", "celery", "-A", "learning_workers.app", *arguments], env)


def _workers_in_flower(port: int) -> set[str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        known = "Basic " + base64.b64encode(b"operator:flower-in-tests").decode()
        connection.request("GET", "/api/workers?refresh=1", headers={"Authorization": known})
        answer = connection.getresponse()
        body = answer.read()
        return {name.split("@")[0] for name in json.loads(body)} if answer.status == 200 else set()
    except OSError:
        return set()
    finally:
        connection.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("access", KINDS, indirect=True)
def test_given_two_users_when_agents_emit_as_one_and_everything_else_runs_as_the_other_then_nothing_is_refused(
    place: Place, access: Access, model: OfflineModel, everything_db: Database
) -> None:
    _limited(place, model)
    services = replace(place, redis_url=access.services_url)
    processes = Processes(services, warm=True)
    port = free_port()
    try:
        processes.dispatcher()
        processes.worker("user_profile", "embed", "session_context", "entity_memory", "learned_knowledge", threads=4)
        processes.worker("curator", threads=1, name="curator")
        _celery(
            processes,
            "beat",
            "beat",
            "-s",
            str(place.directory / "schedule"),
            "--enable-remote-control",
            "-n",
            "beat@%h",
        )
        _celery(
            processes,
            "flower",
            "flower",
            "--address=127.0.0.1",
            f"--port={port}",
            FLOWER_BASIC_AUTH="operator:flower-in-tests",
        )
        with _machine(place, access.producer_url) as machine:
            receipt = machine.emit(turn("I'm Alice, I work at Netflix."), user_id="alice", session_id="s1")
            assert receipt.via == "stream"
            assert machine.settle(receipt, timeout=90) == {"user_profile": "extracted"}
            assert "Works at Netflix" in machine.recall(user_id="alice").memories

            async def from_asyncio() -> None:
                async with _machine(place, access.producer_url) as other:
                    receipt = await other.aemit(turn("I love tea."), user_id="bob", session_id="s1")
                    assert receipt.via == "stream"
                    assert await other.asettle(receipt, timeout=90) == {"user_profile": "extracted"}

            asyncio.run(from_asyncio())
        eventually(lambda: not rows(everything_db, "SELECT FROM learning.embedding_due"), "embedded")
        done = "SELECT FROM learning.curator_run WHERE job = 'reconcile' AND state = 'done'"
        eventually(lambda: rows(everything_db, done), "the curator has reconciled", timeout=90)
        eventually(lambda: {"worker1", "curator2"} <= _workers_in_flower(port), "Flower knows the workers", timeout=90)
        env = {**services.env, "COLUMNS": "200"}
        for command in (["curate", "trim"], ["status", "--json"], ["forget", "--user", "alice", "--yes"]):
            ended = run(*command, cwd=place.directory, env=env)
            assert ended.returncode == 0, ended.stderr
        assert rows(everything_db, "SELECT FROM learning.learning WHERE user_id = 'alice'") == []
        at_redis = {"redis", "persistence", "eviction", "clocks", "workers", "dispatchers", "schedule"}

        def wrong() -> list[Any]:
            looked = json.loads(run("doctor", "--json", cwd=place.directory, env=env).stdout)["findings"]
            return [each for each in looked if each["check"] in at_redis and each["level"] in ("warning", "error")]

        # Who is busy answers a question to all workers a moment too late, once in a while.
        eventually(lambda: not wrong(), "the doctor finds nothing wrong at Redis")
        eventually(lambda: "learning.user_profile" in _inspect(services), "a worker says what it takes from")
    finally:
        refused = access.refused()  # it says more than what came of it
        processes.stop_all()
        assert refused == []
    assert access.refused() == []


def _inspect(place: Place) -> str:
    argv = ["-m", "celery", "-A", "learning_workers.app", "inspect", "-t", "5", "active_queues"]
    return warm_run(argv, env=place.env, cwd=place.directory, timeout=100).stdout


@pytest.mark.parametrize("access", ["users"], indirect=True)
def test_given_a_producer_when_it_tries_more_than_to_append_then_it_is_refused(access: Access) -> None:
    with redis.Redis.from_url(access.services_url) as services:
        services.xadd(stream_name(0), {"event": "what somebody said"})
    stream = stream_name(0)
    forbidden: list[tuple[Any, ...]] = [
        ("XRANGE", stream, "-", "+"), ("XREAD", "STREAMS", stream, "0"), ("XDEL", stream, "1-1"), ("XTRIM", stream, "MAXLEN", "0"),
        ("DEL", stream), ("SADD", "learning:specs", "acme/x"), ("SMEMBERS", "learning:specs"), ("KEYS", "*"), ("SCAN", "0"),
        ("LPUSH", "learning.user_profile", "x"), ("XADD", "elsewhere", "*", "event", "x"), ("PUBLISH", "/0.celery.pidbox", "x"),
        ("CONFIG", "GET", "*"), ("FLUSHALL",), ("EVAL", "return 1", "0"), ("ACL", "LIST"), ("CLIENT", "LIST"),
    ]  # fmt: skip  # a table
    with redis.Redis.from_url(access.producer_url) as producer:
        for command in forbidden:
            with pytest.raises(redis.exceptions.NoPermissionError):
                producer.execute_command(*command)
        assert producer.execute_command("XADD", stream, "*", "event", "x")


@pytest.mark.parametrize("access", ["users"], indirect=True)
def test_given_the_services_user_when_it_tries_what_operators_do_not_then_it_is_refused(access: Access) -> None:
    with redis.Redis.from_url(access.services_url) as services:
        for command in (
            ("FLUSHALL",),
            ("CONFIG", "SET", "appendonly", "no"),
            ("ACL", "LIST"),
            ("SET", "elsewhere", "x"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError):
                services.execute_command(*command)


@pytest.mark.parametrize("access", ["users"], indirect=True)
def test_given_a_producers_machine_when_a_user_is_forgotten_then_the_receipt_names_the_stream_as_out_of_reach(
    place: Place, access: Access
) -> None:
    with _machine(place, access.producer_url) as machine:
        machine.emit(turn("I love tea."), user_id="alice", session_id="s1")
        receipt = machine.forget(user_id="alice")
    assert any("stream" in each and "refuses" in each for each in receipt.beyond_reach)


@needs_tls
@pytest.mark.parametrize("access", ["users and TLS"], indirect=True)
@pytest.mark.parametrize("wrong", ["another authority", "no authority", "another host", "no TLS"])
def test_given_a_server_that_cannot_prove_who_it_is_when_emitted_then_it_gets_nothing_and_postgres_has_the_event(
    place: Place, access: Access, tmp_path: Path, wrong: str
) -> None:
    url, parameters = access.producer_url.split("?")
    urls = {
        "another authority": f"{url}?ssl_ca_certs={certificates(tmp_path)}",
        "no authority": url,
        "another host": f"{url.replace('127.0.0.1', '127.0.0.2')}?{parameters}",
        "no TLS": url.replace("rediss://", "redis://"),
    }
    with _machine(place, urls[wrong]) as machine:
        assert machine.emit(turn("I love tea."), user_id="alice", session_id="s1").via == "postgres"
    with redis.Redis.from_url(access.admin_url) as client:
        assert [client.xlen(stream_name(shard)) for shard in range(8)] == [0] * 8


def test_given_a_url_with_tls_parameters_that_there_are_not_when_a_machine_is_made_then_it_is_refused(
    place: Place,
) -> None:
    with pytest.raises(ConfigurationError, match="redis_url"):
        _machine(place, "rediss://127.0.0.1:1/0?ssl_cert_reqs=perhaps")
