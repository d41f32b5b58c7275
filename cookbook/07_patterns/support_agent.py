"""A support agent: what solved one customer's problem solves the next one's, and each customer is known when they come back.

Monday: Kim's export fails, and Raj's too; nobody knows why. Tuesday: Sven of support finds out, and has the agent keep it.
Wednesday: Raj asks again and is helped at once. Friday: Kim writes again, is still known, and is helped as well.
"""

from secrets import token_hex

from agent import Agent  # cookbook/agent.py

from learning_machine import LearnedKnowledgeConfig, LearningMachine

KIM_ON_MONDAY = [
    {"role": "user", "content": "I'm Kim, I work at Hooli. Our CSV export fails. I prefer email over phone calls."},
    {"role": "assistant", "content": "Thank you, Kim. We look into it and write to you."},
]

with LearningMachine(
    name="support",
    tenant=f"hooli-support-{token_hex(3)}",
    user_profile=True,  # a customer's own
    session_context=True,  # a ticket's
    learned_knowledge=LearnedKnowledgeConfig(
        namespace="support"
    ),  # everybody's of support, with tools to save and search
) as machine:
    agent = Agent.from_env(machine, "You are the support agent of a reporting product.")

    def ask(user: str, ticket: str, text: str) -> None:
        """One turn, as it would stand in the ticket."""
        print(f"{user.title()}: {text}\nAgent: {agent.reply(text, user_id=user, session_id=ticket)}\n")

    print("Monday, ticket 1")
    print(f"Kim: {KIM_ON_MONDAY[0]['content']}\n")
    receipt = machine.emit(KIM_ON_MONDAY, user_id="kim", session_id="ticket-1")
    machine.settle(receipt, timeout=60)

    print("Monday, ticket 2")
    ask("raj", "ticket-2", "How should I fix a CSV export that fails?")

    print("Tuesday, inside support")
    ask("sven", "internal", "Save this lesson: split the CSV export by month when it fails above a million rows.")

    print("Wednesday, ticket 2")
    ask("raj", "ticket-2", "How should I fix a CSV export that fails?")

    print("Friday, ticket 3")
    ask("kim", "ticket-3", "Do you call me, or do I prefer email?")
    ask("kim", "ticket-3", "And how should I fix the CSV export that fails?")

    (lesson,) = machine.learnings(store="learned_knowledge")
    print(f"Why the agent knows: {lesson.evidence[0].user_id} had it saved with {lesson.evidence[0].action}.")
