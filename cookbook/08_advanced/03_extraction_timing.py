"""When to extract: before the answer, beside it, after it, or at the session's end. Freshness against cost.

Four users have the same session: three turns, a pause, three turns. Expect a line for each way: how long its turns waited for
memory, from when on what was said was learned, and what the model calls were. In all four ways the next prompt has what was
said a moment ago, as it was said, until it is learned.
"""

import json
import subprocess
import sys
import time
from secrets import token_hex

from learning_machine import LearningMachine, UserProfileConfig

TENANT = f"timing-{token_hex(3)}"
MORNING = ("I love jazz.", "I love chess.", "I live in Turin.")
AFTERNOON = ("I work at Globex.", "I'm allergic to nuts.", "I prefer short answers.")
WAYS = {
    "before": UserProfileConfig(debounce=0),  # the user's words go first, and the turn waits until they are learned
    "beside": UserProfileConfig(debounce=0),  # the user's words go first, and are learned while the agent answers
    "after": UserProfileConfig(),  # the default: two seconds after the last turn, all that came until then at once
    "at the end": UserProfileConfig(trigger="session_end"),
}


def session(machine: LearningMachine, way: str) -> tuple[float, str]:
    """A user's session; gives seconds that its turns waited, and from when on what is said is learned."""
    waited, said, learned = 0.0, 0, ""

    def look(moment: str) -> None:
        nonlocal learned
        recalled = machine.recall(user_id=way)
        assert len(recalled.learnings) + len(recalled.unprocessed) >= said, "nothing that was said is ever missing"
        learned = learned or (moment if len(recalled.learnings) >= said else "")

    for part in (MORNING, AFTERNOON):
        for text in part:
            said, began = said + 1, time.monotonic()
            receipt = machine.emit([{"role": "user", "content": text}], user_id=way, session_id="s1")
            if way == "before":
                machine.recall(user_id=way, wait_for=receipt, deadline=30)
            waited += time.monotonic() - began
            if way in ("before", "beside"):
                look("this turn")
            if way == "beside":
                machine.settle(receipt, timeout=60)  # while the agent answers and the user reads: no turn waits for it
            look("the next turn")
        if way != "at the end":
            machine.settle(receipt, timeout=60)  # a pause that is longer than the debounce
        look("after a pause")
    bye = machine.emit([{"role": "user", "content": "Bye."}], user_id=way, session_id="s1", end_of_session=True)
    machine.settle(bye, timeout=60)
    look("the next session")
    return waited, learned


print("extraction  turns waited  learned for       model calls  tokens")
for way, config in WAYS.items():
    with LearningMachine(tenant=TENANT, user_profile=config) as machine:
        waited, learned = session(machine, way)
    command = [sys.executable, "-m", "learning_ops.main", "cost", "--by", "user", "--tenant", TENANT, "--json"]
    spent = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    (row,) = (row for row in spent["rows"] if row["key"] == way)
    tokens = row["tokens_input"] + row["tokens_output"]
    print(f"{way:10}  {waited * 1000:9.0f} ms  {learned:16}  {row['calls']:11}  {tokens:6}")
