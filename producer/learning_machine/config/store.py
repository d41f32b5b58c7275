"""What every store can be told, and how that becomes a spec."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import ValidationError

from learning_machine.arguments import checked_flag
from learning_machine.config.approval import Approval
from learning_machine.config.mode import LearningMode, checked_mode
from learning_machine.config.prune import Prune
from learning_machine.config.schema import travelling_schema
from learning_schemas.errors import ConfigurationError
from learning_schemas.finding import first_finding
from learning_schemas.spec import StoreSpec, Trigger
from learning_stores.store import LearningStore

LIMITS = "docs/configuration.md has the limits"


@dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """What every store can be told.

    `mode` says who decides what is remembered (None: the store's default). `enable_agent_tools` gives the agent the store's
    tools: None means in AGENTIC and PROPOSE; True with ALWAYS means extraction and tools together. `approval` puts writes
    before a person: all of them ("always"), or those that an `Approval` names.

    `schema` is a dataclass or a pydantic model with fields of the user's own, which the store learns by. Only what JSON Schema
    can say travels; one with Python validators needs `schema_import="package.module:Class"`, and workers that can import it.

    `debounce` is how long (seconds) extraction waits for more after a turn, `max_wait` how long at most. With
    `trigger="session_end"` it waits for `emit(…, end_of_session=True)` instead, or until the session was idle for
    `idle_after` seconds. `model` replaces the machine's model for this store; `instructions` are added to its prompt. `prune`
    says what the curator retires of this store's learnings (None: nothing but what its `valid_to` ended).
    """

    mode: LearningMode | str | None = None
    enable_agent_tools: bool | None = None
    approval: Approval | Literal["always"] | None = None
    instructions: str | None = None
    model: str | None = None
    schema: type | None = None
    schema_import: str | None = None
    trigger: Trigger = "turn"
    debounce: float = 2.0
    max_wait: float = 30.0
    idle_after: float = 900.0
    prune: Prune | None = None
    _user_schema: dict[str, Any] | None = field(default=None, init=False, repr=False)

    _default_schema: ClassVar[type | None] = None
    _schema_remedy: ClassVar[str] = "Give a @dataclass or a pydantic model, of JSON types and without Python validators"

    def __post_init__(self) -> None:
        store = self.store_name
        travelling = travelling_schema(
            store, self.schema, self.schema_import, default=self._default_schema, remedy=self._schema_remedy
        )
        object.__setattr__(self, "_user_schema", travelling)
        if self.mode is not None:
            object.__setattr__(self, "mode", checked_mode(f"{store}.mode", self.mode, self._learning_store().modes))
        if self.enable_agent_tools is not None:
            checked_flag(f"{store}.enable_agent_tools", self.enable_agent_tools)
        if self.approval == "always":
            object.__setattr__(self, "approval", Approval(always=True))
        elif self.approval is not None and not isinstance(self.approval, Approval):
            raise ConfigurationError(
                f"{store}.approval",
                'is neither "always" nor an Approval',
                'Give "always" or Approval(confidence_below=0.8)',
            )
        if self.prune is not None and not isinstance(self.prune, Prune):
            raise ConfigurationError(f"{store}.prune", "is no Prune", "Give Prune(max_age_days=…)")
        spec = self.spec()
        self._check_tools(spec)
        self._check_approval()
        if self.trigger == "turn" and self.debounce > self.max_wait:
            raise ConfigurationError(
                f"{store}.debounce",
                f"{self.debounce:g} s is longer than max_wait ({self.max_wait:g} s), which would end the wait before",
                f"Give max_wait={self.debounce:g} or more, or a shorter debounce",
            )

    @property
    def store_name(self) -> str:
        """Which store this configures."""
        return self._learning_store().name

    def spec(self, namespace: str | None = None) -> StoreSpec:
        """The form that travels. `namespace` is the machine's (None: not known yet), for a store that shares and sets none."""
        return self._spec()

    def _learning_store(self) -> LearningStore:
        raise NotImplementedError

    def _spec(self, **own: Any) -> StoreSpec:
        store = self._learning_store()
        mode = LearningMode(self.mode or store.modes[0])
        by_mode = mode is not LearningMode.ALWAYS
        try:
            return StoreSpec(
                mode=mode.value,
                scope=store.scope,
                instructions=self.instructions,
                model=self.model,
                trigger=self.trigger,
                debounce=self.debounce,
                max_wait=self.max_wait,
                idle_after=self.idle_after,
                user_schema=self._user_schema,
                schema_import=self.schema_import,
                approval=self.approval.spec() if isinstance(self.approval, Approval) else self.approval,
                prune=None if self.prune is None else self.prune.spec(),
                tools=None if self.enable_agent_tools == by_mode else self.enable_agent_tools,
                **own,
            )
        except ValidationError as error:
            found = first_finding(error)
            raise ConfigurationError(f"{self.store_name}.{found.field}", found.problem, LIMITS) from None

    def _check_tools(self, spec: StoreSpec) -> None:
        argument = f"{self.store_name}.enable_agent_tools"
        if spec.mode != "ALWAYS" and not spec.has_tools:
            raise ConfigurationError(
                argument,
                f"is False, and in {spec.mode} only the agent's tools write: nothing would be remembered",
                "Leave it out, or use mode ALWAYS",
            )
        if spec.has_tools and not self._learning_store().tools(spec):
            raise ConfigurationError(
                argument if self.enable_agent_tools else f"{self.store_name}.mode",
                "needs tools, and this store has none",
                "Leave it out: this store learns by extraction (ALWAYS)",
            )

    def _check_approval(self) -> None:
        approval, argument = self.approval, f"{self.store_name}.approval"
        if not isinstance(approval, Approval):
            return
        if approval.namespaces is not None and not self._learning_store().namespaced:
            raise ConfigurationError(
                argument, "names namespaces, and this store has none", 'Use "always" or Approval(confidence_below=…)'
            )


def options(**given: Any) -> Mapping[str, Any]:
    """A store's own options as they travel: only those that are set."""
    return {name: value for name, value in given.items() if value}
