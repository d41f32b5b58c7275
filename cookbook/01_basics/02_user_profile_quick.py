"""A user profile in a few lines: fields with one value each, and memories for everything else.

Bea tells three things about herself in passing. Her name becomes a field, the rest becomes memories; nobody else has them.
"""

from learning_machine import LearningMachine

TURN = [
    {"role": "user", "content": "My name is Bea Lindgren. I live in Oslo, and I'm allergic to peanuts."},
    {"role": "assistant", "content": "Good to know, Bea."},
]

with LearningMachine(user_profile=True) as machine:
    print(f"Bea: {TURN[0]['content']}\n")
    machine.settle(machine.emit(TURN, user_id="bea", session_id="s1"), timeout=60)

    for user in ("bea", "carl"):
        known = machine.recall(user_id=user)
        print(f"What is known of {user}")
        print(f"  fields    {known.fields}")
        print(f"  memories  {', '.join(known.memories) or 'none'}")
