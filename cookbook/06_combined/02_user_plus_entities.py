"""The user's profile is the user's own; what is said of the world is everybody's. One conversation feeds both.

Dana tells about herself and about two companies. Her colleague Omar, in his first session, is told of the companies, with
who said it and in which words, and learns nothing about Dana.
"""

from secrets import token_hex

from learning_machine import LearningMachine

SAID = """I'm Dana and I prefer short answers. Acme Corp uses Postgres and is based in Lisbon.
Carla Mendes is the CFO of Acme Corp. Acme Corp is a customer of Globex."""

with LearningMachine(tenant=f"sharing-{token_hex(3)}", user_profile=True, entity_memory=True) as machine:
    receipt = machine.emit(
        [{"role": "user", "content": SAID}, {"role": "assistant", "content": "Noted."}],
        user_id="dana",
        session_id="s1",
    )
    machine.settle(receipt, timeout=60)

    for user in ("dana", "omar"):
        print(f"{user} is told:\n{machine.recall(user_id=user, session_id='another').context}\n")

    acme = machine.entity("Acme Corp", hops=1)
    assert acme is not None
    print(f"Around {acme}: {', '.join(map(str, acme.neighbours))}")

    for learning in machine.learnings(store="entity_memory", kind="fact"):
        (why,) = learning.evidence
        print(f'{learning.content}, because {why.user_id} said: "{why.quote}"')
