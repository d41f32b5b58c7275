"""A team's knowledge: the agent proposes, a person decides, the team has it, and what proves good becomes everybody's.

Alice's incident teaches two lessons, one of them bad. Ann, who looks after the team's knowledge, approves the one and rejects
the other. Bob of the same team has the lesson then; Zoe of another team has it once Ann has promoted it.
"""

from secrets import token_hex

from agent import Agent  # cookbook/agent.py

from learning_machine import LearnedKnowledgeConfig, LearningMachine

RUN = token_hex(3)
QUESTION = "How should I rotate database passwords?"


def team(name: str) -> LearningMachine:
    """One team's machine: it writes to its own namespace, and reads everybody's too."""
    knowledge = LearnedKnowledgeConfig(mode="PROPOSE", namespace=name, also_reads=["global"])
    return LearningMachine(name=name, tenant=f"teams-{RUN}", learned_knowledge=knowledge)


with team("payments") as payments, team("search") as search:
    agents = {"payments": Agent.from_env(payments), "search": Agent.from_env(search)}

    def ask(user: str, of: str, text: str, session: str) -> None:
        """One turn with the agent of a team."""
        print(f"  {user} ({of}): {text}\n  Agent: {agents[of].reply(text, user_id=user.lower(), session_id=session)}")

    print("After the incident")
    ask("Alice", "payments", "Save this lesson: drain the connection pool before you rotate database passwords.", "s1")
    ask("Alice", "payments", "Save this lesson: restart everything at once when passwords rotate.", "s1")
    print("Nobody is shown a proposal:")
    ask("Bob", "payments", QUESTION, "s2")

    print("\nAnn decides")
    for proposal in payments.proposals():
        if "restart everything" in proposal.content.casefold():
            payments.reject(proposal.id, by="ann@acme.example", reason="takes the site down")
        else:
            approved = payments.approve(proposal.id, by="ann@acme.example")
    for each in payments.learnings(store="learned_knowledge", status="all"):
        print(f"  {each.status}, decided by {each.decided_by}: {each.content}")

    print("\nThe next day")
    ask("Bob", "payments", QUESTION, "s3")
    ask("Zoe", "search", QUESTION, "s4")

    promoted = payments.promote(approved.id, "global", by="ann@acme.example")
    print(f"\nPromoted to {promoted.namespace} by Ann")
    ask("Zoe", "search", QUESTION, "s5")
