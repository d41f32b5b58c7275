"""Facts and events: a fact is so until it is no more, an event happened on a day and stays.

Oda tells about a company. What it uses is a fact; what it did is an event with its date, as exact as her words were.
"""

from secrets import token_hex

from learning_machine import LearningMachine

SAID = [
    "Brightwater Ltd uses Oracle. Brightwater Ltd opened an office in Boston on 3 March 2026.",
    "Brightwater Ltd switched from Oracle to MariaDB in June 2026.",
]

# A tenant of its own for each run, so that you may run it twice.
with LearningMachine(tenant=f"facts-{token_hex(3)}", entity_memory=True) as machine:
    for words in SAID:
        turn = [{"role": "user", "content": words}, {"role": "assistant", "content": "I see."}]
        machine.settle(machine.emit(turn, user_id="oda", session_id="s1"), timeout=60)
        company = machine.entity("Brightwater Ltd")
        assert company is not None
        print(f"Oda: {words}")
        print(f"  facts   {'; '.join(company.facts)}")
        print(f"  events  {'; '.join(company.events)}\n")

    print("Facts that are no more:")
    for fact in machine.learnings(kind="fact", status="retired"):
        print(f"  {fact.about}: {fact.content}, until it was said otherwise on {fact.valid_to:%d %B}")
