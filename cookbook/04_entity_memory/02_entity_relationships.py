"""Relationships: entities are tied to each other, and what is asked of one leads to the next.

Three sentences, by two users, make a small graph. Asked for a person, the machine finds the company that bought the one
where that person works: two steps away, and nobody said it in one sentence.
"""

from learning_machine import LearningMachine

SAID = [
    ("pia", "Maria is a data engineer at Northwind."),
    ("pia", "Globex Inc acquired Northwind in March 2026."),
    ("quinn", "The CEO of Globex Inc is Peter Hansen."),
]

with LearningMachine(entity_memory=True) as machine:
    for user, words in SAID:
        turn = [{"role": "user", "content": words}, {"role": "assistant", "content": "I see."}]
        machine.settle(machine.emit(turn, user_id=user, session_id="s1"), timeout=60)
        print(f"{user.title()}: {words}")

    maria = machine.entity("Maria", hops=3)
    assert maria is not None
    print(f"\nStep by step from {maria}:")
    for each in (maria, *maria.neighbours):
        print(f"  {each.distance}  {each}: {'; '.join(each.relationships)}")
