"""From emit to recall, through real processes."""

from harness import Place, Processes, turn
from learning_ops.offline.server import OfflineModel


def test_given_the_whole_system_when_a_user_says_who_they_are_then_another_session_knows(
    place: Place, model: OfflineModel, processes: Processes
) -> None:
    processes.dispatcher()
    processes.worker()
    with place.machine() as machine:
        receipt = machine.emit(turn("I'm Alice, I work at Netflix."), user_id="alice", session_id="s1")

        states = machine.settle(receipt, timeout=60)

        assert states == {"user_profile": "extracted", "session_context": "extracted"}
        recalled = machine.recall(user_id="alice", session_id="s2")
        assert recalled.fields == {"name": "Alice"}
        assert recalled.memories == ("Works at Netflix",)
        assert recalled.unprocessed == ()
        assert recalled.models == ("offline-rules-1",)
        assert "Works at Netflix" in recalled.context
