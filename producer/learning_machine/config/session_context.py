"""The session context's config."""

from dataclasses import dataclass

from learning_machine.arguments import checked_flag
from learning_machine.config.mode import LearningMode, checked_mode
from learning_machine.config.store import StoreConfig, options
from learning_schemas.errors import ConfigurationError
from learning_schemas.patch import session_patch_model
from learning_schemas.spec import StoreSpec
from learning_stores.session_context import SessionContextStore
from learning_stores.store import LearningStore

_STORE = SessionContextStore()

_WHOLE = "a session context is replaced as a whole from the whole conversation, which no tool call sees"


@dataclass(frozen=True, kw_only=True)
class SessionContextConfig(StoreConfig):
    """The session context: a summary, with `enable_planning` goal, plan and progress, with a `schema` facts of the session.

    Its mode is ALWAYS, and it has no tools: it is replaced as a whole from the whole conversation, which no tool call sees.
    """

    enable_planning: bool = False

    def __post_init__(self) -> None:
        checked_flag("session_context.enable_planning", self.enable_planning)
        if self.mode is not None:
            mode = checked_mode("session_context.mode", self.mode, tuple(each.value for each in LearningMode))
            if mode is not LearningMode.ALWAYS:
                raise ConfigurationError(
                    "session_context.mode", f"is {mode}, but {_WHOLE}", "Leave it out, or use ALWAYS"
                )
        if self.enable_agent_tools is True:
            raise ConfigurationError(
                "session_context.enable_agent_tools", f"is True, but {_WHOLE}: it has no tools", "Leave it out"
            )
        super().__post_init__()
        session_patch_model(self.spec())

    def spec(self, namespace: str | None = None) -> StoreSpec:
        """The form that travels."""
        return self._spec(options=options(planning=self.enable_planning))

    def _learning_store(self) -> LearningStore:
        return _STORE
