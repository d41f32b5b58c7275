"""Children that die are reported and started again, later each time."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from learning_ops.process import ManagedProcess
from learning_ops.supervision import FIRST_PAUSE, LONGEST_PAUSE, STEADY, Supervisor


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], ManagedProcess]]:
    """Starts a Python program as a child, which is ended with the test."""
    children: list[ManagedProcess] = []

    def child(program: str) -> ManagedProcess:
        children.append(ManagedProcess("child", [sys.executable, "-c", program], log_path=tmp_path / "child.log"))
        children[-1].start()
        return children[-1]

    yield child
    for each in children:
        each.stop()


def test_given_a_child_that_lives_when_looked_at_then_nothing_is_reported(
    start: Callable[[str], ManagedProcess],
) -> None:
    child = start("import time; time.sleep(60)")
    reports: list[str] = []

    Supervisor([child], reports.append).look()

    assert reports == []


def test_given_a_child_that_keeps_dying_when_looked_at_then_each_end_is_reported_and_the_pauses_grow_to_a_bound(
    start: Callable[[str], ManagedProcess],
) -> None:
    child = start("print('no such port'); raise SystemExit(3)")
    reports: list[str] = []
    clock = Clock()
    supervisor = Supervisor([child], reports.append, clock)
    pauses = []
    for _ in range(7):
        child.wait(30)
        reports.clear()
        supervisor.look()
        assert len(reports) == 1
        assert "child ended (exit code 3)" in reports[0]
        assert "no such port" in reports[0]
        pauses.append(float(reports[0].split("again in ")[1].split(" s")[0]))
        supervisor.look()
        assert len(reports) == 1, "nothing happens before its time"
        clock.now += pauses[-1]
        supervisor.look()
        assert "child started again" in reports[1]

    assert pauses == [FIRST_PAUSE, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE]


def test_given_a_child_that_lived_long_when_it_dies_then_it_is_started_again_soon(
    start: Callable[[str], ManagedProcess],
) -> None:
    child = start("raise SystemExit(3)")
    reports: list[str] = []
    clock = Clock()
    supervisor = Supervisor([child], reports.append, clock)
    for _ in range(3):
        child.wait(30)
        supervisor.look()
        clock.now += LONGEST_PAUSE
        supervisor.look()
    child.wait(30)
    clock.now += STEADY
    reports.clear()

    supervisor.look()

    assert f"again in {FIRST_PAUSE:g} s" in reports[0]
