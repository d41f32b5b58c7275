"""Learning on a small budget: calls, tokens and cost beside one call a turn and store, measured in this run.

The same conversation of sixteen turns is had twice, with three stores. Once every turn is extracted by itself, for each store;
once as the machine does it by default: turns that follow each other are read together, when the user pauses. Expect the
recorded calls of both, with their ratios, and that the same is remembered.
"""

import json
import subprocess
import sys
from secrets import token_hex

from learning_machine import EntityMemoryConfig, LearningMachine, SessionContextConfig, UserProfileConfig

TENANT = f"costs-{token_hex(3)}"
INPUT, CACHED, OUTPUT = 0.25, 0.025, 2.0  # US dollars for a million tokens: gpt-5-mini's; look up what yours costs
PAUSES = (8, 16)  # after these turns the user is away for a while
SAID = """I'm Lea and I work at Globex. Can you help me with the rollout?
We want to move the billing service to Kubernetes.
Acme Corp uses Postgres. Does that matter?
The CTO of Acme Corp is Rita Lopes.
I prefer short answers.
What would you begin with?
Thanks. And after that?
Good. I go for lunch now.
I'm back. Where were we?
I'm allergic to nuts, so no more of that cafeteria.
Acme Corp has 300 employees.
The tables are done.
Which step is next?
I live in Turin, so mornings are best for a call.
Globex acquired Initech in 2024.
That is all for today.""".splitlines()


def converse(user: str, debounce: float) -> tuple[dict[str, float], set[str]]:
    """Have the conversation; gives what the recorded model calls come to, and what is remembered."""
    with LearningMachine(
        tenant=TENANT,
        user_profile=UserProfileConfig(debounce=debounce),
        session_context=SessionContextConfig(debounce=debounce),
        entity_memory=EntityMemoryConfig(debounce=debounce, namespace="user"),
    ) as machine:
        for number, text in enumerate(SAID, start=1):
            words = [{"role": "user", "content": text}, {"role": "assistant", "content": "First tables, then queries."}]
            receipt = machine.emit(words, user_id=user, session_id=f"{user}-1")
            if not debounce or number in PAUSES:
                machine.settle(receipt, timeout=60)
        known = {learning.content for learning in machine.recall(user_id=user, session_id="another").learnings}
    command = [sys.executable, "-m", "learning_ops.main", "cost", "--by", "user", "--tenant", TENANT, "--json"]
    spent = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    (row,) = (row for row in spent["rows"] if row["key"] == user)
    plain, cached, out = row["tokens_input"] - row["tokens_cached"], row["tokens_cached"], row["tokens_output"]
    dollars = (plain * INPUT + cached * CACHED + out * OUTPUT) / 1_000_000
    return {"model calls": row["calls"], "tokens": plain + cached + out, "US cents": 100 * dollars}, known


each, known = converse("eager", debounce=0)
together, known_too = converse("frugal", debounce=2)  # the default
print(f"{len(SAID)} turns, 3 stores   one call a turn and store   read together   ratio")
for what in each:
    print(f"{what:19} {each[what]:26.5g} {together[what]:15.5g} {each[what] / together[what]:6.1f}×")
print(f"{'remembered':19} {len(known):26} {len(known_too):15}   {'the same' if known == known_too else 'not the same'}")
