"""ALWAYS: workers find lessons in what people say; one person's word is not enough to teach everybody.

Zoe's lesson waits until Adam, in a conversation of his own, says the same. Then Beth has it, with both as evidence. With
`wider_writes="proposed"` a person decides instead; "active" trusts at once.
"""

from secrets import token_hex

from learning_machine import LearnedKnowledgeConfig, LearningMachine

SAID = [
    ("zoe", "We learned that batching writes halves the load on the database."),
    ("adam", "It turns out that batching writes halves the load on the database."),
]

ALWAYS = LearnedKnowledgeConfig(mode="ALWAYS", wider_writes="corroborated")  # the latter by default

# A tenant of its own for each run, so that you may run it twice.
with LearningMachine(tenant=f"agreeing-{token_hex(3)}", learned_knowledge=ALWAYS) as machine:
    for user, words in SAID:
        turn = [{"role": "user", "content": words}, {"role": "assistant", "content": "Good to know."}]
        machine.settle(machine.emit(turn, user_id=user, session_id="s1"), timeout=60)
        print(f"{user.title()}: {words}")
        for waiting in machine.proposals():
            print(f"  waits for {waiting.awaits}: {waiting.content}")
        taught = machine.recall(user_id="beth").learnings
        print(f"  Beth's agent has: {', '.join(each.content for each in taught) or 'nothing'}\n")

    for insight in machine.learnings(store="learned_knowledge"):
        print(f"Why it is believed: {insight.content}")
        for evidence in insight.evidence:
            print(f"  {evidence.user_id}: “{evidence.quote}”")
