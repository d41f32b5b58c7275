"""Continuity: the prompt has room for the last two messages only, and nothing is lost.

Max plans a party. When he asks for what he said at the beginning, it is long gone from the messages that the agent sends
along, and the session's context still has it.
"""

from textwrap import shorten

from agent import Agent  # cookbook/agent.py

from learning_machine import LearningMachine

TURNS = [
    ("The budget for the party is 900 euros.", "Noted."),
    ("We expect thirty guests.", "That is a good size."),
    ("The garden is free on the second Saturday of June.", "I'll put it into the calendar."),
]
KEPT = 2
QUESTION = "What is the budget for the party?"

with LearningMachine(session_context=True) as machine:
    agent = Agent.from_env(machine)
    history = agent.sessions[("max", "party")] = []
    for words, answer in TURNS:
        turn = [{"role": "user", "content": words}, {"role": "assistant", "content": answer}]
        history += turn
        print(f"Max:   {words}")
        machine.settle(machine.emit(turn, user_id="max", session_id="party"), timeout=60)
    del history[:-KEPT]

    print(f"\nSent along: {' / '.join(message['content'] for message in history)}")
    remembered = machine.recall(user_id="max", session_id="party").learnings[0].content
    print(f"From memory: {shorten(remembered, 100, placeholder=' …')}\n")

    print(f"Max:   {QUESTION}")
    print(f"Agent: {shorten(agent.reply(QUESTION, user_id='max', session_id='party'), 100, placeholder=' …')}")
