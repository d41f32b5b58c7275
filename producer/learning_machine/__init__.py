"""Memory for AI agents that never slows an agent down and never loses what it was told.

    machine = LearningMachine()
    context = machine.recall(user_id="alex@example.com", session_id="s1").context   # for the prompt
    machine.emit(messages, user_id="alex@example.com", session_id="s1")             # after the answer

Invariants: making a machine connects to nothing; no extraction runs in the agent's process; importing this imports neither
celery nor openai. Everything that a user writes against is exported here.
"""

from learning_machine.config import SessionContextConfig, UserProfileConfig
from learning_machine.machine import LearningMachine
from learning_schemas.errors import (
    ConfigurationError,
    InvalidArgument,
    InvalidEvent,
    LearningMachineError,
    NotAccepted,
    RecallFailed,
    SettleTimeout,
    TenantRequired,
)
from learning_schemas.event import ConversationCompleted
from learning_schemas.message import Message
from learning_schemas.profile import UserProfile
from learning_schemas.results import DeliveryState, Recall, RecalledLearning, Receipt, UnprocessedMessage

__all__ = [
    "ConfigurationError",
    "ConversationCompleted",
    "DeliveryState",
    "InvalidArgument",
    "InvalidEvent",
    "LearningMachine",
    "LearningMachineError",
    "Message",
    "NotAccepted",
    "Recall",
    "RecallFailed",
    "RecalledLearning",
    "Receipt",
    "SessionContextConfig",
    "SettleTimeout",
    "TenantRequired",
    "UnprocessedMessage",
    "UserProfile",
    "UserProfileConfig",
]
