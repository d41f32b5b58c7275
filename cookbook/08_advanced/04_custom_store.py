"""A store of one's own at work: a team's decisions, with their reasoning, the alternatives, and what came of them.

The store is `decision_log.py` beside this file. Dispatcher and workers have to have it, so `up` is told where it is:

    PYTHONPATH=cookbook/08_advanced LEARNING_STORES=decision_log:DecisionLogStore learning-machine up

and then, in the same directory in another terminal:

    python cookbook/08_advanced/04_custom_store.py

or, in one command, with the same two variables: `learning-machine run cookbook/08_advanced/04_custom_store.py`. No key is
needed: the offline model has a few patterns for decisions. docs/custom-stores.md explains the store.
"""

from secrets import token_hex

from decision_log import DecisionLogStore
from learning_machine import CustomStoreConfig, LearningMachine

KICKOFF = [
    {"role": "user", "content": "We decided to use Postgres instead of MongoDB because we need transactions."},
    {"role": "assistant", "content": "Good: I'll plan the schema for that."},
]
REVIEW = [
    {"role": "user", "content": "It turned out that Postgres handles the load with room to spare."},
    {"role": "assistant", "content": "Glad to hear it."},
]

log = CustomStoreConfig(store=DecisionLogStore, namespace="platform-team", debounce=0, enable_agent_tools=True)

with LearningMachine(name="planner", tenant=f"platform-{token_hex(3)}", stores=[log]) as machine:
    print(f"tenant {machine.tenant}\n")
    # ALWAYS: workers read what is said, whoever says it.
    machine.settle(machine.emit(KICKOFF, user_id="ada", session_id="kickoff"), timeout=60)
    states = machine.settle(machine.emit(REVIEW, user_id="bob", session_id="review"), timeout=60)
    print(f"Ada's decision and Bob's outcome: {states['decision_log']}\n")

    # Its tool, for what the agent itself decides; an outcome is added later by the same words.
    (record_decision,) = machine.tools(user_id="carol", session_id="standup")
    print(record_decision.name, "→", record_decision(decision="Meet at 10:00", reasoning="of the time zones"))
    print(record_decision.name, "→", record_decision(decision="Meet at 10:00", outcome="nobody is late any more"), "\n")

    # Anybody of the team is told, in any session.
    print(machine.recall(user_id="dave", session_id="first-day").context, "\n")

    # And each decision says how it came to be: every row that it had, and the words that these stand on.
    for learning in machine.learnings(store="decision_log"):
        print(learning.data["decision"])
        for row in machine.history(learning.id):
            for evidence in row.evidence:
                print(f"  {row.status}, by {evidence.action or evidence.user_id}: {evidence.quote or row.content}")
