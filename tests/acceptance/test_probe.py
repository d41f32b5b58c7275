"""`learning-machine probe` against real processes: idle, stopped with work waiting, waiting by intent, without their servers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from celery import Celery
from sqlalchemy.engine import make_url

from harness import eventually, turn
from learning_machine import UserProfileConfig
from learning_ops.process import ManagedProcess, free_port
from learning_schemas.scope import stream_name
from learning_stores.mailbox import LEASE_SECONDS
from scrape import Samples, page, serves
from tcp_proxy import TcpProxy

NOW: dict[str, Any] = {"user_profile": UserProfileConfig(debounce=0), "session_context": False}


@dataclass
class Crew:
    """A dispatcher and a worker, and where they show themselves."""

    dispatcher: ManagedProcess
    worker: ManagedProcess
    dispatcher_port: int
    worker_port: int


@pytest.fixture(scope="module")
def crew(system: Any) -> Crew:
    """Both, serving."""
    ports = free_port(), free_port()
    dispatcher = system.processes.dispatcher(env={"LEARNING_METRICS_PORT": str(ports[0])})
    worker = system.processes.worker("user_profile", env={"LEARNING_METRICS_PORT": str(ports[1])})
    for port in ports:
        eventually(lambda port=port: serves(port), "it serves", timeout=90)
    return Crew(dispatcher, worker, *ports)


# The real ones, that look more often and wait less, so that a test need not last minutes.
HASTY = """
from learning_workers import look, pulse
look.LOOK_EVERY, pulse.STILL_SECONDS = 0.3, 3.0
"""
# A dispatcher whose pump fails at every turn for a reason of its own.
FAILING = (
    HASTY
    + """
from learning_workers import dispatcher, pump
def tick(self):
    raise ValueError("somebody's words")
pump.Pump.tick = tick
dispatcher.main()
"""
)
WORKER = (
    HASTY
    + """
import sys
from celery.__main__ import main
sys.argv = "celery -A learning_workers.app worker -Q learning.session_context -P threads -c 2 -n deaf@%h".split()
main()
"""
)


@dataclass
class Said:
    """How a probe ended, and what it said."""

    status: int
    told: str


def probe(system: Any, *words: str, **env: str) -> Said:
    """Run the command. Without a limit of its own it would hang for as long as what it asks."""
    done = subprocess.run(
        [sys.executable, "-m", "learning_ops.main", "probe", *words],
        env={**system.place.env, **env},
        cwd=system.place.directory,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "Traceback" not in done.stderr
    told = (done.stdout + done.stderr).strip()
    assert done.returncode == 2 or told.count("\n") == 0, "one line"
    return Said(done.returncode, told)


@contextmanager
def stopped(process: ManagedProcess) -> Iterator[None]:
    """The process does nothing while the block runs."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def test_given_idle_processes_when_probed_then_each_is_alive_and_ready_and_says_so_in_a_line(
    system: Any, crew: Crew
) -> None:
    eventually(lambda: probe(system, "ready", "--port", str(crew.worker_port)).status == 0, "it is ready")
    for words, told in (
        (("live",), "0 tasks running, of 4 at once"),
        (("live", "--dispatcher"), "dispatchers alive: 1"),
        (("ready", "--dispatcher"), "8 of 8 shards are read"),
        (("live", "--store", "user_profile"), "nothing of user_profile waits for a worker"),
        (("ready", "--store", "user_profile"), "workers that take from learning.user_profile: 1"),
    ):
        said = probe(system, *words, LEARNING_METRICS_PORT=str(crew.worker_port))
        assert (said.status, said.told) == (0, told)
    said = probe(system, "ready", "--port", str(crew.dispatcher_port))
    assert (said.status, said.told) == (0, "Postgres and Redis answer; 8 of 8 shards are read here")


def test_given_a_stopped_worker_when_work_waits_then_it_is_not_alive_and_when_it_goes_on_it_is(
    system: Any, crew: Crew
) -> None:
    with system.place.machine(**NOW) as machine, stopped(crew.worker):
        machine.emit(turn("I work at Netflix."), user_id="stopped", session_id="s1")
        eventually(lambda: system.mailbox("stopped"), "its mailbox")
        by_port = probe(system, "live", "--port", str(crew.worker_port), "--timeout", "2")
        assert by_port.status == 1
        assert "does not answer" in by_port.told
        assert probe(system, "live", "--store", "user_profile").status == 0, "it has not waited for long"

        old = "due_at = now() - interval '2 minutes', lease_until = lease_until - interval '3 minutes'"
        system.change(f"UPDATE learning.mailbox SET {old} WHERE user_id = 'stopped'")
        by_store = probe(system, "live", "--store", "user_profile")
        assert by_store.status == 1
        assert "no worker is at anything of it" in by_store.told
        assert probe(system, "live", "--store", "session_context").status == 0, "of another store nothing waits"
    system.settled("stopped", 1, timeout=LEASE_SECONDS + 60)
    assert probe(system, "live", "--port", str(crew.worker_port)).status == 0
    assert probe(system, "live", "--store", "user_profile").status == 0


@pytest.mark.parametrize("reason", ["provider", "budget", "waiting for spec", "unknown model"])
def test_given_a_mailbox_that_waits_by_intent_when_probed_then_its_workers_are_alive(
    system: Any, crew: Crew, reason: str
) -> None:
    paused = f"paused by {reason}"
    with stopped(crew.worker), system.place.machine(**NOW) as machine:
        machine.emit(turn("I like tea."), user_id=paused, session_id="s1")
        eventually(lambda: system.mailbox(paused), "its mailbox")
        system.change(
            "UPDATE learning.mailbox SET due_at = now() - interval '1 hour', not_before = now() + interval '1 hour', "
            "lease_until = NULL, owner = NULL, wait_reason = :reason WHERE user_id = :user",
            reason=reason,
            user=paused,
        )
        said = probe(system, "live", "--store", "user_profile")
        system.change("DELETE FROM learning.mailbox WHERE user_id = :user", user=paused)
        system.change(
            "UPDATE learning.delivery SET state = 'skipped', settled_at = now() WHERE state = 'pending' AND scope LIKE :user",
            user=f"%{paused}",
        )
    assert (said.status, said.told) == (0, "nothing of user_profile waits for a worker")


def test_given_a_stopped_dispatcher_when_probed_then_it_is_not_alive_by_its_port_nor_by_its_heartbeat(
    system: Any, crew: Crew
) -> None:
    with stopped(crew.dispatcher):
        assert probe(system, "live", "--port", str(crew.dispatcher_port), "--timeout", "2").status == 1
        system.change("UPDATE learning.dispatcher SET pump_at = pump_at - interval '1 minute'")
        said = probe(system, "live", "--dispatcher")
        assert said.status == 1
        assert "no dispatcher has turned both its loops" in said.told
    eventually(lambda: probe(system, "live", "--dispatcher").status == 0, "it turns again")


def test_given_a_stream_whose_first_entry_is_old_when_nobody_takes_it_in_then_the_dispatchers_are_not_alive(
    system: Any, crew: Crew
) -> None:
    with stopped(crew.dispatcher):
        # One that had no entry yet: ids only grow. By this one's, it is older than a minute already.
        shard = next(n for n in range(8) if system.redis.xinfo_stream(stream_name(n))["last-generated-id"] == b"0-0")
        system.redis.xadd(stream_name(shard), {"event": b"{}"}, id=f"{int((time.time() - 90) * 1000)}-0")
        system.change("UPDATE learning.dispatcher SET pump_at = now(), intake_at = now()")
        said = probe(system, "live", "--dispatcher")
    assert said.status == 1
    assert f"stream {shard} has an entry for" in said.told
    eventually(lambda: probe(system, "live", "--dispatcher").status == 0, "it is refused, and gone")


def test_given_a_silent_postgres_when_probed_then_there_is_a_no_within_the_time(system: Any, crew: Crew) -> None:
    url = make_url(system.place.dispatcher_url)
    way = TcpProxy("127.0.0.1", url.port or 0)
    way.open()
    way.stall()
    through = url.set(host="127.0.0.1", port=way.port).render_as_string(hide_password=False)
    try:
        for words in (("ready", "--dispatcher"), ("live", "--dispatcher"), ("live", "--store", "user_profile")):
            said = probe(system, *words, "--timeout", "3", LEARNING_DISPATCHER_DATABASE_URL=through)
            assert said.status == 1
            assert "dispatcher-in-tests" not in said.told
    finally:
        way.cut()


def test_given_no_process_and_no_question_when_probed_then_the_exit_status_tells_the_two_apart(system: Any) -> None:
    nobody = probe(system, "live", "--port", str(free_port()))
    assert nobody.status == 1
    assert "does not answer: Connection refused" in nobody.told
    assert probe(system, "live").status == 2
    assert probe(system, "live", "--dispatcher", "--store", "user_profile").status == 2
    assert probe(system, "dead", "--dispatcher").status == 2
    misspelt = probe(system, "live", "--store", "user-profile")
    assert misspelt.status == 2, "of a store that nobody has, nothing ever waits"
    assert probe(system, "live", "--port", "99999").status == 2
    absent = probe(system, "ready", "--store", "entity_memory")
    assert (absent.status, absent.told) == (1, "no worker takes from learning.entity_memory")


def test_given_a_dispatcher_whose_loop_fails_though_its_servers_answer_when_probed_then_it_is_not_alive(
    system: Any,
) -> None:
    port = free_port()
    process = system.processes.start("failing", ["-c", FAILING], {"LEARNING_METRICS_PORT": str(port)})
    eventually(lambda: serves(port), "it serves", timeout=90)
    not_alive = eventually(lambda: (found := page(port, "/livez")).status == 503 and found, "it is not alive")
    assert "every turn of pump has failed for" in not_alive.text
    assert page(port, "/readyz").status == 200
    assert (Samples(port).value("learning_dispatcher_failures_total", reason="fault") or 0) > 0
    assert "somebody's words" not in process.log_path.read_text() + not_alive.text
    process.stop()


def test_given_a_worker_that_takes_no_nudges_any_more_when_some_wait_then_it_is_not_alive_until_it_takes_them(
    system: Any,
) -> None:
    port = free_port()
    process = system.processes.start("deaf", ["-c", WORKER], {"LEARNING_METRICS_PORT": str(port)})
    eventually(lambda: serves(port) and page(port, "/readyz").status == 200, "it takes nudges", timeout=90)
    with Celery("tests", broker=system.place.redis_url, set_as_current=False) as app:
        assert app.control.cancel_consumer("learning.session_context", reply=True, timeout=20)
        system.nudge(12345, store="session_context")
        not_alive = eventually(lambda: (found := page(port, "/livez")).status == 503 and found, "it is not alive")
        assert "nudges have waited for" in not_alive.text
        assert app.control.add_consumer("learning.session_context", reply=True, timeout=20)
    eventually(lambda: page(port, "/livez").status == 200, "it takes it, finds no work, and is alive")
    process.stop()
