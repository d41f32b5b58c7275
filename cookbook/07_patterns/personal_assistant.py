"""A personal assistant: it remembers what it hears, what it is told to remember, and forgets what it is told to forget.

Monday: small talk, from which an allergy and two likes are kept. Wednesday: Mo says outright what to remember, and takes one of
Monday's likes back. Saturday: a train and a table are booked by what is left, in a session of its own.
"""

from secrets import token_hex

from agent import Agent  # cookbook/agent.py

from learning_machine import LearningMachine, UserProfileConfig

MONDAY = [
    {"role": "user", "content": "I'm Mo. I'm allergic to peanuts, I love jazz and I like window seats."},
    {"role": "assistant", "content": "Good to know, Mo."},
]

with LearningMachine(
    name="assistant",
    tenant=f"home-{token_hex(3)}",
    user_profile=UserProfileConfig(enable_agent_tools=True),  # heard in the background, and told by tools
) as machine:
    agent = Agent.from_env(machine, "You are a personal assistant.")

    def say(day: str, text: str) -> None:
        """One turn."""
        print(f"{day}, Mo: {text}\n  → {agent.reply(text, user_id='mo', session_id=day)}")

    print(f"Monday, Mo: {MONDAY[0]['content']}")
    machine.settle(machine.emit(MONDAY, user_id="mo", session_id="Monday"), timeout=60)

    say("Wednesday", "Remember that I prefer trains over flights.")
    say("Wednesday", "Forget that I like window seats.")

    assert agent.receipt is not None
    machine.settle(agent.receipt, timeout=60)
    say("Saturday", "Do I like window seats?")
    say("Saturday", "Do I prefer trains or flights?")
    say("Saturday", "What am I allergic to?")

    print("\nWhat is remembered of Mo, and since which words:")
    for memory in machine.learnings(user_id="mo", status="all"):
        why = memory.evidence[0]
        print(f"  {memory.status:8} {memory.content:32} {why.quote or why.action}")
