"""A session's context: what this conversation is about, for the turns to come of it, and for no other session.

Cora plans a move in one session. That session's next prompt knows what was said; her other session starts afresh.
"""

from learning_machine import LearningMachine

TURN = [
    {"role": "user", "content": "I want to move our database to a new region."},
    {"role": "assistant", "content": "How large is the database?"},
]

with LearningMachine(session_context=True) as machine:
    for message in TURN:
        print(f"{message['role']}: {message['content']}")
    machine.settle(machine.emit(TURN, user_id="cora", session_id="move"), timeout=60)

    for session in ("move", "lunch"):
        print(f"\nThe next prompt of session {session!r}:")
        print(machine.recall(user_id="cora", session_id=session).context or "(nothing)")
