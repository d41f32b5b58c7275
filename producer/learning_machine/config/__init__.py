"""What the stores of a machine are asked to do. A config is checked when it is made, and travels as a store's spec.

Invariants: what is refused is refused when the config or the machine is made, with the reason; a spec says only what
deviates from the defaults, so that equal configurations are one spec, and the specs of before keep their hashes.
"""

from learning_machine.config.approval import Approval
from learning_machine.config.custom import CustomStoreConfig
from learning_machine.config.machine import Configuration, StoreArguments, configure
from learning_machine.config.mode import LearningMode
from learning_machine.config.prune import Prune
from learning_machine.config.session_context import SessionContextConfig
from learning_machine.config.shared import EntityMemoryConfig, LearnedKnowledgeConfig
from learning_machine.config.store import StoreConfig
from learning_machine.config.user_profile import UserProfileConfig

__all__ = [
    "Approval",
    "Configuration",
    "CustomStoreConfig",
    "EntityMemoryConfig",
    "LearnedKnowledgeConfig",
    "LearningMode",
    "Prune",
    "SessionContextConfig",
    "StoreArguments",
    "StoreConfig",
    "UserProfileConfig",
    "configure",
]
