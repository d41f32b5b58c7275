"""An onboarding agent: a newcomer's plan survives the week, and what the last newcomer stumbled over helps this one.

In spring Paul is held up, and the way round is kept. In autumn Noor begins: a plan is made on Monday, and a step done on
Tuesday. On Thursday the chat has been cleared (the agent holds no history at all), and Noor goes on where she was.
"""

from secrets import token_hex

from agent import Agent  # cookbook/agent.py

from learning_machine import LearningMachine, SessionContextConfig

SPRING = "Save this lesson: always ask Facilities for a token before you request VPN access."
MONDAY = [
    {"role": "user", "content": "I'm Noor, I work as a data engineer. I want to get my first change into production."},
    {
        "role": "assistant",
        "content": "Here is your plan:\n1. Set up the laptop\n2. Request VPN access\n3. Pick a ticket\n4. Open a pull request",
    },
]
TUESDAY = [
    {"role": "user", "content": "Step 1 is done."},
    {"role": "assistant", "content": "Well done, Noor."},
]

with LearningMachine(
    name="onboarding",
    tenant=f"onboarding-{token_hex(3)}",
    user_profile=True,
    session_context=SessionContextConfig(enable_planning=True),
    learned_knowledge=True,
) as machine:
    spring = Agent.from_env(machine).reply(SPRING, user_id="paul", session_id="paul-starts")
    print(f"Spring, Paul: {SPRING}\n  → {spring}")

    for day, turn in (("Monday", MONDAY), ("Tuesday", TUESDAY)):
        print(f"{day}, Noor: {turn[0]['content']}")
        machine.settle(machine.emit(turn, user_id="noor", session_id="noor-starts"), timeout=60)

    agent = Agent.from_env(machine)  # a new process, with an empty history; the session is the same
    for question in (
        "What is my plan, after I set up the laptop?",
        "Which step have I done?",
        "How should I request VPN access?",
    ):
        print(f"Thursday, Noor: {question}\n  → {agent.reply(question, user_id='noor', session_id='noor-starts')}")

    print("\nWhat the session remembers:")
    for part in machine.learnings(user_id="noor", session_id="noor-starts", store="session_context"):
        print(f"  {part.kind:9} {part.content}")
