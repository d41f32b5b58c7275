"""Four ways to build a machine: booleans, configs, a factory of your own, and the environment.

Each of them is tried: it is told something, and what it then remembers is printed. Making one connects to nothing, and what
cannot be is refused at once, with the reason.
"""

import os
from secrets import token_hex

from learning_machine import (
    ConfigurationError,
    EntityMemoryConfig,
    LearnedKnowledgeConfig,
    LearningMachine,
    UserProfileConfig,
)

RUN = token_hex(3)
SAID = "I'm Ines and I work at Globex. Globex uses Postgres. Lesson learned: always vacuum big tables before you dump them."


def machine_for(team: str) -> LearningMachine:
    """What is the same for every agent of the house, in one place; what differs is an argument."""
    return LearningMachine(
        tenant=f"{team}-{RUN}",
        namespace=team,
        user_profile=UserProfileConfig(instructions="Keep what helps with payments."),
        learned_knowledge=LearnedKnowledgeConfig(mode="ALWAYS", wider_writes="active", also_reads=["global"]),
    )


def from_environment() -> LearningMachine:
    """Servers, tenant and model come from LEARNING_* variables, or from .learning/env; here it is the tenant."""
    os.environ["LEARNING_TENANT"] = f"environment-{RUN}"
    return LearningMachine()


machines = {
    "booleans": LearningMachine(tenant=f"booleans-{RUN}", user_profile=True, session_context=False),
    "configs": LearningMachine(
        tenant=f"configs-{RUN}",
        user_profile=True,
        entity_memory=EntityMemoryConfig(types=["company"], namespace="user"),
    ),
    "factory": machine_for("payments"),
    "environment": from_environment(),
}
for way, machine in machines.items():
    with machine:
        print(f"{way}: {machine}")
        machine.settle(machine.emit([{"role": "user", "content": SAID}], user_id="ines", session_id="s1"), timeout=60)
        for learning in machine.recall(user_id="ines", session_id="s1").learnings:
            print(f"  {learning.store:17} {learning.content}")

try:
    LearnedKnowledgeConfig(mode="PROPOSE", enable_agent_tools=False)
except ConfigurationError as refused:
    print(f"refused: {refused}")
