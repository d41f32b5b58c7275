"""Add, update, delete: what a person does to a memory stands against whatever is extracted later, under their name.

Support notes something about Jan, corrects it, and takes it back when he asks. Nothing is changed in place: each step is a
row of its own in the memory's history. (To erase a person's data for good there is `machine.forget`.)
"""

from learning_machine import LearningMachine

BY = "support@acme.example"

with LearningMachine(user_profile=True) as machine:

    def show(what: str) -> None:
        print(f"{what:<9} {', '.join(machine.recall(user_id='jan').memories) or '(nothing is recalled)'}")

    added = machine.add("Is on the Starter plan", user_id="jan", by=BY)
    show("added")
    machine.add(field="name", value="Jan Novák", user_id="jan", by=BY)  # a field is set in the same way

    corrected = machine.update(added.id, "Is on the Team plan", by=BY)
    show("updated")

    machine.retract(corrected.id, by=BY)
    show("deleted")

    print(f"\nfields    {machine.recall(user_id='jan').fields}")
    print("history")
    for row in machine.history(corrected.id):
        did = row.evidence[-1]
        print(f"  {row.content}: {row.status} ({row.retired_reason}), {did.action} by {did.by}")
