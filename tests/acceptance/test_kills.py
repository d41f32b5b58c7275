"""Workers that are killed or stopped in the middle of a model call: taken over, once, and never overwritten by the dead."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from harness import eventually, turn
from learning_machine import UserProfileConfig
from learning_ops.offline.server import Faults
from learning_ops.process import ManagedProcess
from learning_stores.commit import Fenced, settle_without_extraction
from learning_stores.database import Database
from learning_stores.mailbox import LEASE_SECONDS, Claim, extend

NOW: dict[str, Any] = {"user_profile": UserProfileConfig(debounce=0), "session_context": False}


@pytest.fixture(scope="module")
def workers(system: Any) -> dict[int, ManagedProcess]:
    """Two, by process id."""
    system.processes.dispatcher()
    started = [system.processes.worker("user_profile", name=name) for name in ("first", "second")]
    return {worker.pid: worker for worker in started}


@pytest.fixture(autouse=True)
def slow(system: Any) -> Iterator[None]:
    """A model that takes long enough to be caught in the act."""
    system.model.faults = Faults(latency=1.0)
    yield
    system.model.faults = Faults()


def assert_one_effect(system: Any, user_id: str) -> None:
    [delivery] = system.deliveries(user_id)
    assert (delivery["state"], delivery["attempts"]) == ("extracted", 1)
    assert system.memories(user_id) == ["Works at Netflix"]
    assert len(system.extractions(user_id)) == 1
    evidence = system.rows("SELECT count(*) FROM learning.evidence WHERE event_id = :id", id=delivery["event_id"])
    assert evidence == [{"count": 1}]


def test_given_a_worker_stopped_over_its_lease_when_it_goes_on_then_its_commit_is_refused_and_the_other_ones_stands(
    system: Any, workers: dict[int, ManagedProcess], fenced_result: Any
) -> None:
    with system.place.machine(**NOW) as machine:
        machine.emit(turn("I work at Netflix."), user_id="stopped", session_id="s1")
        asked = system.model.requests
        pid, token = system.holder("stopped")
        eventually(lambda: system.model.requests > asked, "the model is asked")
        os.kill(pid, signal.SIGSTOP)
        try:
            system.settled("stopped", 1, timeout=LEASE_SECONDS + 60)
        finally:
            os.kill(pid, signal.SIGCONT)

    [extraction] = system.extractions("stopped")
    assert extraction["token"] > token
    eventually(lambda: fenced_result(workers[pid]), "the late commit is refused")
    assert_one_effect(system, "stopped")
    calls = system.rows("SELECT outcome FROM learning.model_call WHERE user_id = 'stopped'")
    assert calls == [{"outcome": "ok"}] * 2  # each was made and is paid for


@pytest.fixture
def fenced_result() -> Any:
    """Whether a worker's log has a task that ended as `fenced`."""
    return lambda worker: "'outcome': 'fenced'" in worker.log_path.read_text()


def test_given_a_worker_killed_during_the_model_call_when_its_lease_ends_then_another_takes_over_with_one_effect(
    system: Any, workers: dict[int, ManagedProcess]
) -> None:
    with system.place.machine(**NOW) as machine:
        machine.emit(turn("I work at Netflix."), user_id="killed", session_id="s1")
        asked = system.model.requests
        pid, token = system.holder("killed")
        eventually(lambda: system.model.requests > asked, "the model is asked")
        mailbox = system.mailbox("killed")

        os.kill(pid, signal.SIGKILL)

        system.settled("killed", 1, timeout=LEASE_SECONDS + 60)
    [extraction] = system.extractions("killed")
    assert extraction["token"] > token
    [late] = system.rows(
        "SELECT extract(epoch FROM x.started_at - :lease_until) AS seconds FROM learning.extraction x "
        "WHERE x.user_id = 'killed'",
        lease_until=mailbox["lease_until"],
    )
    assert late["seconds"] >= 0
    assert_one_effect(system, "killed")
    dead = Claim(
        mailbox_id=mailbox["id"],
        tenant="default",
        store="user_profile",
        scope=mailbox["scope"],
        subject=mailbox["subject"],
        user_id="killed",
        session_id=None,
        token=token,
        window_limit=None,
        crashes_alone=0,
        failures=0,
    )
    with Database(system.place.app_url) as database:
        assert not database.run("default", extend, "default", mailbox["id"], token)
        with pytest.raises(Fenced):
            database.run("default", settle_without_extraction, dead, [], keep=False, at_once=False)


def test_given_a_worker_told_to_end_during_the_model_call_when_it_ends_then_its_work_is_done_and_no_process_is_left(
    system: Any, workers: dict[int, ManagedProcess]
) -> None:
    [worker] = [worker for worker in workers.values() if worker.alive]
    with system.place.machine(**NOW) as machine:
        machine.emit(turn("I work at Netflix."), user_id="ended", session_id="s1")
        asked = system.model.requests
        system.holder("ended")
        eventually(lambda: system.model.requests > asked, "the model is asked")

        worker.stop()

    assert worker.returncode == 0
    assert_one_effect(system, "ended")
