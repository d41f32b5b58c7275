"""ALWAYS: workers find the named things in every turn, of the user's words and the agent's; each shows whose words it was.

Tess asks about a customer in passing and the agent looks something up. Neither said "remember this". What only the agent
said counts as less sure, and a name that is short for a known one leads to the same entity.
"""

from learning_machine import EntityMemoryConfig, LearningMachine

TURNS = [
    ("Umbrella Corporation (Umbrella) is based in Raleigh. How large are they?", "Umbrella has 120 employees."),
    ("Umbrella hired Sarah as CFO in May 2026.", "Congratulations to her."),
]

with LearningMachine(entity_memory=EntityMemoryConfig(mode="ALWAYS")) as machine:  # its default mode
    for words, answer in TURNS:
        turn = [{"role": "user", "content": words}, {"role": "assistant", "content": answer}]
        machine.settle(machine.emit(turn, user_id="tess", session_id="s1"), timeout=60)
        print(f"Tess:  {words}\nAgent: {answer}\n")

    umbrella = machine.entity("Umbrella")
    print(f"“Umbrella” is {umbrella}\n")
    for learning in reversed(machine.learnings(store="entity_memory")):
        if learning.kind in ("fact", "property", "event"):
            who = "Tess" if (learning.confidence or 0) > 0.8 else "the agent"
            print(f"{learning.about}: {learning.content} ← {who}: “{learning.evidence[0].quote}”")
