"""One trace goes from an agent's turn through dispatcher and worker to the model call, across real processes."""

import json
from collections.abc import Iterator

import pytest

from collector import Collector, collecting
from harness import Place, Processes, eventually, turn
from learning_machine import UserProfileConfig
from learning_ops.offline.server import OfflineModel
from learning_ops.process import ManagedProcess

SECRET = "Kestrel"

# An agent as it would be instrumented: a provider of its own, and a span for each turn.
AGENT = """
import json, sys
from learning_machine import LearningMachine, UserProfileConfig
if sys.argv[1] == "traced":
    from opentelemetry import trace
    from learning_workers.tracer import start_traces
    end = start_traces("agent")
    tracer = trace.get_tracer("agent")
with LearningMachine(user_profile=UserProfileConfig(debounce=float(sys.argv[2])), session_context=False) as machine:
    receipts = []
    for number, words in enumerate(sys.argv[3:]):
        said = [{"role": "user", "content": words}, {"role": "assistant", "content": "Noted."}]
        if sys.argv[1] == "traced":
            with tracer.start_as_current_span("turn") as turn:
                receipts.append(machine.emit(said, user_id="alice", session_id="s1"))
                print(f"{turn.get_span_context().trace_id:032x}", flush=True)
        else:
            receipts.append(machine.emit(said, user_id="alice", session_id="s1"))
    print(json.dumps([machine.settle(receipt, timeout=60) for receipt in receipts]), flush=True)
if sys.argv[1] == "traced":
    end()
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def agent(processes: Processes, place: Place, collector: Collector, *arguments: str) -> list[str]:
    """Run an agent to its end; the lines that it wrote: the traces of its turns, and what became of them."""
    process = processes.start("agent", ["-c", AGENT, *arguments], {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    eventually(lambda: not process.alive, "the agent ends", timeout=90)
    lines = process.log_tail(200).splitlines()
    assert process.returncode == 0, "\n".join(lines)
    return [line for line in lines if line.startswith("[") or len(line) == 32]


def system(processes: Processes, collector: Collector) -> list[ManagedProcess]:
    """A dispatcher and a worker that send traces."""
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    return [processes.dispatcher(env), processes.worker("user_profile", env=env)]


def test_given_a_traced_turn_when_it_is_extracted_then_its_trace_goes_on_to_the_model_call(
    place: Place, model: OfflineModel, processes: Processes, collector: Collector
) -> None:
    started = system(processes, collector)
    trace, states = agent(processes, place, collector, "traced", "0", f"I work at {SECRET}.")
    assert json.loads(states) == [{"user_profile": "extracted"}]

    for process in started:
        process.stop()  # what was not sent yet is sent at the end

    (turn_,) = collector.named("turn", trace)
    (emitted,) = collector.named("learning.emit", trace)
    (taken,) = collector.named("learning.intake", trace)
    (extracted,) = collector.named("learning.extract", trace)
    (asked,) = collector.named("chat ", trace)
    (committed,) = collector.named("learning.commit", trace)
    assert emitted.parent == turn_.id
    assert taken.parent == extracted.parent == emitted.id
    assert asked.parent == committed.parent == extracted.id
    assert [each.service for each in (emitted, taken, extracted, asked)] == [
        "agent",
        "learning-dispatcher",
        "learning-user_profile",
        "learning-user_profile",
    ]
    assert emitted.attributes["learning.event_id"] == taken.attributes["learning.event_id"]
    assert extracted.attributes["learning.changes"] == "1"
    assert asked.attributes["gen_ai.request.model"] == "offline-rules-1"
    assert int(asked.attributes["gen_ai.usage.input_tokens"]) > 0
    sent = b"".join(collector.bodies)
    assert SECRET.encode() not in sent
    assert b"alice" not in sent


def test_given_turns_that_are_extracted_together_then_the_last_has_the_work_and_the_others_are_linked(
    place: Place, model: OfflineModel, processes: Processes, collector: Collector
) -> None:
    started = system(processes, collector)
    first, second, states = agent(processes, place, collector, "traced", "30", "I work at Acme.", "I live in Oslo.")
    assert json.loads(states) == [{"user_profile": "extracted"}] * 2

    for process in started:
        process.stop()

    extracted = collector.named("learning.extract")
    assert [(each.trace, each.links) for each in extracted] == [(second, (first,))]
    assert [each.trace for each in collector.named("learning.intake")] == [first, second]


def test_given_an_agent_without_traces_then_what_the_system_does_is_a_trace_of_its_own(
    place: Place, model: OfflineModel, processes: Processes, collector: Collector
) -> None:
    started = system(processes, collector)
    (states,) = agent(processes, place, collector, "plain", "0", "I work at Acme.")
    assert json.loads(states) == [{"user_profile": "extracted"}]

    for process in started:
        process.stop()

    (extracted,) = collector.named("learning.extract")
    assert (extracted.parent, collector.named("learning.intake"), collector.named("learning.emit")) == ("", [], [])


def test_given_a_model_that_fails_then_its_span_says_by_what_and_nothing_that_was_said(
    place: Place, model: OfflineModel, processes: Processes, collector: Collector
) -> None:
    from learning_ops.offline.server import Faults

    model.faults = Faults(rate_500=1)
    started = system(processes, collector)
    with place.machine(user_profile=UserProfileConfig(debounce=0), session_context=False) as machine:
        machine.emit(turn(f"I work at {SECRET}."), user_id="alice", session_id="s1")
        failed = eventually(lambda: collector.named("chat "), "the failed call is sent")
    for process in started:
        process.stop()

    assert (failed[0].failed, failed[0].attributes["error.type"]) == (True, "server_error")
    assert SECRET.encode() not in b"".join(collector.bodies)


def test_given_a_collector_that_is_away_then_work_goes_on_and_ends_in_time(
    place: Place, model: OfflineModel, processes: Processes
) -> None:
    with collecting() as gone:
        pass
    started = system(processes, gone)
    with place.machine(user_profile=UserProfileConfig(debounce=0), session_context=False) as machine:
        receipt = machine.emit(turn("I work at Acme."), user_id="alice", session_id="s1")
        assert machine.settle(receipt, timeout=90) == {"user_profile": "extracted"}
    for process in started:
        process.stop()
        assert process.returncode == 0, process.log_tail(50)
