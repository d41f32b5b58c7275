"""Learning Machine in place of agno's: the same arguments, in a program that otherwise stays as it is.

    from learning_machine.integrations.agno import LearningMachine, UserProfileConfig

    agent = Agent(model=…, learning=LearningMachine(user_profile=UserProfileConfig(), session_context=True))

Invariants: recall answers within its deadline; a turn is handed over once its answer is there, by a post-hook that the
machine adds to the agent or team by itself; no failure of ours ends a run. Importing this needs the extra `agno`.
"""

import importlib.util

from learning_schemas.errors import ConfigurationError

if importlib.util.find_spec("agno") is None:
    raise ConfigurationError(
        "learning_machine.integrations.agno", "agno is not installed", "pip install 'learning-machine[agno]'"
    )

from agno.learn.config import (
    LearnedKnowledgeConfig,
    LearningMode,
    SessionContextConfig,
    UserMemoryConfig,
    UserProfileConfig,
)

from learning_machine.integrations.agno.arguments import EntityMemoryConfig
from learning_machine.integrations.agno.attachment import install
from learning_machine.integrations.agno.machine import LearningMachine

install()

__all__ = [
    "EntityMemoryConfig",
    "LearnedKnowledgeConfig",
    "LearningMachine",
    "LearningMode",
    "SessionContextConfig",
    "UserMemoryConfig",
    "UserProfileConfig",
]
