"""AGENTIC: the agent saves an insight when it is worth it, and searches before a task that others may have met.

Vera only mentions a lesson, and nothing is kept. When she asks for it to be saved, the agent calls `save_learning`, and
Will's agent finds it with `search_learnings`. `machine.instructions()` tells a model when to do which.
"""

from agent import Agent  # cookbook/agent.py

from learning_machine import LearnedKnowledgeConfig, LearningMachine

TALK = [
    ("vera", "Retries without jitter make an outage worse."),
    ("vera", "Save this lesson: always add jitter to retries when a service is overloaded."),
    ("will", "How should I write retries?"),
]

with LearningMachine(learned_knowledge=LearnedKnowledgeConfig(mode="AGENTIC")) as machine:  # its default mode
    print("Tools:", ", ".join(tool.name for tool in machine.tools(user_id="vera")), "\n")

    agent = Agent.from_env(machine)
    for user, words in TALK:
        print(f"{user.title()}:  {words}")
        print(f"Agent: {agent.reply(words, user_id=user, session_id='s1')}\n")

    for insight in machine.learnings(store="learned_knowledge"):
        saved = insight.evidence[0]
        print(f"Kept: {insight.data['title']} (tags {', '.join(insight.data['tags'])})")
        print(f"      {saved.action}, called for {saved.user_id}")
