"""A running summary: it is replaced as a whole after each turn, and each one builds on the one before.

Kim works on a report. After every turn there is one summary of the session, never a growing pile of them; the old ones are
kept as history.
"""

from secrets import token_hex

from learning_machine import LearningMachine

TURNS = [
    ("Our report takes an hour to run.", "Most of that is the join over all orders."),
    ("Then join only the orders of this month.", "That brings it down to four minutes."),
    ("Perfect, put it into the nightly job.", "It runs at two in the morning from now on."),
]

# A tenant of its own for each run, so that you may run it twice.
with LearningMachine(tenant=f"summary-{token_hex(3)}", session_context=True) as machine:
    for words, answer in TURNS:
        turn = [{"role": "user", "content": words}, {"role": "assistant", "content": answer}]
        machine.settle(machine.emit(turn, user_id="kim", session_id="report"), timeout=60)
        (summary,) = machine.learnings(user_id="kim", session_id="report", kind="summary")
        print(f"Kim: {words}")
        print(f"  summary, {len(summary.content)} characters: …{summary.content[-60:]}\n")

    print("The next prompt:")
    print(machine.recall(user_id="kim", session_id="report").context)
    replaced = machine.learnings(user_id="kim", session_id="report", kind="summary", status="retired")
    print(f"\nSummaries that it took the place of: {len(replaced)}")
