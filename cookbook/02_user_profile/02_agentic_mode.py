"""AGENTIC: the agent decides what to remember of its user, by tools; what it does not keep is not kept.

Gus says two things. Only the one that the agent saves by `save_memory` is there in the next session, and at once: a tool
writes to the database itself, and no worker reads the conversation.
"""

from agent import Agent  # cookbook/agent.py

from learning_machine import LearningMachine, UserProfileConfig

with LearningMachine(user_profile=UserProfileConfig(mode="AGENTIC")) as machine:
    print("Tools:", ", ".join(tool.name for tool in machine.tools(user_id="gus")), "\n")

    agent = Agent.from_env(machine)
    for words in ("I like long walks.", "Remember that I prefer window seats."):
        print(f"Gus:   {words}")
        print(f"Agent: {agent.reply(words, user_id='gus', session_id='monday')}\n")

    question = "Which seats do I prefer?"
    print(f"Gus, on Tuesday: {question}")
    print(f"Agent: {agent.reply(question, user_id='gus', session_id='tuesday')}\n")

    for learning in machine.learnings(user_id="gus", store="user_profile"):
        print(f"Kept: {learning.content} (by {learning.evidence[0].action})")
