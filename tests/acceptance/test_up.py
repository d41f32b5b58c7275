"""`learning-machine up`: the whole system in the foreground, as a person runs it."""

import base64
import http.client
import json
import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from embedding_doubles import vectors
from harness import eventually, turn
from learning_machine import LearningMachine
from learning_ops.process import free_port
from learning_stores.registry import installed
from running_stack import Foreground, clean_env, directory, processes_of, run, secrets_of, started, up
from scripted_model import Answer, ScriptedModel

STRANGERS_KEY = "sk-not-a-key-of-anybodys-0000"


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Foreground, Path]]:
    """A stack of the default kind that shows its metrics, in a directory of its own; a key of the user's is in its environment."""
    measured = ("--metrics-port", str(_in_a_row(10)))
    with directory() as cwd, up(*measured, env=clean_env(OPENAI_API_KEY=STRANGERS_KEY), cwd=cwd) as foreground:
        yield foreground, cwd


def _in_a_row(ports: int) -> int:
    """The first of so many that nobody listens on, below those that systems give to whoever asks for any."""
    return next(
        first
        for first in range(21_000, 32_000, ports)
        if all(free_port(port) == port for port in range(first, first + ports))
    )


def _env_of(data: Path, name: str = "env") -> dict[str, str]:
    return dict(re.findall(r"^(\w+)='(.*)'$", (data / name).read_text(), re.MULTILINE))


def _flower(foreground: Foreground, path: str, password: str | None) -> tuple[int, Any]:
    found = re.search(r"^Flower +http://127\.0\.0\.1:(\d+) ", foreground.output, re.MULTILINE)
    assert found
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
    try:
        headers = {}
        if password is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(f"operator:{password}".encode()).decode()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if answer.status == 200 else None
    finally:
        connection.close()


def test_given_a_stack_when_it_is_ready_then_it_has_said_what_serves_and_where_conversations_go(
    running: tuple[Foreground, Path],
) -> None:
    output = running[0].output

    assert len(re.findall(r"^ready", output, re.MULTILINE)) == 1
    assert "offline-rules-1 at http://127.0.0.1:" in output
    assert "conversations stay on this machine" in output
    assert re.search(r"^embeds  offline-rules-1 at 127\.0\.0\.1:\d+/v1: what is remembered stays", output, re.MULTILINE)
    assert secrets_of(running[1] / ".learning")["flower"] in output


def test_given_a_stack_when_its_env_is_read_then_it_holds_learning_variables_only_and_is_private(
    running: tuple[Foreground, Path],
) -> None:
    data = running[1] / ".learning"

    lines = (data / "env").read_text().splitlines()

    assert all(line.startswith("LEARNING_") for line in lines)
    assert set(_env_of(data)) == {
        "LEARNING_DATABASE_URL",
        "LEARNING_REDIS_URL",
        "LEARNING_MODEL",
        "LEARNING_MODEL_BASE_URL",
        "LEARNING_MODEL_API_KEY",
        "LEARNING_EMBEDDING_MODEL",
        "LEARNING_EMBEDDING_BASE_URL",
        "LEARNING_EMBEDDING_API_KEY",
    }
    operators = _env_of(data, "operator-env")
    assert {name: url.split("//")[1].split(":")[0] for name, url in operators.items()} == {
        "LEARNING_DISPATCHER_DATABASE_URL": "learning_dispatcher",
        "LEARNING_OWNER_DATABASE_URL": "learning_owner",
    }
    wider = {secret for name, secret in secrets_of(data).items() if name in ("postgres", "learning_owner", "flower")}
    assert len(wider) == 3
    assert not any(secret in (data / "env").read_text() for secret in wider)
    assert secrets_of(data)["postgres"] not in (data / "operator-env").read_text()
    assert stat.S_IMODE((data / "operator-env").stat().st_mode) == 0o600
    assert stat.S_IMODE((data / "env").stat().st_mode) == 0o600
    assert (data / ".gitignore").read_text() == "*\n"


def test_given_a_stack_when_a_second_one_is_started_on_its_data_then_it_says_so_and_the_first_serves_on(
    running: tuple[Foreground, Path],
) -> None:
    foreground, cwd = running

    second = started("up", cwd=cwd)

    assert second.returncode == 1
    assert f"in use by process {foreground.process.pid}" in second.stderr
    assert "--data" in second.stderr
    assert run("dispatcher", "--check", cwd=cwd).returncode == 0


def test_given_a_stack_when_a_second_terminal_emits_then_status_and_recall_show_it(
    running: tuple[Foreground, Path],
) -> None:
    _, cwd = running
    line = json.dumps({"messages": turn("I'm Dora, I work at Initech."), "user_id": "dora", "session_id": "s1"})

    emitted = run("emit", "-", "--settle", cwd=cwd, stdin=line)

    assert emitted.returncode == 0, emitted.stderr
    assert "Works at Initech" in run("recall", "--user", "dora", cwd=cwd).stdout
    assert json.loads(run("status", "--json", cwd=cwd).stdout)["backlog"] == []


def test_given_a_stack_when_migrated_in_its_directory_then_the_owner_of_the_tables_can(
    running: tuple[Foreground, Path],
) -> None:
    ended = run("migrate", cwd=running[1])

    assert ended.returncode == 0, ended.stderr
    assert "(as before)" in ended.stdout


def test_given_flower_when_asked_without_the_password_then_401_and_with_it_every_worker_is_there(
    running: tuple[Foreground, Path],
) -> None:
    foreground, cwd = running
    password = secrets_of(cwd / ".learning")["flower"]

    assert _flower(foreground, "/api/workers", None)[0] == 401
    assert _flower(foreground, "/api/workers", "guessed")[0] == 401

    def workers() -> set[str]:
        status, found = _flower(foreground, "/api/workers?refresh=1", password)
        return {name.split("@")[0] for name in found} if status == 200 else set()

    eventually(lambda: workers() == {*installed(), "embed", "curator"}, "every worker in Flower", every=0.5)


def test_given_a_stack_when_its_processes_are_looked_at_then_no_list_shows_a_secret_and_none_has_more_than_it_needs(
    running: tuple[Foreground, Path],
) -> None:
    foreground, cwd = running
    secrets = secrets_of(cwd / ".learning")
    children = psutil.Process(foreground.process.pid).children(recursive=True)

    lists = [" ".join(child.cmdline()) for child in children]
    assert not any(secret in line for secret in [*secrets.values(), STRANGERS_KEY] for line in lists)
    environments = {line: child.environ() for line, child in zip(lists, children, strict=True)}
    assert not any(STRANGERS_KEY in environment.values() for environment in environments.values())
    expected = {
        "learning_ops.main dispatcher": {
            "LEARNING_DISPATCHER_DATABASE_URL",
            "LEARNING_REDIS_URL",
            "LEARNING_EMBEDDING_MODEL",
        },
        "-Q learning.embed": {
            "LEARNING_DATABASE_URL",
            "LEARNING_REDIS_URL",
            "LEARNING_EMBEDDING_MODEL",
            "LEARNING_EMBEDDING_BASE_URL",
            "LEARNING_EMBEDDING_API_KEY",
        },
        "-Q learning.curator": {
            "LEARNING_DATABASE_URL",
            "LEARNING_DISPATCHER_DATABASE_URL",
            "LEARNING_REDIS_URL",
            "LEARNING_MODEL",
            "LEARNING_MODEL_BASE_URL",
            "LEARNING_MODEL_API_KEY",
            "LEARNING_EMBEDDING_MODEL",
            "LEARNING_EMBEDDING_BASE_URL",
        },
        " flower": {"LEARNING_REDIS_URL"},
        "-Q learning.user_profile": {
            "LEARNING_DATABASE_URL",
            "LEARNING_REDIS_URL",
            "LEARNING_MODEL",
            "LEARNING_MODEL_BASE_URL",
            "LEARNING_MODEL_API_KEY",
        },
    }
    for part, names in expected.items():
        found = [environment for line, environment in environments.items() if part in line]
        assert found, part
        for environment in found:
            given = {name for name in environment if name.startswith("LEARNING_")}
            assert given - {"LEARNING_METRICS_PORT"} == names, part


def test_given_a_stack_when_its_sockets_are_looked_at_then_it_listens_on_loopback_only(
    running: tuple[Foreground, Path],
) -> None:
    children = psutil.Process(running[0].process.pid).children(recursive=True)

    listening = [
        place.laddr.ip
        for child in children
        for place in child.net_connections("inet")
        if place.status == psutil.CONN_LISTEN
    ]

    assert len(listening) >= 4
    assert set(listening) == {"127.0.0.1"}


def test_given_a_port_for_metrics_when_asked_there_and_after_it_then_every_process_that_it_names_answers(
    running: tuple[Foreground, Path],
) -> None:
    shown = re.findall(r"http://127\.0\.0\.1:(\d+)/metrics +(\S+)$", running[0].output, re.MULTILINE)

    names = [name for _, name in shown]
    workers = [f"{store.replace('_', '-')}-worker" for store in installed()]
    assert names == ["dispatcher", *workers, "embed-worker", "curator"]
    assert [int(port) for port, _ in shown] == list(range(int(shown[0][0]), int(shown[0][0]) + len(shown)))
    for port, name in shown:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        assert answer.status == 200, (name, answer.read())
        connection.close()


@pytest.mark.parametrize(
    ("part", "name"),
    [("-Q learning.session_context", "session-context-worker"), ("learning_ops.offline", "offline-model")],
)
def test_given_a_child_that_is_killed_when_noticed_then_it_is_reported_and_serves_again(
    part: str, name: str, running: tuple[Foreground, Path]
) -> None:
    foreground, cwd = running
    children = psutil.Process(foreground.process.pid).children(recursive=True)
    victim = next(child for child in children if part in " ".join(child.cmdline()))

    victim.kill()

    foreground.until(rf"^{name} ended \(killed by SIGKILL\)")
    foreground.until(rf"^{name} started again")
    env = _env_of(cwd / ".learning")
    with LearningMachine(
        database_url=env["LEARNING_DATABASE_URL"], redis_url=env["LEARNING_REDIS_URL"], session_context=True
    ) as machine:
        receipt = machine.emit(turn("I want to paint the fence."), user_id=name, session_id="s1")
        assert machine.settle(receipt, timeout=60) == {"session_context": "extracted"}


def test_given_no_key_when_started_with_openai_then_it_says_so_before_anything_starts(tmp_path: Path) -> None:
    ended = started("up", "--model", "openai", cwd=tmp_path)

    assert ended.returncode == 1
    assert "OPENAI_API_KEY is not set" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_given_a_memory_when_started_again_with_openai_then_it_is_kept_and_only_workers_have_the_key() -> None:
    line = json.dumps({"messages": turn("I live in Oslo."), "user_id": "eve", "session_id": "s1"})
    with directory() as cwd:
        with up(cwd=cwd, forked=True):
            assert run("emit", "-", "--settle", cwd=cwd, stdin=line).returncode == 0
        data = cwd / ".learning"
        first = _env_of(data)
        models = cwd / "models.toml"
        models.write_text(
            '[models."gpt-5-mini"]\nbase_url = "http://127.0.0.1:9/v1"\napi = "responses"\n'
            'key_variable = "OPENAI_API_KEY"\nmax_output_tokens = 4000\n'
        )
        env = clean_env(
            OPENAI_API_KEY=STRANGERS_KEY, LEARNING_MODELS_FILE=models.name, LEARNING_SCHEMA_IMPORTS="shop.profiles"
        )
        with up("--model", "openai", env=env, cwd=cwd) as foreground:
            assert "gpt-5-mini at http://127.0.0.1:9/v1: CONVERSATIONS ARE SENT THERE" in foreground.output
            children = psutil.Process(foreground.process.pid).children(recursive=True)
            informed = [child.cmdline() for child in children if STRANGERS_KEY in child.environ().values()]
            having = [next(word for word in line if word.startswith("learning.")) for line in informed]
            assert set(having) == {f"learning.{queue}" for queue in (*installed(), "embed", "curator")}
            importing = [
                child for child in children if child.environ().get("LEARNING_SCHEMA_IMPORTS") == "shop.profiles"
            ]
            assert [child.cmdline() for child in importing] == [
                line
                for line in informed
                if "learning.curator" not in line  # it reads no schema
            ]
            written = [path for path in data.rglob("*") if path.is_file() and "cluster" not in path.parts]
            assert not [path for path in written if STRANGERS_KEY.encode() in path.read_bytes()]
            now = _env_of(data)
            of_a_model = re.compile("MODEL|EMBEDDING")
            assert {name: value for name, value in first.items() if not of_a_model.search(name)} == {
                name: value for name, value in now.items() if not of_a_model.search(name)
            }
            assert {name: value for name, value in now.items() if of_a_model.search(name)} == {
                "LEARNING_MODEL": "gpt-5-mini",
                "LEARNING_EMBEDDING_MODEL": "text-embedding-3-small",
                "LEARNING_EMBEDDING_BASE_URL": "http://127.0.0.1:9/v1",
            }
            assert "Lives in Oslo" in run("recall", "-u", "eve", cwd=cwd).stdout
            assert foreground.stop(signal.SIGTERM) == 0
            assert processes_of(cwd) == []


def test_given_an_embedding_endpoint_when_started_then_what_is_learned_and_asked_goes_there_and_its_key_to_one_worker() -> (
    None
):
    with directory() as cwd, ScriptedModel().running() as scripted:
        scripted.answer = vectors
        env = clean_env(
            LEARNING_EMBEDDING_MODEL="m",
            LEARNING_EMBEDDING_BASE_URL=scripted.url,
            LEARNING_EMBEDDING_API_KEY=STRANGERS_KEY,
        )
        with up(env=env, cwd=cwd) as foreground:
            assert "conversations stay on this machine" in foreground.output
            place = scripted.url.removeprefix("http://")
            assert (
                f"embeds  m at {place}: WHAT IS REMEMBERED AND ASKED IS SENT THERE (LEARNING_EMBEDDING_MODEL, "
                "LEARNING_EMBEDDING_BASE_URL, LEARNING_EMBEDDING_API_KEY)"
            ) in foreground.output
            assert "its key is written nowhere" in foreground.output
            assert "outranks" not in foreground.output
            children = psutil.Process(foreground.process.pid).children(recursive=True)
            informed = [child.cmdline() for child in children if STRANGERS_KEY in child.environ().values()]
            assert ["learning.embed" in line for line in informed] == [True]
            data = cwd / ".learning"
            assert {name: value for name, value in _env_of(data).items() if "EMBEDDING" in name} == {
                "LEARNING_EMBEDDING_MODEL": "m",
                "LEARNING_EMBEDDING_BASE_URL": scripted.url,
            }
            written = [path for path in data.rglob("*") if path.is_file() and "cluster" not in path.parts]
            assert not [path for path in written if STRANGERS_KEY.encode() in path.read_bytes()]

            line = json.dumps({"messages": turn("I live in Oslo."), "user_id": "eve", "session_id": "s1"})
            assert run("emit", "-", "--settle", cwd=cwd, env=env, stdin=line).returncode == 0

            def reading() -> bool:
                found = json.loads(run("reembed", "--status", "--json", cwd=cwd, env=env).stdout)
                return [(each["model"], each["state"]) for row in found for each in row["models"]] == [("m", "reading")]

            eventually(reading, "a model to read with", timeout=60, every=0.5)
            asked = run("recall", "-u", "eve", "-q", "Where does she live?", cwd=cwd, env=env)
            assert "Lives in Oslo" in asked.stdout
            assert "matched by its words and by its embedding with m" in asked.stderr
            assert scripted.asked[-1].body["input"] == ["Where does she live?"]
            scripted.answer = lambda _: Answer(status=500)
            failed = run("recall", "-u", "eve", "-q", "What is her town?", cwd=cwd, env=env)
            assert "matched by its words alone: m did not embed it in time" in " ".join(failed.stderr.split())
            found = json.loads(run("recall", "-u", "eve", "-q", "Her town?", "--json", cwd=cwd, env=env).stdout)
            assert found["matched_by"] == "text"


def test_given_a_model_of_openais_without_a_key_when_started_then_it_says_so_before_anything_starts(
    tmp_path: Path,
) -> None:
    ended = started("up", cwd=tmp_path, env=clean_env(LEARNING_EMBEDDING_MODEL="text-embedding-3-small"))

    assert ended.returncode == 1
    assert "OPENAI_API_KEY" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_given_a_start_that_is_under_way_when_it_is_interrupted_twice_then_nothing_is_left() -> None:
    with directory() as cwd:
        foreground = Foreground(cwd, "up")
        foreground.until(r"^starting Postgres")
        eventually(lambda: len(processes_of(cwd)) > 1, "a child")

        foreground.process.send_signal(signal.SIGINT)
        assert foreground.stop(signal.SIGINT) == 0

        assert processes_of(cwd) == []


def test_given_a_stack_when_it_is_killed_then_its_children_end_by_themselves() -> None:
    with directory() as cwd:
        foreground = Foreground(cwd, "up")
        foreground.until(r"^starting dispatcher")
        eventually(lambda: len(processes_of(cwd)) >= 6, "the children")

        assert foreground.stop(signal.SIGKILL) == -signal.SIGKILL

        eventually(lambda: processes_of(cwd) == [], "the end of every child", timeout=60, every=0.2)
