"""Planning: besides the summary a session keeps its goal, the plan, and how far it has got.

Lea names a goal, the agent lays out three steps, and she reports what is done. Whoever continues the session, tomorrow or
another agent, knows which step comes next.
"""

from secrets import token_hex

from learning_machine import LearningMachine, SessionContextConfig

TURNS = [
    (
        "I want to move our nightly reports to a streaming pipeline.",
        "Here is a plan:\n1. List the reports\n2. Build one report as a stream\n3. Switch the old jobs off",
    ),
    ("Step 1 is done. There are eleven reports.", "Then the smallest one is where to start."),
    ("I finished step 2 this morning.", "Good, one is left."),
]

# A tenant of its own for each run, so that you may run it twice.
TENANT = f"planning-{token_hex(3)}"

with LearningMachine(tenant=TENANT, session_context=SessionContextConfig(enable_planning=True)) as machine:
    for words, answer in TURNS:
        turn = [{"role": "user", "content": words}, {"role": "assistant", "content": answer}]
        machine.settle(machine.emit(turn, user_id="lea", session_id="reports"), timeout=60)
        held = {each.kind: each for each in machine.learnings(user_id="lea", session_id="reports")}
        plan, done = (held[kind].data["steps"] if kind in held else [] for kind in ("plan", "progress"))
        print(f"Lea: {words}")
        print(f"  goal      {held['goal'].content}")
        print(f"  plan      {'; '.join(plan)}")
        print(f"  progress  {len(done)} of {len(plan)}: {'; '.join(done) or 'nothing yet'}\n")

    print("The next prompt:")
    print(machine.recall(user_id="lea", session_id="reports").context)
