"""The two stores of `LearningMachine()`: who the user is goes with them everywhere, what a session is about stays in it.

Maya says who she is and what she is up to. The same session knows both, another session of hers knows her, and a
session of somebody else's knows neither.
"""

from secrets import token_hex

from learning_machine import LearningMachine, SessionContextConfig

TURN = [
    {
        "role": "user",
        "content": "I'm Maya, I work at Globex. I want to migrate the sales reports to the new warehouse.",
    },
    {"role": "assistant", "content": "First copy the tables, then rewrite the queries, then retire the old jobs."},
]
PROGRESS = [
    {"role": "user", "content": "Step 1 is done."},
    {"role": "assistant", "content": "Good. The queries are next."},
]


def show(title: str, machine: LearningMachine, user_id: str, session_id: str) -> None:
    """What the next prompt of that session would be told."""
    print(title)
    for learning in machine.recall(user_id=user_id, session_id=session_id).learnings:
        print(f"  {learning.store:16} {learning.kind:9} {learning.content}")
    print()


# A tenant of its own for each run, so that you may run it twice.
with LearningMachine(
    tenant=f"combined-{token_hex(3)}", user_profile=True, session_context=SessionContextConfig(enable_planning=True)
) as machine:
    machine.emit(TURN, user_id="maya", session_id="reports")
    receipt = machine.emit(PROGRESS, user_id="maya", session_id="reports")
    machine.settle(receipt, timeout=60)

    show("Maya, in the same session: the person and the task", machine, "maya", "reports")
    show("Maya, in another session: the person", machine, "maya", "lunch")
    show("Noor, in a session of her own: nothing", machine, "noor", "reports-2")
