"""A coding assistant: it keeps a developer's habits and the repository's rules, and both outlast the session.

Session 1: Ada says how she works. Session 2: the build breaks, and what was the matter is kept for everybody in the repository.
Session 3, weeks later: Ada starts on something new, and Bo, new in the repository, does not break the build.
"""

from secrets import token_hex

from agent import Agent  # cookbook/agent.py

from learning_machine import LearnedKnowledgeConfig, LearningMachine

FIRST = [
    {"role": "user", "content": "I'm Ada. I prefer pytest over unittest, and I prefer small commits."},
    {"role": "assistant", "content": "Understood: pytest, small commits."},
]
BROKEN_BUILD = [
    {"role": "user", "content": "The build is red again after my change to the schema, and I don't see why."},
    {
        "role": "assistant",
        "content": "The generated client was stale. Lesson learned: always regenerate the API client before you push a schema.",
    },
]

with LearningMachine(
    name="pair",
    tenant=f"shop-{token_hex(3)}",
    user_profile=True,
    # Read out of conversations, and live at once, because everybody in this namespace is trusted: it is one repository's.
    learned_knowledge=LearnedKnowledgeConfig(
        mode="ALWAYS", enable_agent_tools=True, namespace="repo:shop", wider_writes="active"
    ),
) as machine:
    agent = Agent.from_env(machine, "You are a pair programmer.")
    for number, turn in enumerate((FIRST, BROKEN_BUILD), start=1):
        states = machine.settle(machine.emit(turn, user_id="ada", session_id=f"session-{number}"), timeout=60)
        print(f"Session {number}: {turn[-1]['content']}\n  {states}")

    print("\nWhat was learned, and from which words:")
    for learning in reversed(machine.learnings(user_id="ada")):
        print(f'  {learning.store}: {learning.content}\n    "{learning.evidence[0].quote}"')

    print("\nSession 3")
    for user, question in (
        ("ada", "Write me a test: do I prefer pytest or unittest?"),
        ("bo", "Do I prefer pytest or unittest?"),
        ("bo", "How should I push a schema?"),
    ):
        print(f"  {user.title()}: {question}\n  Agent: {agent.reply(question, user_id=user, session_id=f'{user}-3')}")
