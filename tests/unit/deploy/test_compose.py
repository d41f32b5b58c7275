"""The deployment files against the code that they start: no container engine is needed to find what does not fit."""

import http.server
import json
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import typer.main
import yaml
from celery import Celery
from celery.app.utils import find_app
from celery.beat import beat_nodename
from celery.bin.celery import celery as celery_cli
from celery.worker.control import Panel
from flower.command import is_flower_envvar, is_flower_option
from flower.options import options as flower_options
from flower.urls import handlers as flower_handlers
from typer.core import TyperGroup

from learning_ops.environment import CURATING
from learning_stores.registry import installed
from learning_stores.roles import APP, DISPATCHER
from learning_stores.settings import ServiceSettings
from learning_workers.backlog_metrics import ANSWER_SECONDS

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
EXAMPLE = (ROOT / ".env.example").read_text()
SCRAPING = yaml.safe_load((ROOT / "ops/monitoring/prometheus/prometheus.yml").read_text())

OURS = {name for name, service in SERVICES.items() if "build" in service}
STORE_WORKERS = {f"{store.replace('_', '-')}-worker": store for store in installed()}
WORKERS = {**STORE_WORKERS, "embed-worker": "embed", "curator": "curator"}
ONE_SHOT = {"migrate"}
MONITORING = {"prometheus", "grafana"}
APP_MODULE = "learning_workers.app"
FIELDS = {f"LEARNING_{name}".upper() for name in ServiceSettings.model_fields}
# What other programs read, and why it is there.
FOREIGN = {
    "OPENAI_API_KEY": "the key variable that models.toml names for OpenAI's models",
    "POSTGRES_USER": "the Postgres image",
    "POSTGRES_PASSWORD": "the Postgres image",
    "POSTGRES_DB": "the Postgres image",
    "REDISCLI_AUTH": "redis-cli",
}
# Which of our variables each service may hold: these, all of them, and no other.
MODEL = {"OPENAI_API_KEY", "LEARNING_MODEL", "LEARNING_MODEL_API_KEY", "LEARNING_MODEL_BASE_URL"}
STORES = {"LEARNING_STORES"}
METRICS = {"LEARNING_METRICS_HOST", "LEARNING_METRICS_PORT"}
EMBEDDING = {f"LEARNING_EMBEDDING_{name}" for name in ("MODEL", "BASE_URL", "API_KEY", "DIMENSIONS")}
HELD = {
    "migrate": {"LEARNING_OWNER_DATABASE_URL", "LEARNING_DATABASE_URL", "LEARNING_DISPATCHER_DATABASE_URL"},
    "dispatcher": {"LEARNING_DISPATCHER_DATABASE_URL", "LEARNING_REDIS_URL"}
    | STORES
    | METRICS
    | {"LEARNING_EMBEDDING_MODEL", "LEARNING_EMBEDDING_BASE_URL", "LEARNING_RETENTION_DAYS"},
    "beat": {"LEARNING_REDIS_URL"},
    "flower": {"LEARNING_REDIS_URL"},
    "curator": {"LEARNING_DATABASE_URL", "LEARNING_DISPATCHER_DATABASE_URL", "LEARNING_REDIS_URL"}
    | STORES
    | METRICS
    | CURATING
    | MODEL
    | EMBEDDING - {"LEARNING_EMBEDDING_API_KEY"},  # which model serves; it embeds nothing
    "embed-worker": {"LEARNING_DATABASE_URL", "LEARNING_REDIS_URL", "OPENAI_API_KEY"} | EMBEDDING | STORES | METRICS,
    **{worker: {"LEARNING_DATABASE_URL", "LEARNING_REDIS_URL"} | MODEL | STORES | METRICS for worker in STORE_WORKERS},
}
REFERENCE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<kind>:\?|:-)(?P<rest>[^}]*)\}")


def test_given_the_curators_settings_when_compared_with_what_its_service_may_be_given_then_none_is_missing() -> None:
    assert {name for name in FIELDS if name.startswith(("LEARNING_CURATOR_", "LEARNING_RETAIN_"))} | {
        "LEARNING_RETENTION_DAYS"
    } == CURATING


def strings(value: Any) -> Iterator[str]:
    """Every string in a YAML value; a mapping's values without its keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def references(kind: str) -> set[str]:
    """Names that the file interpolates with `:?` (required) or `:-` (with a default)."""
    return {found["name"] for text in strings(COMPOSE) for found in REFERENCE.finditer(text) if found["kind"] == kind}


def interpolated(text: str) -> str:
    """What Compose makes of it when every password is `secret` and no port is moved."""
    found = REFERENCE.sub(lambda match: "secret" if match["kind"] == ":?" else match["rest"], text)
    return found.replace("$$", "$")


def environment(service: str) -> dict[str, str]:
    """The service's variables that have a value in the file, as Compose gives them."""
    given = SERVICES[service].get("environment", {})
    return {name: interpolated(value) for name, value in given.items() if value is not None}


def words(service: str) -> list[str]:
    """The service's command."""
    return [interpolated(word) for word in SERVICES[service].get("command", [])]


def check(service: str) -> list[str]:
    """The words of the service's health check, where it has one."""
    if "healthcheck" not in SERVICES[service]:
        return []
    kind, *rest = SERVICES[service]["healthcheck"]["test"]
    return shlex.split(interpolated(rest[0])) if kind == "CMD-SHELL" else [interpolated(word) for word in rest]


def parsed(command: click.Command, arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Values and left-over words by the command's own parser, which raises for an option that it does not have."""
    context = click.Context(command, **command.context_settings)
    options, rest, _ = command.make_parser(context).parse_args(list(arguments))
    return options, rest


def celery_parsed(line: list[str]) -> tuple[str, dict[str, Any], list[str]]:
    """Subcommand, its options and left-over words of `celery -A … subcommand …`."""
    assert line[0] == "celery"
    options, rest = parsed(celery_cli, line[1:])
    assert options == {"app": APP_MODULE}
    command = celery_cli.commands[rest[0]]
    return rest[0], *parsed(command, rest[1:])


@pytest.fixture
def celery_app(monkeypatch: pytest.MonkeyPatch) -> Celery:
    """The application, found as the `celery` command finds it, with the variables that Flower and beat have."""
    for name, value in environment("beat").items():
        monkeypatch.setenv(name, value)
    return find_app(APP_MODULE)


def test_given_the_stores_when_services_are_counted_then_each_store_has_its_worker_service() -> None:
    others = {"postgres", "redis", "migrate", "dispatcher", "beat", "flower", *MONITORING}
    assert set(SERVICES) == others | set(WORKERS)
    assert set(HELD) == OURS


@pytest.mark.parametrize("service", sorted(WORKERS))
def test_given_a_worker_service_when_celery_parses_it_then_it_serves_its_store_on_threads(
    service: str,
) -> None:
    store = WORKERS[service]
    subcommand, options, rest = celery_parsed(words(service))
    assert (subcommand, rest) == ("worker", [])
    assert options["queues"] == f"learning.{store}"
    assert options["pool"] == "threads"
    assert int(options["concurrency"]) > (service != "curator")
    assert options["task_events"] is True
    assert options["loglevel"] == "INFO"
    assert options["hostname"] == f"{store}@%h"


def test_given_beat_when_celery_parses_it_then_it_keeps_its_schedule_in_a_volume_and_answers_pings() -> None:
    subcommand, options, rest = celery_parsed(words("beat"))
    assert (subcommand, rest) == ("beat", [])
    assert options["remote_control"] is True
    assert str(Path(options["schedule"]).parent) in mounts("beat").values()
    name, _, host = options["hostname"].partition("@")
    assert host == "%h"
    assert beat_nodename(options["hostname"]).startswith(f"{name}@")
    assert_pinged_as("beat", name)


def assert_pinged_as(service: str, name: str) -> None:
    """The health check asks this node, and the answer is waited for less long than the check may take."""
    subcommand, options, rest = celery_parsed(check(service))
    assert (subcommand, options["command"], rest) == ("inspect", "ping", [])
    assert Panel.meta["ping"].type == "inspect"
    assert options["destination"] == f"{name}@$HOSTNAME"
    assert float(options["timeout"]) < seconds(SERVICES[service]["healthcheck"]["timeout"])


def test_given_the_celery_application_when_imported_then_its_queues_are_the_ones_that_are_served(
    celery_app: Celery,
) -> None:
    assert isinstance(celery_app, Celery)
    lines = [celery_parsed(words(service)) for service in OURS if words(service)[0] == "celery"]
    served = {queue for name, given, _ in lines if name == "worker" for queue in given["queues"].split(",")}
    assert served == set(celery_app.amqp.queues), "a queue that nobody serves grows in Redis, which evicts nothing"


def test_given_flower_when_its_options_are_looked_up_then_all_exist_and_the_port_is_the_one_checked() -> None:
    subcommand, given, rest = celery_parsed(words("flower"))
    assert (subcommand, rest) == ("flower", [])
    options = given["tornado_argv"]
    assert options
    assert all(is_flower_option(option) for option in options)
    port = next(option.partition("=")[2] for option in options if option.startswith("--port="))
    assert SERVICES["flower"]["ports"][0].endswith(f":{port}")
    code = check("flower")[-1]
    assert f'"127.0.0.1", {port}' in code
    assert any(f'"{route[0]}"' in code for route in flower_handlers if isinstance(route, tuple))
    variables = {name for name in environment("flower") if name.startswith("FLOWER_")}
    assert all(is_flower_envvar(name) for name in variables)
    assert {"FLOWER_BASIC_AUTH", "FLOWER_PERSISTENT"} <= variables
    assert str(Path(environment("flower")["FLOWER_DB"]).parent) in mounts("flower").values()
    assert flower_options._options["basic-auth"].multiple, "a comma would part the password"


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (500, False), (404, False)])
def test_given_an_answer_when_flowers_check_is_run_then_it_succeeds_for_200_only(status: int, healthy: bool) -> None:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        server.timeout = 30
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        program, option, code = check("flower")
        assert (program, option) == ("python", "-c")
        code = code.replace(" 5555,", f" {server.server_port},")
        done = subprocess.run([sys.executable, "-c", code], timeout=30, check=False)
        thread.join()
    assert (done.returncode == 0) is healthy


@pytest.mark.parametrize("line", [words("migrate"), words("dispatcher"), check("dispatcher")], ids=" ".join)
def test_given_a_command_of_ours_when_looked_up_in_the_cli_then_it_and_its_options_exist(line: list[str]) -> None:
    from learning_ops.cli import app

    assert line[0] in PROJECT["project"]["scripts"]
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    assert line[1] in group.commands
    with group.commands[line[1]].make_context(line[1], line[2:]) as context:  # parses, raising for what it lacks
        assert context.args == []


@pytest.mark.parametrize("service", sorted(HELD))
def test_given_a_service_when_its_variables_are_read_then_it_holds_what_it_needs_and_no_other_secret(
    service: str,
) -> None:
    given = {name for name in SERVICES[service]["environment"] if not name.startswith("FLOWER_")}
    assert given == HELD[service]
    assert given <= FIELDS | set(FOREIGN)
    catalogue = (ROOT / "workers/learning_workers/models.toml").read_text()
    assert set(re.findall(r'^key_variable = "(\w+)"', catalogue, re.M)) <= MODEL
    assert all(
        name.startswith("FLOWER_") == (service == "flower") for name in SERVICES[service]["environment"].keys() - given
    )


@pytest.mark.parametrize("service", sorted(OURS))
def test_given_a_service_of_ours_when_its_urls_are_parsed_then_they_name_services_ports_and_roles_that_exist(
    service: str,
) -> None:
    postgres = environment("postgres")
    users = {
        "LEARNING_OWNER_DATABASE_URL": postgres["POSTGRES_USER"],
        "LEARNING_DATABASE_URL": APP,
        "LEARNING_DISPATCHER_DATABASE_URL": DISPATCHER,
    }
    for name, value in environment(service).items():
        url = urlsplit(value)
        if name in users:
            assert (url.scheme, url.hostname, url.port) == ("postgresql", "postgres", 5432)
            assert (url.username, url.path) == (users[name], f"/{postgres['POSTGRES_DB']}")
        elif name == "LEARNING_REDIS_URL":
            assert (url.scheme, url.hostname, url.port) == ("redis", "redis", 6379)
        assert "_URL" not in name or url.password == "secret"


def test_given_all_variables_when_the_settings_read_them_then_every_value_is_accepted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for service in OURS:
        for name, value in environment(service).items():
            monkeypatch.setenv(name, value)
    settings = ServiceSettings.load()
    assert settings.owner_database() != settings.database() != settings.dispatcher_database()
    assert settings.broker() == settings.redis()


def test_given_values_when_secrets_are_looked_for_then_none_is_written_in_the_file() -> None:
    for service in SERVICES.values():
        for name, value in (service.get("environment") or {}).items():
            if re.search(r"PASSWORD|AUTH|KEY|SECRET|TOKEN|_URL", name) and value is not None:
                assert re.search(r"(^|:)\$\{\w*PASSWORD:\?[^}]+\}(@|$)", value), name
    commands = [text for service in SERVICES for text in words(service) + check(service)]
    assert not [text for text in commands if "secret" in text], "a password on a command line shows in `docker ps`"


def test_given_required_variables_when_compose_interpolates_then_no_message_can_become_a_default() -> None:
    # compose-go tries `-` before `?` where a hyphen stands earlier in the text, and takes what follows as the default.
    for text in strings(COMPOSE):
        for found in REFERENCE.finditer(text):
            assert found["kind"] == ":-" or ("-" not in found["rest"] and ".env.example" in found["rest"])
        unescaped = REFERENCE.sub("", text).replace("$$", "")
        assert "$" not in unescaped, f"Compose would interpolate {text!r}"


def test_given_the_example_when_held_against_the_file_then_each_knows_the_variables_of_the_other() -> None:
    required = set(re.findall(r"^(\w+)=$", EXAMPLE, re.M))
    optional = set(re.findall(r"^# (\w+)=", EXAMPLE, re.M))
    handed_on = {
        name for service in SERVICES.values() for name, value in service.get("environment", {}).items() if value is None
    }
    assert required == references(":?")
    assert optional == references(":-") | handed_on
    assert len(re.findall(r"^# Make one: openssl rand -hex 24\n\w+=$", EXAMPLE, re.M)) == len(required)
    assert not re.findall(r"^\w+=.+$", EXAMPLE, re.M), "a value in the example would be a default password"


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_given_a_service_when_its_running_is_looked_at_then_it_is_pinned_checked_bounded_and_restarted(
    service: str,
) -> None:
    given = SERVICES[service]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*", given["image"])
    assert given["restart"] == ("no" if service in ONE_SHOT else "unless-stopped")
    assert ("healthcheck" in given) is (service not in ONE_SHOT)
    assert given["logging"]["options"].keys() == {"max-size", "max-file"}
    assert all(port.startswith("127.0.0.1:") for port in given.get("ports", []))
    assert mounts(service).keys() <= COMPOSE["volumes"].keys()
    for name, needed in given.get("depends_on", {}).items():
        expected = "service_completed_successfully" if name in ONE_SHOT else "service_healthy"
        assert needed == {"condition": expected}
    reached = {urlsplit(value).hostname for name, value in environment(service).items() if name.endswith("_URL")}
    waits_for = set(given.get("depends_on", {}))
    assert reached <= waits_for | ({"postgres"} if "migrate" in waits_for else set())


def test_given_postgres_when_looked_at_then_data_and_check_are_where_version_18_has_them() -> None:
    assert re.search(r"pgvector:0\.[89]\.\d+-pg18", SERVICES["postgres"]["image"])
    assert mounts("postgres") == {"postgres": "/var/lib/postgresql"}
    given = environment("postgres")
    assert f"--username={given['POSTGRES_USER']}" in check("postgres")
    assert f"--dbname={given['POSTGRES_DB']}" in check("postgres")
    assert "--host=127.0.0.1" in check("postgres"), "the server that prepares a new volume answers on its socket"


def test_given_redis_when_its_command_is_read_then_nothing_acknowledged_is_lost_or_evicted() -> None:
    shell, option, script = words("redis")
    assert (shell, option) == ("sh", "-c")
    line = shlex.split(script)
    assert line[:3] == ["exec", "docker-entrypoint.sh", "redis-server"]
    flags = dict(zip(line[3::2], line[4::2], strict=True))
    assert flags["--appendonly"] == "yes"
    assert flags["--appendfsync"] == "always"
    assert flags["--no-appendfsync-on-rewrite"] == "no"
    assert flags["--maxmemory-policy"] == "noeviction"
    assert flags["--requirepass"] == "$REDISCLI_AUTH"
    assert flags["--port"] == "6379"
    assert mounts("redis") == {"redis": "/data"}
    assert check("redis") == ["test", "$(redis-cli -p 6379 ping)", "=", "PONG"]


def test_given_a_model_call_when_a_worker_is_stopped_then_it_may_end_before_the_worker_is_killed() -> None:
    deadline = ServiceSettings.model_fields["model_deadline"].default
    callers = [*STORE_WORKERS, "embed-worker", "curator"]
    assert all(seconds(SERVICES[worker]["stop_grace_period"]) > deadline for worker in callers)


def test_given_the_dockerfile_when_held_against_the_project_then_it_installs_all_of_it_and_runs_as_a_user() -> None:
    final = max(index for index, line in enumerate(DOCKERFILE) if line.startswith("FROM "))
    bases = [line.split()[1] for line in DOCKERFILE if line.startswith("FROM ")]
    assert all(re.fullmatch(r"python:3\.13\.\d+-slim\S*", base) for base in bases)
    copied = context_paths()
    roots = {Path(package).parts[0] for package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert copied == roots | {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    install = next(line for line in DOCKERFILE if line.startswith("RUN") and "[ops]" in line)
    assert "-c constraints.txt" in install
    assert set(re.findall(r"\[(\w+)\]", install)) == {"ops"} <= PROJECT["project"]["optional-dependencies"].keys()
    users = [line.split()[1] for line in DOCKERFILE[final:] if line.startswith("USER ")]
    assert len(users) == 1
    assert users[0].split(":")[0] not in {"root", "0"}
    assert not [line for line in DOCKERFILE[final:] if re.search(r"\b(pip|apt-get|gcc|build-essential)\b", line)]
    command = next(line for line in DOCKERFILE[final:] if line.startswith("CMD "))
    assert json.loads(command.removeprefix("CMD "))[0] in PROJECT["project"]["scripts"]
    tag = {SERVICES[service]["image"] for service in OURS}
    assert tag == {f"{PROJECT['project']['name']}:{PROJECT['project']['version']}"}
    state = {path for service in ("beat", "flower") for path in mounts(service).values()}
    made = next(line for line in DOCKERFILE[final:] if "install --directory" in line)
    assert all(f"--owner={users[0]}" in made and path in made for path in state), "a volume takes the image's owner"


def test_given_the_build_context_when_filtered_then_only_what_is_copied_is_sent() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == context_paths()


def context_paths() -> set[str]:
    """What the Dockerfile copies from the build context."""
    copies = [line.split()[1:-1] for line in DOCKERFILE if line.startswith("COPY ") and "--from=" not in line]
    return {path for paths in copies for path in paths}


def mounts(service: str) -> dict[str, str]:
    """Path in the container of each named volume."""
    return dict(volume.split(":") for volume in SERVICES[service].get("volumes", []))


def seconds(duration: str) -> float:
    """Compose's `30s` and `2m` in seconds."""
    return float(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


@pytest.mark.parametrize("service", sorted({*WORKERS, "dispatcher"}))
def test_given_a_service_that_serves_metrics_when_looked_at_then_it_is_probed_and_prometheus_finds_it_there(
    service: str,
) -> None:
    assert check(service) == ["learning-machine", "probe", "live"]
    given = environment(service)
    assert given["LEARNING_METRICS_HOST"] == "0.0.0.0"
    assert "ports" not in SERVICES[service], "the port has no password: it is for the other containers alone"
    jobs = {job["job_name"]: job["dns_sd_configs"] for job in SCRAPING["scrape_configs"]}
    job = jobs["learning-dispatcher" if service == "dispatcher" else "learning-worker"]
    assert [each["port"] for each in job if service in each["names"]] == [int(given["LEARNING_METRICS_PORT"])]


def test_given_what_is_scraped_when_compared_with_the_services_then_there_is_no_other() -> None:
    named = [name for job in SCRAPING["scrape_configs"] for given in job["dns_sd_configs"] for name in given["names"]]
    assert sorted(named) == sorted({*WORKERS, "dispatcher"})
    assert float(SCRAPING["global"]["scrape_timeout"][:-1]) > 2 * ANSWER_SECONDS
    assert SCRAPING["rule_files"] == ["rules.yml"]


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_given_a_service_when_its_bounds_are_looked_at_then_memory_and_processes_have_one_and_it_may_nothing_as_root(
    service: str,
) -> None:
    given = SERVICES[service]
    limits = given["deploy"]["resources"]["limits"]
    assert re.fullmatch(r"\d+[mg]", interpolated(limits["memory"]))
    assert limits["pids"] >= 64
    assert float(limits.get("cpus", 1)) <= 1, "more than the host has would keep it from starting"
    assert given["cap_drop"] == ["ALL"]
    assert given["security_opt"] == ["no-new-privileges:true"]
    # Ours have their user from the image; see the test of the Dockerfile.
    assert service in OURS or str(given["user"]).split(":")[0] not in {"root", "0"}


def test_given_redis_when_its_memory_is_bounded_then_it_refuses_before_it_is_killed() -> None:
    line = shlex.split(words("redis")[2])
    most = line[line.index("--maxmemory") + 1]
    bound = interpolated(SERVICES["redis"]["deploy"]["resources"]["limits"]["memory"])
    assert 0 < 2 * int(most.removesuffix("mb")) < int(bound.removesuffix("m"))


@pytest.mark.parametrize("service", sorted(MONITORING))
def test_given_a_monitoring_service_when_its_files_are_looked_up_then_they_are_in_the_repository(service: str) -> None:
    given = SERVICES[service]
    assert given["profiles"] == ["monitoring"]
    for each in given["configs"]:
        assert (ROOT / COMPOSE["configs"][each["source"]]["file"]).is_file()
    targets = {each["target"] for each in given["configs"]}
    if service == "prometheus":
        told = next(word for word in words(service) if word.startswith("--config.file="))
        assert told.partition("=")[2] in targets
        assert str(Path(told.partition("=")[2]).with_name(SCRAPING["rule_files"][0])) in targets
    else:
        provider = yaml.safe_load((ROOT / "ops/monitoring/grafana/dashboards.yml").read_text())["providers"][0]
        assert [target for target in targets if target.endswith(".json")] == [
            f"{provider['options']['path']}/learning-machine.json"
        ]
        source = yaml.safe_load((ROOT / "ops/monitoring/grafana/datasource.yml").read_text())["datasources"][0]
        address = urlsplit(source["url"])
        assert address.hostname in SERVICES
        assert SERVICES[address.hostname]["ports"][0].endswith(f":{address.port}")


def test_given_services_without_the_profile_when_their_dependencies_are_read_then_none_is_in_it() -> None:
    for service in set(SERVICES) - MONITORING:
        assert not set(SERVICES[service].get("depends_on", {})) & MONITORING
