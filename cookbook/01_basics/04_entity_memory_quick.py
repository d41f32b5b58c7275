"""Entities: what was said of a named thing is found again under its name, whoever asks.

Dan mentions a customer once. Afterwards Eve, who never heard of it, gets facts, dated events and relationships.
"""

from learning_machine import LearningMachine

TURN = [
    {"role": "user", "content": "Acme Corp migrated to PostgreSQL in March 2026 and hired Bob as CTO."},
    {"role": "assistant", "content": "I'll keep that in mind."},
]

with LearningMachine(entity_memory=True) as machine:
    print(f"Dan: {TURN[0]['content']}\n")
    machine.settle(machine.emit(TURN, user_id="dan", session_id="s1"), timeout=60)

    acme = machine.entity("ACME corp")  # names are found in any case
    assert acme is not None
    print(acme)
    for kind, statements in (("facts", acme.facts), ("events", acme.events), ("relationships", acme.relationships)):
        print(f"  {kind}: {'; '.join(statements)}")

    print("\nThe prompt of Eve's agent:")
    print(machine.recall(user_id="eve").context)
