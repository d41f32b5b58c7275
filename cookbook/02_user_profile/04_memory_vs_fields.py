"""Fields or memories? A field has one value, which the next one replaces; memories stand beside each other.

Ivo gives his name twice and his likes twice. The name is a field, so the second one counts; the likes are two memories.
Make a field of what your code looks up by name; leave to memories what only the model reads.
"""

from secrets import token_hex

from learning_machine import LearningMachine

SAID = [
    "Please call me Iv. I love cycling.",
    "Please call me Ivo. I love chess.",
]

# A tenant of its own for each run, so that you may run it twice.
with LearningMachine(tenant=f"fields-{token_hex(3)}", user_profile=True) as machine:
    for number, words in enumerate(SAID):
        turn = [{"role": "user", "content": words}, {"role": "assistant", "content": "Sure."}]
        machine.settle(machine.emit(turn, user_id="ivo", session_id=f"s{number}"), timeout=60)
        known = machine.recall(user_id="ivo")
        print(f"Ivo: {words}")
        print(f"  fields    {known.fields}")
        print(f"  memories  {', '.join(sorted(known.memories))}")

    # To code a field is a value by its name, to the model it is a line like any other.
    print(f"\nHello {machine.recall(user_id='ivo').fields['preferred_name']}!")
    print("What is no more:")
    for learning in machine.learnings(user_id="ivo", status="retired"):
        print(f"  {learning.kind} {learning.content!r}: {learning.retired_reason}")
