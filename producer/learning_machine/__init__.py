"""Memory for AI agents that never slows an agent down and never loses what it was told.

    machine = LearningMachine()
    context = machine.recall(user_id="alex@example.com", session_id="s1").context   # for the prompt
    machine.emit(messages, user_id="alex@example.com", session_id="s1")             # after the answer

Invariants: making a machine connects to nothing; no extraction runs in the agent's process; importing this imports neither
celery nor openai. Everything that a user writes against is exported here.
"""

from learning_machine.config import (
    Approval,
    CustomStoreConfig,
    EntityMemoryConfig,
    LearnedKnowledgeConfig,
    LearningMode,
    Prune,
    SessionContextConfig,
    UserProfileConfig,
)
from learning_machine.machine import LearningMachine
from learning_machine.tool import Tool
from learning_schemas.errors import (
    ConfigurationError,
    EventForgotten,
    InvalidArgument,
    InvalidEvent,
    LearningMachineError,
    MemoryUnavailable,
    NotAccepted,
    NotForgotten,
    RecallFailed,
    SettleTimeout,
    StaleLearning,
    SubjectClosed,
    TenantRequired,
    UnknownLearning,
)
from learning_schemas.event import ConversationCompleted
from learning_schemas.message import Message
from learning_schemas.patch import Cited, PatchModel
from learning_schemas.profile import UserProfile
from learning_schemas.results import (
    DeliveryState,
    Entity,
    Evidence,
    Found,
    Learning,
    Recall,
    RecalledLearning,
    Receipt,
    UnprocessedMessage,
)
from learning_schemas.spec import StoreSpec
from learning_stores.export import Export
from learning_stores.forgetting_receipt import ForgetReceipt
from learning_stores.grounding import content_key
from learning_stores.operations import (
    Citation,
    Confirm,
    EntityName,
    LiveLearning,
    Operations,
    Put,
    Retire,
    live_learnings,
)
from learning_stores.prompts import Prompt
from learning_stores.store import Grounds, Known, LearningStore, Reading
from learning_stores.tooling import Arguments, Calling, ToolDefinition, ToolRefusal
from learning_stores.window import Window

__all__ = [
    "Approval",
    "Arguments",
    "Calling",
    "Citation",
    "Cited",
    "ConfigurationError",
    "Confirm",
    "ConversationCompleted",
    "CustomStoreConfig",
    "DeliveryState",
    "Entity",
    "EntityMemoryConfig",
    "EntityName",
    "EventForgotten",
    "Evidence",
    "Export",
    "ForgetReceipt",
    "Found",
    "Grounds",
    "InvalidArgument",
    "InvalidEvent",
    "Known",
    "LearnedKnowledgeConfig",
    "Learning",
    "LearningMachine",
    "LearningMachineError",
    "LearningMode",
    "LearningStore",
    "LiveLearning",
    "MemoryUnavailable",
    "Message",
    "NotAccepted",
    "NotForgotten",
    "Operations",
    "PatchModel",
    "Prompt",
    "Prune",
    "Put",
    "Reading",
    "Recall",
    "RecallFailed",
    "RecalledLearning",
    "Receipt",
    "Retire",
    "SessionContextConfig",
    "SettleTimeout",
    "StaleLearning",
    "StoreSpec",
    "SubjectClosed",
    "TenantRequired",
    "Tool",
    "ToolDefinition",
    "ToolRefusal",
    "UnknownLearning",
    "UnprocessedMessage",
    "UserProfile",
    "UserProfileConfig",
    "Window",
    "content_key",
    "live_learnings",
]
