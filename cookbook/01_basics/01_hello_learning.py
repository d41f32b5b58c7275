"""A second session remembers what the first one was told.

Ann says on Monday who she is. On Tuesday, in another session, it is in the agent's prompt, and each thing that is
remembered shows the words of hers that it stands on.
"""

from learning_machine import LearningMachine

MONDAY = [
    {"role": "user", "content": "My name is Ann. I work at Initech, and I prefer short answers."},
    {"role": "assistant", "content": "Welcome, Ann."},
]

with LearningMachine() as machine:
    # After the answer: one round trip to Redis. Workers read the turn later.
    receipt = machine.emit(MONDAY, user_id="ann", session_id="monday")
    print(f"Monday, Ann: {MONDAY[0]['content']}")

    # An agent never waits. A script that shows what was learned does.
    print(f"Workers: {machine.settle(receipt, timeout=60)}\n")

    # Before the next model call: one round trip to Postgres.
    print("Tuesday, the agent's prompt:")
    print(machine.recall(user_id="ann", session_id="tuesday").context)

    print("\nLearned from:")
    for learning in machine.learnings(user_id="ann", store="user_profile"):
        print(f"  {learning.content} ← “{learning.evidence[0].quote}”")
