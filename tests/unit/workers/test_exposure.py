"""What a process shows over HTTP: its pages, its port, and those who hold on to it."""

import http.client
import socket
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from harness import eventually
from learning_ops.process import free_port
from learning_schemas.errors import ConfigurationError
from learning_workers import exposure as module
from learning_workers.exposure import Exposure
from learning_workers.pulse import Verdict

YES, NO = Verdict(ok=True, told="it moves"), Verdict(ok=False, told="it does not")


@pytest.fixture
def exposure() -> Iterator[Exposure]:
    """One that is alive and not ready."""
    registry = CollectorRegistry()
    Counter("learning_tries_total", "Tries", registry=registry).inc()
    shown = Exposure("127.0.0.1", free_port(), registry, live=lambda: YES, ready=lambda: NO).start()
    yield shown
    shown.close()


def get(port: int, path: str, accept: str = "") -> tuple[int, str, str]:
    """Status, type and text of a page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Accept": accept} if accept else {})
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type") or "", response.read().decode()
    finally:
        connection.close()


def test_given_its_pages_when_asked_for_then_each_has_its_status_and_its_one_line(exposure: Exposure) -> None:
    assert get(exposure.port, "/livez")[::2] == (200, "it moves\n")
    assert get(exposure.port, "/readyz?verbose")[::2] == (503, "it does not\n")
    status, kind, text = get(exposure.port, "/metrics")
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    assert "learning_tries_total 1.0" in text.splitlines()
    assert get(exposure.port, "/metrics", "application/openmetrics-text; version=1.0.0")[2].endswith("# EOF\n")
    assert get(exposure.port, "/")[0] == 404


def test_given_a_port_that_is_taken_when_another_listens_then_it_is_told_which_variable_and_why(
    exposure: Exposure,
) -> None:
    with pytest.raises(ConfigurationError, match=rf"LEARNING_METRICS_PORT: 127\.0\.0\.1:{exposure.port} .*in use"):
        Exposure("127.0.0.1", exposure.port, CollectorRegistry(), live=lambda: YES, ready=lambda: YES)


def test_given_an_address_that_is_not_this_hosts_when_listened_on_then_it_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="LEARNING_METRICS_HOST an address of this host"):
        Exposure("203.0.113.1", 9100, CollectorRegistry(), live=lambda: YES, ready=lambda: YES)


def test_given_those_who_say_nothing_when_there_are_too_many_then_they_are_sent_away_in_time(
    exposure: Exposure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module._Handler, "timeout", 0.3)
    silent = [socket.create_connection(("127.0.0.1", exposure.port)) for _ in range(module.REQUESTS_AT_ONCE + 4)]
    try:
        eventually(lambda: answers(exposure.port), "it answers again")
    finally:
        for each in silent:
            each.close()


def answers(port: int) -> bool:
    try:
        return get(port, "/livez")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_given_it_is_closed_just_after_it_answered_when_another_listens_then_the_port_is_free(
    exposure: Exposure,
) -> None:
    port = exposure.port
    assert answers(port)
    exposure.close()
    again = Exposure("127.0.0.1", port, CollectorRegistry(), live=lambda: NO, ready=lambda: YES).start()
    try:
        assert get(port, "/livez")[0] == 503
    finally:
        again.close()
