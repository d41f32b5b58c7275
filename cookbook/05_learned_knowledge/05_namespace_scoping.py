"""Scoping: an insight starts with one user, is promoted to the team, and then to everybody.

Each user's agent writes to the namespace "user" and reads wider ones: Emil and Fritz that of their team, Gina of another
team only "global". `promote` copies an insight with its evidence, in the name of whoever vouches for it.
"""

from secrets import token_hex

from learning_machine import LearnedKnowledgeConfig, LearningMachine

TENANT = f"scoping-{token_hex(3)}"  # of its own for each run, so that you may run it twice
payments = LearningMachine(
    name="payments",
    tenant=TENANT,
    learned_knowledge=LearnedKnowledgeConfig(namespace="user", also_reads=["payments", "global"]),
)
design = LearningMachine(
    name="design", tenant=TENANT, learned_knowledge=LearnedKnowledgeConfig(namespace="user", also_reads=["global"])
)
READERS = {"emil": payments, "fritz": payments, "gina": design}


def show(stage: str) -> None:
    """Who has it."""
    having = [user for user, machine in READERS.items() if machine.recall(user_id=user).learnings]
    print(f"{stage:<22} {', '.join(having)}")


with payments, design:
    tools = {tool.name: tool for tool in payments.tools(user_id="emil", session_id="s1")}
    tools["save_learning"](title="Rounding", learning="Round an amount once, at the end of the sum")
    (own,) = payments.learnings(user_id="emil", namespace="user")
    print(f"{own.content}\n")

    show("Emil's agent saved it")
    payments.promote(own.id, "payments", by="emil@acme.example")
    show("promoted to the team")
    wide = payments.promote(own.id, "global", by="lead@acme.example")
    show("promoted to everybody")

    print(f"\nIn {wide.namespace!r} it stands on:")
    for evidence in wide.evidence:
        print(f"  {evidence.action}, {f'by {evidence.by}' if evidence.by else f'for {evidence.user_id}'}")
