"""PROPOSE: the agent may only propose, and nobody is shown an insight before a person approves it.

Xena's agent proposes two lessons. Before the decision Yann's agent recalls nothing; afterwards it has the one that was
approved. Who decided, and why, stays on the row.
"""

from secrets import token_hex

from agent import Agent  # cookbook/agent.py

from learning_machine import LearnedKnowledgeConfig, LearningMachine

LESSONS = [
    "Save this lesson: always take a backup before you upgrade Postgres.",
    "Save this lesson: always skip the tests when you are in a hurry.",
]
BY = "ann@acme.example"
# A tenant of its own for each run, so that you may run it twice.
TENANT = f"proposing-{token_hex(3)}"

with LearningMachine(tenant=TENANT, learned_knowledge=LearnedKnowledgeConfig(mode="PROPOSE")) as machine:
    agent = Agent.from_env(machine)
    for words in LESSONS:
        print(f"Xena:  {words}")
        print(f"Agent: {agent.reply(words, user_id='xena', session_id='s1')}")

    print("\nBefore the decision, Yann's agent has:")
    print(machine.recall(user_id="yann", session_id="s1").context or "(nothing)")

    print()
    for proposal in reversed(machine.proposals()):
        if "skip the tests" in proposal.content:
            decided = machine.reject(proposal.id, by=BY, reason="Hurry is when they are needed")
        else:
            decided = machine.approve(proposal.id, by=BY)
        outcome = "approved" if decided.status == "active" else f"rejected: {decided.evidence[-1].quote}"
        print(f"{proposal.content}\n  {outcome}, by {decided.decided_by}")

    print("\nAfter it, Yann's agent has:")
    print(machine.recall(user_id="yann", session_id="s1").context)
