"""A turn that follows at once misses nothing: what is said and not extracted yet is recalled, marked."""

from typing import Any

from harness import eventually, turn
from learning_machine import LearningMachine, Recall

SAID = "I'm Alice, I work at Netflix"


def assert_marked(recalled: Recall) -> None:
    assert [message.content for message in recalled.unprocessed] == [SAID]
    assert recalled.learnings == ()
    assert recalled.pending == 1
    marked = recalled.context.split("not processed yet", 1)[1]
    assert "Alice" in marked
    assert "Netflix" in marked


def test_given_no_worker_and_no_dispatcher_when_recalled_in_another_session_straight_after_then_it_is_there_marked(
    own_system: Any,
) -> None:
    with own_system.place.machine() as machine:
        machine.emit(turn(SAID), user_id="alice", session_id="s1")

        assert_marked(machine.recall(user_id="alice", session_id="s2"))
        assert machine.recall(user_id="bob", session_id="s2").context == ""
        assert machine.for_tenant("acme").recall(user_id="alice", session_id="s2").context == ""


def test_given_no_worker_when_intake_has_taken_it_in_then_every_machine_recalls_it_marked_until_it_is_extracted(
    own_system: Any,
) -> None:
    system = own_system
    system.processes.dispatcher()
    with system.place.machine() as machine, system.place.machine() as other:
        receipt = machine.emit(turn(SAID), user_id="alice", session_id="s1")
        eventually(lambda: other.recall(user_id="alice", session_id="s2").pending == 1, "intake")

        for each in (machine, other):
            assert_marked(each.recall(user_id="alice", session_id="s2"))  # once, though both places have it
        assert other.recall(user_id="alice").processed_through is not None

        system.processes.worker()
        machine.settle(receipt, timeout=60)
        for each in (machine, other):
            recalled = each.recall(user_id="alice", session_id="s2")
            assert recalled.unprocessed == ()
            assert recalled.fields == {"name": "Alice"}
            assert recalled.memories == ("Works at Netflix",)


def test_given_redis_is_out_of_reach_when_emitted_then_the_event_goes_to_postgres_and_is_extracted_all_the_same(
    own_system: Any,
) -> None:
    system = own_system
    with LearningMachine(database_url=system.place.app_url, redis_url="redis://127.0.0.1:9/0") as machine:
        receipt = machine.emit(turn(SAID), user_id="alice", session_id="s1")
        assert receipt.via == "postgres"
        assert_marked(machine.recall(user_id="alice", session_id="s2"))
        with system.place.machine() as other:
            assert_marked(other.recall(user_id="alice", session_id="s2"))

        system.processes.dispatcher()
        system.processes.worker()

        assert machine.settle(receipt, timeout=60)["user_profile"] == "extracted"
        assert machine.recall(user_id="alice").fields == {"name": "Alice"}


def test_given_planning_when_a_session_goes_on_then_goal_plan_and_progress_build_on_what_was_known(
    own_system: Any,
) -> None:
    from learning_machine import SessionContextConfig

    system = own_system
    system.processes.dispatcher()
    system.processes.worker("session_context")
    with system.place.machine(
        session_context=SessionContextConfig(enable_planning=True, debounce=0), user_profile=False
    ) as machine:

        def say(text: str) -> dict[str, Any]:
            receipt = machine.emit(turn(text), user_id="alice", session_id="s1", history="delta")
            machine.settle(receipt, timeout=60)
            recalled = machine.recall(user_id="alice", session_id="s1")
            return {learning.kind: learning for learning in recalled.learnings}

        first = say("My goal is to renew my passport. First fill in the form, then take a photo, then book a slot.")
        say("Step 1 is done.")
        last = say("Step 2 is done.")

    assert first["plan"].data["steps"] == ["Fill in the form", "Take a photo", "Book a slot"]
    assert last["plan"].data == first["plan"].data
    assert last["goal"].content == first["goal"].content
    assert last["progress"].data["steps"] == ["Step 1: Fill in the form", "Step 2: Take a photo"]
    assert "passport" in last["summary"].content  # built on the one before
