"""Real dispatchers and workers export what they did, under few labels, whatever their servers do."""

import os
import signal
import time
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from harness import eventually, sometimes, turn
from learning_machine import LearningMachine, SettleTimeout, UserProfileConfig
from learning_ops.offline.server import Faults
from learning_ops.process import ManagedProcess, free_port
from learning_schemas.scope import shard_of, stream_name, subject_of
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.mailbox import LEASE_SECONDS
from scrape import Samples, page, serves
from tcp_proxy import TcpProxy

NOW: dict[str, Any] = {"user_profile": UserProfileConfig(debounce=0), "session_context": False}
LABELS = {"store", "model", "reason", "state", "via", "outcome", "curator_job", "le"}
SECRET = "my password: hunter2-Secret9"


@dataclass
class Ports:
    """Where the two serve."""

    dispatcher: int
    worker: int


@pytest.fixture(scope="module")
def ports(system: Any) -> Ports:
    """A dispatcher and a worker that serve metrics."""
    ports = Ports(free_port(), free_port())
    system.processes.dispatcher(env={"LEARNING_METRICS_PORT": str(ports.dispatcher)})
    system.processes.worker("user_profile", env={"LEARNING_METRICS_PORT": str(ports.worker)})
    for port in (ports.dispatcher, ports.worker):
        eventually(lambda port=port: serves(port), "it serves", timeout=90)
    return ports


def test_given_work_of_many_kinds_when_scraped_then_each_process_has_counted_its_own(system: Any, ports: Ports) -> None:
    with system.place.machine(**NOW) as machine:
        receipt = machine.emit(turn(f"I work at Netflix, and {SECRET}"), user_id="alice", session_id="s1")
        machine.settle(receipt, timeout=90)
        # Nothing new: skipped by intake, without a worker.
        machine.emit(turn(f"I work at Netflix, and {SECRET}"), user_id="alice", session_id="s1", history="full")
        # Not acceptable.
        stream = stream_name(shard_of("default", subject_of("alice", "s1")))
        system.redis.xadd(stream, {"event": b'{"v": 1, "id": "not one", "user_id": "alice"}'})
    # An agent whose Redis is away.
    with LearningMachine(database_url=system.place.app_url, redis_url="redis://127.0.0.1:1/0", **NOW) as cut_off:
        assert cut_off.emit(turn("I live in Berlin."), user_id="bob", session_id="s2").via == "postgres"

    def counted() -> Samples | None:
        samples = Samples(ports.dispatcher)
        done = samples.value("learning_events_accepted_total", via="postgres") == 1
        skipped = samples.value("learning_deliveries_settled_total", state="skipped", store="user_profile") == 1
        return samples if done and skipped and samples.value("learning_events_rejected_total") == 1 else None

    dispatcher = eventually(counted, "the dispatcher has counted")
    assert dispatcher.value("learning_events_accepted_total", via="stream") == 2
    assert dispatcher.value("learning_redactions_total", reason="password") == 1, "what is repeated counts once"
    assert (dispatcher.value("learning_nudges_sent_total", store="user_profile") or 0) >= 1
    assert dispatcher.value("learning_dispatcher_shards_held") == dispatcher.value("learning_shards_read") == 8
    assert dispatcher.value("learning_postgres_up") == dispatcher.value("learning_redis_up") == 1
    assert dispatcher.value("learning_stream_entries") == 0

    def learned() -> Samples | None:
        samples = Samples(ports.worker)
        return samples if samples.value("learning_deliveries_settled_total", state="extracted") == 2 else None

    worker = eventually(learned, "the worker has settled both")
    assert worker.value("learning_event_to_recallable_seconds_count", store="user_profile") == 2
    assert 0 < (worker.value("learning_event_to_recallable_seconds_sum") or 0) < 300
    assert worker.value("learning_model_calls_total", model="offline-rules-1", outcome="ok") == 2
    assert worker.value("learning_model_call_seconds_count", model="offline-rules-1") == 2
    assert (worker.value("learning_model_input_tokens_total") or 0) > 100
    assert (worker.value("learning_model_output_tokens_total") or 0) > 10
    assert (worker.value("learning_changes_total", store="user_profile") or 0) >= 2
    assert worker.value("learning_worker_threads") == 4
    assert (worker.value("process_resident_memory_bytes") or 0) > 1e7
    # What only the dispatchers know is exported by them alone.
    assert worker.value("learning_backlog_deliveries") is None
    assert dispatcher.value("learning_worker_threads") is None


def test_given_a_provider_that_throttles_when_scraped_then_waits_pauses_and_backlog_tell_so_and_both_are_alive(
    system: Any, ports: Ports
) -> None:
    system.model.faults = Faults(rate_429=1.0)
    try:
        with system.place.machine(**NOW) as machine:
            machine.emit(turn("I like tea."), user_id="carol", session_id="s3")

            def told() -> bool:
                backlog = Samples(ports.dispatcher)
                return backlog.value("learning_backlog_deliveries", store="user_profile", reason="provider") == 1

            eventually(told, "the backlog has it under provider")
            worker = Samples(ports.worker)
            assert (worker.value("learning_mailbox_waits_total", store="user_profile", reason="provider") or 0) >= 1
            assert (worker.value("learning_model_pauses_total", model="offline-rules-1") or 0) >= 1
            assert (worker.value("learning_model_calls_total", outcome="rate_limited") or 0) >= 1
            for port in (ports.dispatcher, ports.worker):
                assert page(port, "/livez").status == page(port, "/readyz").status == 200
    finally:
        system.model.faults = Faults()
        system.pauses_over()
        system.change("UPDATE learning.mailbox SET not_before = NULL, wait_reason = NULL")
    eventually(lambda: system.memories("carol"), "it goes on")


def test_given_tenants_users_and_strangers_words_when_scraped_then_no_label_has_any_of_them(
    system: Any, ports: Ports
) -> None:
    foreign = MachineSpec(stores={"a_strangers_store": StoreSpec(scope="user", debounce=0)})
    with system.place.machine(**NOW) as machine:
        for number in range(5):
            view = machine.for_tenant(f"tenant-{number}")
            view.emit(turn("I like tea."), user_id=f"user-{number}", session_id=f"session-{number}")
    system.change(
        "INSERT INTO learning.delivery (tenant, event_id, store, subject, scope, spec_hash, accepted_no, accepted_at) "
        "SELECT tenant, id, 'a_strangers_store', subject, subject, :hash, accepted_no, now() "
        "FROM learning.conversation_event WHERE tenant = 'default' AND user_id = 'alice' LIMIT 1",
        hash=foreign.spec_hash(),
    )

    def there() -> Samples | None:
        samples = Samples(ports.dispatcher)
        return samples if samples.value("learning_backlog_deliveries", store="other") else None

    try:
        samples = [*eventually(there, "the strange store is counted").all, *Samples(ports.worker).all]
    finally:
        system.change("DELETE FROM learning.delivery WHERE store = 'a_strangers_store'")
    assert {name for sample in samples for name in sample.labels} <= LABELS
    values = {value for sample in samples for name, value in sample.labels.items() if name != "le"}
    whose = {"tenant-", "user-", "session-", "alice", "bob", "s1", "strangers", "default", "hunter"}
    assert not [value for value in values for part in whose if part in value]
    assert len(samples) < 600


def test_given_a_worker_killed_at_work_when_another_takes_over_then_it_counts_the_take_over(
    system: Any, ports: Ports
) -> None:
    system.model.faults = Faults(latency=20)
    victim: ManagedProcess | None = None
    try:
        port = free_port()
        victim = system.processes.worker("user_profile", name="victim", env={"LEARNING_METRICS_PORT": str(port)})
        eventually(lambda: serves(port), "the second worker", timeout=90)
        with system.place.machine(**NOW) as machine:
            pid = None
            for number in range(40):  # until the one that is to be killed has one of them
                machine.emit(turn("I like cake."), user_id=f"lost-{number}", session_id="s9")
                pid, _ = system.holder(f"lost-{number}")
                if pid == victim.pid:
                    break
            assert pid == victim.pid
            before = Samples(ports.worker).value("learning_mailbox_takeovers_total", store="user_profile") or 0
            os.kill(pid, signal.SIGKILL)
            system.model.faults = Faults()
            counted = lambda: (Samples(ports.worker).value("learning_mailbox_takeovers_total") or 0) > before  # noqa: E731 - a condition
            eventually(counted, "the take-over is counted", timeout=LEASE_SECONDS + 60)
    finally:
        system.model.faults = Faults()
        if victim is not None:
            victim.stop()


def test_given_a_port_that_is_taken_when_a_worker_or_a_dispatcher_starts_then_it_ends_and_says_which(
    system: Any, ports: Ports
) -> None:
    taken = {"LEARNING_METRICS_PORT": str(ports.worker)}
    worker = system.processes.worker("user_profile", name="late", env=taken)
    dispatcher = system.processes.start("late", ["-m", "learning_ops.main", "dispatcher"], taken)
    for process in (worker, dispatcher):
        process.wait(90)
        assert process.returncode == 1
        told = process.log_path.read_text()
        assert f"LEARNING_METRICS_PORT: 127.0.0.1:{ports.worker} cannot be listened on: Address already in use" in told
    assert "Traceback" not in dispatcher.log_path.read_text()


def test_given_a_pool_of_processes_when_a_worker_is_to_serve_metrics_then_it_ends_and_says_what_to_do(
    system: Any,
) -> None:
    argv = ["-m", "celery", "-A", "learning_workers.app", "worker", "-Q", "learning.user_profile", "-P", "prefork"]
    worker = system.processes.start("prefork", argv, {"LEARNING_METRICS_PORT": str(free_port())})
    worker.wait(90)
    assert worker.returncode == 1
    assert "Start the worker with -P threads" in worker.log_path.read_text()


def answers_within(seconds: float, port: int, path: str) -> bool:
    began = time.monotonic()
    page(port, path)
    return time.monotonic() - began < seconds


def test_given_a_silent_postgres_when_scraped_and_probed_then_all_answers_come_in_time_and_tell_it(
    system: Any, ports: Ports
) -> None:
    url = make_url(system.place.dispatcher_url)
    way = TcpProxy("127.0.0.1", url.port or 0)
    way.open()
    port = free_port()
    through = url.set(host="127.0.0.1", port=way.port).render_as_string(hide_password=False)
    try:
        process = system.processes.dispatcher(
            env={"LEARNING_DISPATCHER_DATABASE_URL": through, "LEARNING_METRICS_PORT": str(port)}
        )
        eventually(lambda: serves(port) and page(port, "/readyz").status == 200, "it is ready", timeout=90)
        assert Samples(port).value("learning_postgres_up") == 1
        way.stall()
        not_ready = eventually(lambda: (found := page(port, "/readyz")).status == 503 and found, "it is not ready")
        assert "Postgres" in not_ready.text
        for path in ("/metrics", "/readyz", "/livez"):
            sometimes(lambda path=path: answers_within(9.0, port, path), f"{path} answers before Prometheus gives up")
        samples = eventually(
            lambda: (found := Samples(port)).value("learning_postgres_up") == 0 and found, "Postgres is told to be away"
        )
        assert samples.value("learning_redis_up") == 1
        assert samples.value("learning_backlog_deliveries") is None
        assert page(port, "/livez").status == 200, "no fault of its own"
        way.go_on()
        eventually(lambda: page(port, "/readyz").status == 200, "it is ready again")
        eventually(lambda: Samples(port).value("learning_postgres_up") == 1, "Postgres is back")
        process.stop()
    finally:
        way.cut()


def test_given_an_answer_of_no_use_when_it_dies_then_the_reason_and_the_dead_are_counted(
    system: Any, ports: Ports
) -> None:
    system.model.faults = Faults(rate_garbage=1.0)
    try:
        with system.place.machine(**NOW) as machine:
            receipt = machine.emit(turn("I like tea."), user_id="dora", session_id="s4")
            try:
                machine.settle(receipt, timeout=60)
            except SettleTimeout:
                pytest.fail("it was not settled")
        worker = Samples(ports.worker)
        assert worker.value("learning_deliveries_died_total", store="user_profile", reason="invalid_output") == 1
        assert worker.value("learning_deliveries_settled_total", store="user_profile", state="dead") == 1
        dead = lambda: Samples(ports.dispatcher).value("learning_dead_deliveries", store="user_profile") == 1  # noqa: E731 - a condition
        eventually(dead, "the dead one is in the gauge")
    finally:
        system.model.faults = Faults()


def test_given_a_curator_when_it_has_looked_through_the_ledger_then_it_and_the_dispatcher_tell_so(
    system: Any, ports: Ports
) -> None:
    port = free_port()
    curator = system.processes.worker("curator", threads=1, name="curator", env={"LEARNING_METRICS_PORT": str(port)})
    eventually(lambda: serves(port), "it serves", timeout=90)

    def done() -> bool:
        return (Samples(port).value("learning_curator_runs_total", curator_job="reconcile", state="done") or 0) >= 1

    eventually(done, "a run of it is counted")
    samples = Samples(port)
    assert samples.value("learning_curator_runs_total", curator_job="prune", state="failed") == 0, (
        "a beginning for rates"
    )
    assert samples.value("learning_curator_changes_total", curator_job="reconcile") is not None

    def looked() -> Samples | None:
        samples = Samples(ports.dispatcher)
        return samples if samples.value("learning_reconciled_age_seconds") is not None else None

    dispatcher = eventually(looked, "the dispatcher knows of it")
    assert 0 <= (dispatcher.value("learning_reconciled_age_seconds") or 0) < 120
    assert dispatcher.value("learning_findings", reason="events_without_delivery") == 0
    assert page(port, "/livez").status == page(port, "/readyz").status == 200
    curator.stop()
