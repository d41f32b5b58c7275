"""All four stores in one machine, and an agent on top: one conversation, four kinds of memory, used the next day.

Expect what the next prompt is told, under a heading for each kind of memory, and then two answers that stand on it: one from
Leo's own profile, and one from a lesson that Leo taught and Nina needs.
"""

from secrets import token_hex

from agent import Agent  # cookbook/agent.py

from learning_machine import LearningMachine, SessionContextConfig

MONDAY = [
    {
        "role": "user",
        "content": "I'm Leo and I'm allergic to penicillin. We want to open the clinic in Porto. "
        "MedSoft is a company based in Porto. Rita Lopes is the founder of MedSoft.",
    },
    {"role": "assistant", "content": "First the licence, then the rooms, then the staff."},
]

with LearningMachine(
    tenant=f"full-{token_hex(3)}",
    user_profile=True,
    session_context=SessionContextConfig(enable_planning=True),
    entity_memory=True,
    learned_knowledge=True,
) as machine:
    print(f"Leo, monday: {MONDAY[0]['content']}")
    machine.settle(machine.emit(MONDAY, user_id="leo", session_id="monday"), timeout=60)

    agent = Agent.from_env(machine)
    lesson = "Save this lesson: always ask for the licence number before you book a locum."
    print(f"Leo, monday: {lesson}\nAgent: {agent.reply(lesson, user_id='leo', session_id='monday')}\n")

    print(machine.recall(user_id="leo", session_id="monday").context)

    for user, session, text in (
        ("leo", "tuesday", "What am I allergic to?"),
        ("nina", "wednesday", "How should I book a locum?"),
    ):
        print(f"\n{user.title()}, {session}: {text}")
        print(f"Agent: {agent.reply(text, user_id=user, session_id=session)}")
