"""Flower as it is started with our app: it asks who is there, everywhere, and keeps what it saw."""

import base64
import http.client

import pytest

from harness import Place, Processes, eventually, turn
from learning_machine import UserProfileConfig
from learning_ops.offline.server import OfflineModel
from learning_ops.process import ManagedProcess, free_port

LOGIN = {"Authorization": "Basic " + base64.b64encode(b"operator:in-tests").decode()}
FLOWER = ("-m", "celery", "-A", "learning_workers.app", "flower")


class Flower:
    """A Flower process, and asking it."""

    def __init__(self, processes: Processes, place: Place) -> None:
        self.port = free_port()
        env = {
            "FLOWER_ADDRESS": "127.0.0.1",
            "FLOWER_PORT": str(self.port),
            "FLOWER_BASIC_AUTH": "operator:in-tests",
            "FLOWER_PERSISTENT": "true",
            "FLOWER_DB": str(place.directory / "flower"),
        }
        self.process: ManagedProcess = processes.start("flower", FLOWER, env)
        eventually(self._serves, "Flower serves")

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Status and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def _serves(self) -> bool:
        try:
            return self.get("/healthcheck")[0] == 200
        except (OSError, http.client.HTTPException):
            assert self.process.alive, self.process.log_tail()
            return False


@pytest.fixture
def flower(place: Place, processes: Processes) -> Flower:
    return Flower(processes, place)


@pytest.mark.parametrize("given", [{}, {"FLOWER_BASIC_AUTH": "operator:"}, {"FLOWER_BASIC_AUTH": "operator"}])
def test_given_no_password_when_started_then_it_ends_and_says_what_to_set(
    processes: Processes, given: dict[str, str]
) -> None:
    process = processes.start("flower", FLOWER, {"FLOWER_PORT": str(free_port()), **given})

    assert process.wait(60) == 2
    assert "FLOWER_BASIC_AUTH" in process.log_tail()


def test_given_nobody_logged_in_then_nothing_is_shown_and_health_to_this_host_alone(flower: Flower) -> None:
    for path in ("/", "/workers", "/tasks", "/metrics", "/api/workers", "/api/tasks"):
        assert flower.get(path)[0] == 401, path
        assert flower.get(path, LOGIN)[0] == 200, path
    assert flower.get("/metrics", {"X-Forwarded-For": "127.0.0.1"})[0] == 401
    assert flower.get("/healthcheck") == (200, "OK")
    assert flower.get("/healthcheck", {"X-Forwarded-For": "203.0.113.9"})[0] == 401
    assert flower.get("/healthcheck", {"X-Forwarded-For": "203.0.113.9", **LOGIN}) == (200, "OK")


def test_given_work_when_looked_at_then_tasks_name_the_store_and_nothing_that_was_said_and_outlast_a_restart(
    place: Place, model: OfflineModel, processes: Processes, flower: Flower
) -> None:
    processes.dispatcher()
    processes.worker("user_profile", name="user_profile")
    with place.machine(user_profile=UserProfileConfig(debounce=0), session_context=False) as machine:
        machine.settle(machine.emit(turn("I work at Kestrel."), user_id="alice", session_id="s1"), timeout=90)

    def shown() -> str | None:
        told = flower.get("/api/tasks", LOGIN)[1]
        return told if '"state": "SUCCESS"' in told else None

    told = eventually(shown, "the task is shown")
    assert "learning.user_profile" in told
    assert "Kestrel" not in told
    assert "alice" not in told
    assert '"worker": "user_profile' in told

    flower.process.stop()
    again = Flower(processes, place)
    assert "learning.user_profile" in eventually(lambda: again.get("/api/tasks", LOGIN)[1], "what it saw before")
