"""Why is it (not) remembered? history for a learning, trace for an event, status for all; a dead letter is found and replayed.

Ivo changes his employer: the history has both and the words. Then the model begins to refuse (the offline model does so when
told to), and what Ivo says next cannot be extracted: it is dead, but in the log. The model is mended, the dead letter is
replayed, and Ivo's words are learned after all. `learning-machine run` lets its offline model be told; with `up` that takes
LEARNING_OFFLINE_CONTROL=1 in front of it.
"""

import os
import subprocess
import sys
from secrets import token_hex

import httpx

from learning_machine import LearningMachine, Receipt

TENANT = f"debugged-{token_hex(3)}"


def command(*words: str, lines: int | None = None) -> None:
    """An operator's command, with (the first lines of) what it prints."""
    called = [sys.executable, "-m", "learning_ops.main", *words]
    told = subprocess.run(called, check=True, capture_output=True, text=True).stdout.rstrip().splitlines()
    print(f"\n$ learning-machine {' '.join(words)}", *told[:lines], sep="\n")


def let_it_refuse(share: float) -> None:
    """Tell the offline model which share of its answers to refuse."""
    url = os.environ["LEARNING_MODEL_BASE_URL"].removesuffix("/v1") + "/control"
    key = {"Authorization": f"Bearer {os.environ['LEARNING_MODEL_API_KEY']}"}
    told = httpx.post(url, headers=key, json={"rate_refusal": share})
    if told.status_code != httpx.codes.OK:
        raise SystemExit(f"{url} answers {told.status_code}: start `up` with LEARNING_OFFLINE_CONTROL=1")


with LearningMachine(tenant=TENANT, user_profile=True) as machine:

    def say(text: str) -> Receipt:
        """One turn, to its end, whatever that is."""
        receipt = machine.emit([{"role": "user", "content": text}], user_id="ivo", session_id="s1")
        print(f"{text} {machine.settle(receipt, timeout=60)}")
        return receipt

    say("I work at Globex.")
    receipt = say("I work at Hooli now.")
    (employer,) = machine.learnings(user_id="ivo")
    print("\nThe history of what is remembered:")
    for row in machine.history(employer.id):
        until = f", until {row.valid_to:%H:%M:%S}" if row.valid_to else ""
        print(f'  {row.status}: {row.content}, for {row.evidence[0].user_id} said "{row.evidence[0].quote}"{until}')
    command("trace", str(receipt.event_id), "--tenant", TENANT)

    if "LEARNING_MODEL_BASE_URL" not in os.environ:
        raise SystemExit("\nThe second half needs the offline model: no other can be told to refuse.")
    let_it_refuse(1)
    try:
        lost = say("I'm allergic to nuts.")
    finally:
        let_it_refuse(0)
    command("status", lines=1)
    command("dead", "list", "--tenant", TENANT)
    command("dead", "replay", "--event", str(lost.event_id), "--tenant", TENANT, "--yes")
    print(f"\nreplayed: {machine.settle(lost, timeout=60)}; remembered: {machine.recall(user_id='ivo').memories}")
    command("trace", str(lost.event_id), "--tenant", TENANT)
