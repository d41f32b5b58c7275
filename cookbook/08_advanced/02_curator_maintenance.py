"""The curator at work: what it would do, what it did, and how to take it back.

A policy keeps four memories of a user. Seven are said, and two more come by a tool, one of which repeats another in other
writing. `deduplicate` merges these two; `prune` ends what is beyond four, first as a dry run; and `undo` brings back what prune
ended. By itself the curator does all of it every night; here its commands are called, by an operator.
"""

import json
import subprocess
import sys
from secrets import token_hex
from typing import Any

from learning_machine import LearningMachine, Prune, UserProfileConfig

SAID = "I love jazz. I love chess. I love hiking. I love ramen. I love cycling. I love baking. I love opera."
TENANT = f"curated-{token_hex(3)}"


def command(*words: str) -> Any:
    """What `learning-machine …` answers, as an operator would call it."""
    print(f"\n$ learning-machine {' '.join(words)}")
    called = [sys.executable, "-m", "learning_ops.main", *words, "--tenant", TENANT, "--json"]
    return json.loads(subprocess.run(called, check=True, capture_output=True, text=True).stdout)


def curate(job: str, *words: str) -> str:
    """Run one job for the profiles; says what it did and gives the run's id."""
    (run,) = command("curate", job, "--store", "user_profile", *words)
    verb = "would have changed" if run["dry_run"] else "changed"
    why = ", ".join(f"{name} {count}" for name, count in run["report"].items())
    print(f"  looked at {run['looked_at']}, {verb} {run['changed']}{f' ({why})' if why else ''}")
    return str(run["id"])


with LearningMachine(
    tenant=TENANT, user_profile=UserProfileConfig(enable_agent_tools=True, prune=Prune(max_count=4))
) as machine:

    def show() -> None:
        """The memories that are live."""
        live = [learning.content for learning in machine.learnings(user_id="uma", kind="memory")]
        print(f"  {len(live)} memories: {', '.join(reversed(live))}")

    machine.settle(machine.emit([{"role": "user", "content": SAID}], user_id="uma", session_id="s1"), timeout=60)
    save = {tool.name: tool for tool in machine.tools(user_id="uma")}["save_memory"]
    print(save(content="Collects stamps"), save(content='Likes "jazz"'))
    show()

    curate("deduplicate")
    show()
    curate("prune", "--dry-run")
    show()
    run = curate("prune")
    show()
    for learning in machine.learnings(user_id="uma", status="retired")[:2]:
        print(f"  {learning.content} is over: {learning.retired_reason}")
    command("undo", "--run", run, "--yes")
    show()
