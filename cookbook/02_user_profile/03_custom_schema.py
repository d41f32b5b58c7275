"""A schema of your own: the fields that your application needs, typed, filled from what the user says.

A restaurant's agent wants city, diet and allergies of its guests. The class travels to the workers as JSON Schema, so they
need none of this code; what no field is for still becomes a memory.
"""

from dataclasses import dataclass, field

from learning_machine import LearningMachine, UserProfile, UserProfileConfig


@dataclass
class Guest(UserProfile):
    """A name and a preferred name are there already."""

    city: str | None = field(default=None, metadata={"description": "The city that they live in"})
    diet: str | None = field(default=None, metadata={"description": "What they eat, or do not eat"})
    allergies: list[str] | None = field(default=None, metadata={"description": "What they are allergic to"})


WORDS = "My name is Hana. I live in Porto, I'm vegetarian, and I'm allergic to walnuts. I love quiet corners."

with LearningMachine(user_profile=UserProfileConfig(schema=Guest)) as machine:
    print(f"Hana: {WORDS}\n")
    turn = [{"role": "user", "content": WORDS}, {"role": "assistant", "content": "Welcome, Hana."}]
    machine.settle(machine.emit(turn, user_id="hana", session_id="booking"), timeout=60)

    known = machine.recall(user_id="hana")
    guest = Guest(**known.fields)
    print("Typed:          ", guest)
    print("For your code:  ", f"dessert without {', '.join(guest.allergies or ['nothing'])}")
    print("Without a field:", ", ".join(known.memories))
