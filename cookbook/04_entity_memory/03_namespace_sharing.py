"""Namespaces: who shares what they know of the world with whom.

Sales and support each have a namespace; support also reads that of sales. Rosa's private notes are hers alone. A namespace
is set where the machine is made; the tenant is the wall around all of them.
"""

from learning_machine import EntityMemoryConfig, LearningMachine

TEAMS = {
    "sales": LearningMachine(name="sales", entity_memory=EntityMemoryConfig(namespace="sales")),
    "support": LearningMachine(
        name="support", entity_memory=EntityMemoryConfig(namespace="support", also_reads=["sales"])
    ),
    "private": LearningMachine(name="private", entity_memory=EntityMemoryConfig(namespace="user")),
}
SAID = [
    ("sales", "rosa", "Fabrikam has 42 employees."),
    ("support", "sven", "Contoso uses Redis."),
    ("private", "rosa", "Initech is based in Austin."),
]

for team, user, words in SAID:
    turn = [{"role": "user", "content": words}, {"role": "assistant", "content": "I see."}]
    machine = TEAMS[team]
    machine.settle(machine.emit(turn, user_id=user, session_id="s1"), timeout=60)
    print(f"{user.title()}, in {team}: {words}")

print("\nWho knows what:")
for team, user in [("sales", "rosa"), ("support", "sven"), ("private", "rosa"), ("private", "sven")]:
    known = [entity.name for entity in TEAMS[team].search_entities(user_id=user)]
    print(f"  {user.title():<5} in {team:<8} {', '.join(sorted(known)) or '(nothing)'}")

for machine in TEAMS.values():
    machine.close()
