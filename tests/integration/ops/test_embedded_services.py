import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from learning_ops.embedded import DataDirectory, EmbeddedPostgres, EmbeddedServices, server
from learning_ops.process import ProcessDied, ProcessError, free_port, wait_until

HOLD = """
import signal, sys
from learning_ops.embedded import DataDirectory, EmbeddedServices
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
with DataDirectory(sys.argv[1]) as data, EmbeddedServices(data) as services:
    print(services.postgres.superuser_url, services.redis.url, *[p.pid for p in services.processes], flush=True)
    signal.pause()
"""


@pytest.fixture
def closed() -> Iterator[Path]:
    """A directory of mode 0700 that is removed at once: clusters are large, and pytest keeps its own for three runs.

    Nor does another pytest session touch it; starting, each resets the rights of the place where all of them have theirs.
    """
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data directory in which both servers have run once; initdb takes the longest of all."""
    with tempfile.TemporaryDirectory() as closed:
        path = Path(closed) / "data"
        with DataDirectory(path) as data, EmbeddedServices(data) as services:
            write(services, "kept")
        yield path


def copy(made: Path, to: Path) -> Path:
    subprocess.run(["cp", "-a", made, to], check=True)
    return to


@pytest.fixture(scope="module")
def services(made: Path) -> Iterator[EmbeddedServices]:
    """Running servers, for tests that only ask them something."""
    with (
        tempfile.TemporaryDirectory() as closed,
        DataDirectory(copy(made, Path(closed) / "data")) as data,
        EmbeddedServices(data) as running,
    ):
        yield running


@pytest.fixture
def own(made: Path, closed: Path) -> Path:
    """A directory whose servers a test may stop and kill."""
    return copy(made, closed / "data")


def write(services: EmbeddedServices, word: str) -> None:
    with psycopg.connect(services.postgres.superuser_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
        connection.execute("INSERT INTO words VALUES (%s)", [word])
    with Redis.from_url(services.redis.url, decode_responses=True) as redis:
        redis.xadd("words", {"word": word})


def words(services: EmbeddedServices) -> tuple[list[str], list[str]]:
    with psycopg.connect(services.postgres.superuser_url) as connection:
        rows = [str(row[0]) for row in connection.execute("SELECT word FROM words ORDER BY word")]
    with Redis.from_url(services.redis.url, decode_responses=True) as redis:
        return rows, sorted(entry["word"] for _, entry in redis.xrange("words"))


def family(*pids: int) -> list[psutil.Process]:
    leaders = [psutil.Process(pid) for pid in pids]
    return leaders + [child for leader in leaders for child in leader.children(recursive=True)]


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def working_in(path: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(path):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_given_running_services_when_stopped_and_started_then_data_ports_and_passwords_are_the_same(own: Path) -> None:
    with DataDirectory(own) as data:
        with EmbeddedServices(data) as services:
            first = services.postgres.superuser_url, services.redis.url
            processes = family(*[process.pid for process in services.processes if process.pid])
            write(services, "new")
            assert len(processes) > 2
        assert all_gone(processes)
        assert working_in(own) == []
        with EmbeddedServices(data) as services:
            assert (services.postgres.superuser_url, services.redis.url) == first
            assert words(services) == (["kept", "new"], ["kept", "new"])


def test_given_a_port_that_was_taken_meanwhile_when_started_then_another_is_used(own: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for server in ("postgres", "redis"):
            (own / server / "port").write_text(f"{port}\n")
        with DataDirectory(own) as data, EmbeddedServices(data) as services:
            assert port not in (services.postgres.port, services.redis.port)
            assert words(services) == (["kept"], ["kept"])


def test_given_a_port_that_is_taken_between_choice_and_use_when_started_then_it_tries_another(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        choices = iter([port, port])
        monkeypatch.setattr(server, "free_port", lambda preferred=None: next(choices, None) or free_port(preferred))
        with DataDirectory(own) as data, EmbeddedServices(data) as services:
            assert port not in (services.postgres.port, services.redis.port)
            assert words(services) == (["kept"], ["kept"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_given_an_owner_when_killed_then_no_server_stays_and_the_next_owner_finds_everything(own: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, own], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()[2:]]
        processes = family(*pids)
        owner.kill()
    wait_until(lambda: all_gone(processes), 15, "the end of every server process")
    assert working_in(own) == []
    with DataDirectory(own) as data, EmbeddedServices(data) as services:
        assert words(services) == (["kept"], ["kept"])


def test_given_a_terminal_when_ctrl_c_is_pressed_then_the_owner_stops_the_servers_cleanly(own: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, own],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as owner:
        assert owner.stdout is not None
        processes = family(*[int(word) for word in owner.stdout.readline().split()[2:]])
        os.killpg(owner.pid, signal.SIGINT)  # what a terminal does
        assert owner.wait(20) == -signal.SIGINT
    assert all_gone(processes)
    assert "database system is shut down" in (own / "logs" / "postgres.log").read_text().splitlines()[-1]
    assert "ready to exit" in (own / "logs" / "redis.log").read_text().splitlines()[-1]


def test_given_servers_killed_with_their_owner_when_started_then_they_recover(own: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, own], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()[2:]]
        processes = family(*pids)
        owner.send_signal(signal.SIGSTOP)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        owner.kill()
    # At once: Postgres's own children may still be there.
    with DataDirectory(own) as data, EmbeddedServices(data) as services:
        assert words(services) == (["kept"], ["kept"])
    assert all_gone(processes)


def test_given_orphans_of_an_earlier_owner_when_started_then_they_are_stopped_first(own: Path) -> None:
    with DataDirectory(own) as data:
        orphans = EmbeddedServices(data)
        orphans.start()
        left = family(*[process.pid for process in orphans.processes if process.pid])
        try:
            with EmbeddedServices(data) as services:
                wait_until(lambda: not any(process.alive for process in orphans.processes), 5, "the orphans' end")
                assert all_gone(left)
                assert words(services) == (["kept"], ["kept"])
        finally:
            orphans.stop()


def test_given_a_lock_file_whose_pid_went_to_another_process_when_started_then_it_is_no_hindrance(own: Path) -> None:
    lock = own / "postgres" / "cluster" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{lock.parent}\n0\n1\n\n127.0.0.1\n0 0\nready   \n")
    with DataDirectory(own) as data, EmbeddedServices(data) as services:
        assert words(services)[0] == ["kept"]


def test_given_an_initdb_that_was_cut_off_when_started_then_it_is_done_again(closed: Path) -> None:
    half = closed / "postgres" / "initdb" / "cluster"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(closed / "postgres", closed / "postgres.log", "secret")
    with server:
        assert server.create_database("learning") is True
        assert server.create_database("learning") is False
    assert sorted(path.name for path in (closed / "postgres").iterdir()) == ["cluster", "port"]


def test_given_a_start_that_fails_when_left_then_nothing_runs_and_the_error_has_the_log(own: Path) -> None:
    (own / "postgres" / "cluster" / "postgresql.auto.conf").write_text("no_such_setting = 1\n")
    with DataDirectory(own) as data:
        services = EmbeddedServices(data)
        with pytest.raises(ProcessDied, match=r"(?s)postgres ended.*no_such_setting"):
            services.start()
        assert working_in(own) == []


def test_given_lost_secrets_when_started_then_the_error_says_what_to_put_back(own: Path) -> None:
    (own / "secrets.json").unlink()
    with DataDirectory(own) as data:
        with pytest.raises(ProcessError, match=r"put secrets\.json back"):
            EmbeddedServices(data).start()
        assert working_in(own) == []


def test_given_a_clients_open_connection_when_stopped_then_it_does_not_hold_up_the_stop(own: Path) -> None:
    with DataDirectory(own) as data:
        services = EmbeddedServices(data)
        services.start()
        services.postgres.process.stop_timeout = 5.0
        with psycopg.connect(services.postgres.superuser_url) as connection:
            connection.execute("SELECT 1")
            services.stop()
            assert services.postgres.process.returncode == 0
            connection.close()
        assert services.redis.process.returncode == 0


def test_given_a_database_when_asked_for_vectors_then_pgvector_is_there(services: EmbeddedServices) -> None:
    services.postgres.create_database("vectors")
    with psycopg.connect(services.postgres.url("vectors")) as connection:
        connection.execute("CREATE EXTENSION vector")
        row = connection.execute("SELECT '[1,0]'::vector <=> '[0,1]'::vector").fetchone()
        version = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    assert row == (1.0,)
    assert version is not None
    assert tuple(int(part) for part in version[0].split(".")[:2]) >= (0, 8)


def test_given_postgres_when_asked_then_it_is_durable_utf8_and_the_same_on_every_machine(
    services: EmbeddedServices,
) -> None:
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "jit": "off",
        "unix_socket_directories": "",
        "listen_addresses": "127.0.0.1",
        "TimeZone": "UTC",
        "password_encryption": "scram-sha-256",
    }
    with psycopg.connect(services.postgres.superuser_url) as connection:
        found = {name: connection.execute(f"SHOW {name}").fetchone() for name in expected}
        assert found == {name: (value,) for name, value in expected.items()}
        locale = connection.execute("SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'template1'")
        assert locale.fetchone() == ("b", "C.UTF-8")
        assert connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall() == [
            ("scram-sha-256",)
        ]


def test_given_a_failing_statement_when_logged_then_what_it_held_is_not_in_the_log(services: EmbeddedServices) -> None:
    with psycopg.connect(services.postgres.superuser_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE said (line text PRIMARY KEY)")
        connection.execute("INSERT INTO said VALUES ('my-private-words')")
        with pytest.raises(psycopg.errors.UniqueViolation, match="my-private-words"):
            connection.execute("INSERT INTO said VALUES ('my-private-words')")
    assert "said_pkey" in services.postgres.log_path.read_text()
    assert "my-private-words" not in services.postgres.log_path.read_text()


def test_given_redis_when_asked_then_it_keeps_every_write_and_evicts_nothing(services: EmbeddedServices) -> None:
    with Redis.from_url(services.redis.url, decode_responses=True) as redis:
        expected = {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "protected-mode": "yes",
            "bind": "127.0.0.1",
            "save": "",
        }
        assert {name: redis.config_get(name)[name] for name in expected} == expected


def test_given_everysec_when_started_then_redis_says_so(closed: Path) -> None:
    with DataDirectory(closed / "data") as data:
        server = EmbeddedServices(data, appendfsync="everysec").redis
        with server, Redis.from_url(server.url, decode_responses=True) as redis:
            assert redis.config_get("appendfsync") == {"appendfsync": "everysec"}


def test_given_no_password_when_connecting_then_both_refuse(services: EmbeddedServices) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://postgres@127.0.0.1:{services.postgres.port}/postgres")
    once = Retry(NoBackoff(), 0)  # the client takes a refusal for a server that is not ready yet
    with Redis(port=services.redis.port, protocol=2, retry=once) as redis, pytest.raises(AuthenticationError):
        redis.ping()


def test_given_running_services_when_looked_at_then_they_listen_on_loopback_alone(services: EmbeddedServices) -> None:
    listening = [
        connection
        for process in family(*[process.pid for process in services.processes if process.pid])
        for connection in process.net_connections(kind="all")
        if connection.status == psutil.CONN_LISTEN or connection.family == socket.AF_UNIX
    ]
    assert {(place.family, place.laddr) for place in listening} == {
        (socket.AF_INET, ("127.0.0.1", services.postgres.port)),
        (socket.AF_INET, ("127.0.0.1", services.redis.port)),
    }


def test_given_running_services_when_looked_at_then_no_password_is_on_a_command_line(
    services: EmbeddedServices,
) -> None:
    for process in family(*[process.pid for process in services.processes if process.pid]):
        line = " ".join(process.cmdline())
        assert services.postgres.password not in line
        assert services.redis.password not in line


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must run Postgres as somebody else")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is how another user is tried")
def test_given_root_when_started_in_a_closed_directory_then_only_the_one_user_gets_through(
    services: EmbeddedServices,
) -> None:
    made = services.postgres.directory.parent
    process = psutil.Process(services.postgres.process.pid)
    owner = process.uids().real
    assert owner != 0
    nobody = pwd.getpwnam("nobody").pw_uid
    version = services.postgres.directory / "cluster" / "PG_VERSION"

    def can(uid: int, *command: str | Path) -> bool:
        run = ["setpriv", "--clear-groups", f"--regid={pwd.getpwuid(uid).pw_gid}", f"--reuid={uid}", "--", *command]
        return subprocess.run(run, capture_output=True).returncode == 0

    assert can(owner, "cat", version)
    assert not can(owner, "ls", made)
    assert not can(owner, "cat", made / "secrets.json")
    assert not can(nobody, "cat", version)
    assert not can(nobody, "cat", made / ".gitignore")
