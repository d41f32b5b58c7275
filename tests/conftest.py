"""Fixtures that every kind of test shares: the servers (embedded, or those that variables name) and a place for each test."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

import warm_python
from harness import PASSWORDS, PATIENT, Place, Processes, execute, in_memory, new_place, role_url
from learning_ops.embedded import DataDirectory, EmbeddedServices, postgres
from learning_ops.migration import migrate
from learning_ops.offline.server import Faults, OfflineModel, Settings, running
from learning_stores.database import Database


def pytest_configure() -> None:
    """A suite that is told to end still ends what it started; and how long an example takes is no matter of right and wrong."""
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")
    signal.signal(signal.SIGTERM, signal.default_int_handler)


_LONG = ("tests/acceptance/", "tests/chaos/", "tests/migration/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for processes comes first: no process of xdist is left with it when the others have nothing more to do."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


def pytest_unconfigure() -> None:
    """What forked the processes of the tests ends with them."""
    warm_python.end()


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[str, str]]:
    """The superuser's Postgres URL and the Redis URL: LEARNING_TEST_POSTGRES_URL and _REDIS_URL, else the embedded ones."""
    given = os.environ.get("LEARNING_TEST_POSTGRES_URL"), os.environ.get("LEARNING_TEST_REDIS_URL")
    if given[0] and given[1]:
        yield given[0], given[1]
        return
    # Not pytest's own folder: it is closed to the user that Postgres runs as, and kept for three runs.
    directory = Path(tempfile.mkdtemp(prefix="learning-tests-", dir=in_memory()))
    # No power is cut here, and the database of each test would be synced to disk. Nobody guesses passwords here, and what
    # makes that slow takes both sides most of the time of a connection.
    cheaper = {"fsync": "off", "full_page_writes": "off", "scram_iterations": "1"}
    try:
        with DataDirectory(directory / "data") as data, ExitStack() as stack:
            with pytest.MonkeyPatch.context() as patch:
                for name, value in cheaper.items():
                    patch.setitem(postgres._SETTINGS, name, value)
                services = stack.enter_context(EmbeddedServices(data))
            services.postgres.let_log_in(postgres.SUPERUSER, services.postgres.password)  # initdb knew no settings yet
            yield services.postgres.superuser_url, services.redis.url
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def template(servers: tuple[str, str]) -> Iterator[str]:
    """A migrated database that each test's is a copy of."""
    name = f"learning_template_{os.getpid()}"
    execute(servers[0], f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
    migrate(role_url(servers[0], name), {role: role_url(servers[0], name, role) for role in PASSWORDS})
    yield name
    execute(servers[0], f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def place(servers: tuple[str, str], template: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A database and a Redis of this test's own."""
    for variable in [name for name in os.environ if name.startswith(("LEARNING_", "OPENAI_"))]:
        monkeypatch.delenv(variable)
    for name, seconds in PATIENT.items():
        monkeypatch.setenv(name, seconds)
    with new_place(servers, template) as place:
        yield place


@pytest.fixture
def app_db(place: Place) -> Iterator[Database]:
    """As agents and workers."""
    with Database(place.app_url) as database:
        yield database


@pytest.fixture
def dispatcher_db(place: Place) -> Iterator[Database]:
    """As dispatcher and operators."""
    with Database(place.dispatcher_url) as database:
        yield database


@pytest.fixture
def everything_db(place: Place) -> Iterator[Database]:
    """As superuser: sees every tenant's rows, for checking."""
    with Database(place.superuser_url) as database:
        yield database


@pytest.fixture
def model(place: Place) -> Iterator[OfflineModel]:
    """The offline model over HTTP; the place's processes and settings use it. `model.faults` can be replaced."""
    with running(Settings(port=0, faults=Faults(), request_log=place.directory / "model.jsonl")) as model:
        place.extra_env |= {
            "LEARNING_MODEL": "offline-rules-1",
            "LEARNING_MODEL_BASE_URL": model.url,
            "LEARNING_MODEL_API_KEY": "not-a-key",
        }
        yield model


@pytest.fixture
def processes(place: Place) -> Iterator[Processes]:
    """Real processes, ended with the test."""
    processes = Processes(place, warm=True)
    yield processes
    processes.kill_all()
