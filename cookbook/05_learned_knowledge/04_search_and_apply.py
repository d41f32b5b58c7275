"""Search and apply: what matters most to a task comes first, with the reason why it was found.

Four lessons are there. A search shows the ranking: `text` for the words that a lesson shares with the query, and `vector` for
the likeness of the embeddings, as soon as these are made. An agent that is given the task finds and applies the best ones.
"""

from agent import Agent  # cookbook/agent.py

from learning_machine import LearningMachine

LESSONS = [
    ("Flaky login test", "Retry the login test once before you call the build broken"),
    ("Slow imports", "Sort the input before a large import, it halves the time"),
    ("Vendor API", "The vendor API cuts long descriptions without saying so"),
    ("Large exports", "Write large exports to a file and send a link, never the rows"),
]
TASK = "How do I speed up a large import?"

with LearningMachine(learned_knowledge=True) as machine:
    for title, learning in LESSONS:
        machine.add(title=title, learning=learning, by="cleo@acme.example")

    print(f"Search: {TASK}")
    for found in machine.search(TASK, user_id="dean", limit=2):
        why = ", ".join(f"{name} {value:.2f}" for name, value in found.why.items())
        print(f"  {found.score:5.2f}  {found.learning.content}  ({why})")

    agent = Agent.from_env(machine)
    print(f"\nDean:  {TASK}")
    print(f"Agent: {agent.reply(TASK, user_id='dean', session_id='s1')}")
