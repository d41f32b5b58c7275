"""Learned knowledge: one user teaches, another benefits.

Ann has the agent save a lesson, which is a call of its tool `save_learning`. Ben, another user in another session, meets
the same task: the lesson is in his agent's prompt, and the agent finds it when it searches.
"""

from agent import Agent  # cookbook/agent.py: recall, ask the model with tools, emit

from learning_machine import LearningMachine

LESSON = "Save this lesson: always pin the base image when you build containers."
QUESTION = "How should I build containers?"

with LearningMachine(learned_knowledge=True) as machine:
    agent = Agent.from_env(machine)
    print(f"Ann:   {LESSON}")
    print(f"Agent: {agent.reply(LESSON, user_id='ann', session_id='a1')}\n")

    print("Ben's agent starts from:")
    print(machine.recall(QUESTION, user_id="ben", session_id="b1").context)

    print(f"\nBen:   {QUESTION}")
    print(f"Agent: {agent.reply(QUESTION, user_id='ben', session_id='b1')}")
