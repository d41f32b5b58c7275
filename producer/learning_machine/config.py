"""What a store of a machine is asked to do. A config is checked when it is made, and travels as a store's spec."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from learning_machine.arguments import ID_REMEDY, checked_flag
from learning_schemas.errors import ConfigurationError
from learning_schemas.finding import first_finding
from learning_schemas.patch import profile_patch_model
from learning_schemas.pattern import UnusablePattern, check_pattern
from learning_schemas.profile import UserProfile, import_schema, json_schema_of
from learning_schemas.scope import ScopeKind
from learning_schemas.spec import MachineSpec, StoreSpec, Trigger
from learning_schemas.user_schema import patterns


@dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """What every store can be told.

    `debounce` is how long (seconds) extraction waits for more after a turn, `max_wait` how long at most. With
    `trigger="session_end"` it waits for `emit(…, end_of_session=True)` instead, or until the session was idle for
    `idle_after` seconds. `model` replaces the machine's model for this store; `instructions` are added to its prompt.
    """

    instructions: str | None = None
    model: str | None = None
    trigger: Trigger = "turn"
    debounce: float = 2.0
    max_wait: float = 30.0
    idle_after: float = 900.0

    def _spec(self, store: str, scope: ScopeKind, **own: Any) -> StoreSpec:
        try:
            return StoreSpec(
                scope=scope,
                instructions=self.instructions,
                model=self.model,
                trigger=self.trigger,
                debounce=self.debounce,
                max_wait=self.max_wait,
                idle_after=self.idle_after,
                **own,
            )
        except ValidationError as error:
            found = first_finding(error)
            raise ConfigurationError(
                f"{store}.{found.field}", found.problem, "docs/configuration.md has the limits"
            ) from None


@dataclass(frozen=True, kw_only=True)
class UserProfileConfig(StoreConfig):
    """The user profile. `schema` extends `UserProfile` (a plain dataclass), or is a pydantic model.

    Only what JSON Schema can say travels; a schema with Python validators needs `schema_import="package.module:Class"`, and
    workers that can import it.
    """

    schema: type | None = None
    schema_import: str | None = None
    _travelling: dict[str, Any] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        schema = self.schema
        if self.schema_import is not None:
            imported = import_schema(self.schema_import)
            if schema is not None and imported is not schema:
                raise ConfigurationError(
                    "user_profile.schema_import",
                    "does not name the class given as schema",
                    "Give one of the two, or let both name the same class",
                )
            schema = imported
        if schema is not None and schema is not UserProfile:
            object.__setattr__(self, "_travelling", json_schema_of(schema, has_import=self.schema_import is not None))
            self._check_patterns()
        profile_patch_model(self.spec())

    def _check_patterns(self) -> None:
        for pattern in patterns(self._travelling or {}):
            try:
                check_pattern(pattern)
            except UnusablePattern as error:
                raise ConfigurationError(
                    "user_profile.schema",
                    f"the pattern {pattern!r} {error}",
                    "Write it without looking around and back: the workers have no engine for these",
                ) from None

    def spec(self) -> StoreSpec:
        """The form that travels."""
        return self._spec("user_profile", "user", user_schema=self._travelling, schema_import=self.schema_import)


@dataclass(frozen=True, kw_only=True)
class SessionContextConfig(StoreConfig):
    """The session context: a summary, and with `enable_planning` the goal, the plan and the progress."""

    enable_planning: bool = False

    def __post_init__(self) -> None:
        checked_flag("session_context.enable_planning", self.enable_planning)
        self.spec()

    def spec(self) -> StoreSpec:
        """The form that travels."""
        return self._spec("session_context", "session", options={"planning": True} if self.enable_planning else {})


_CONFIGS: dict[str, type[UserProfileConfig] | type[SessionContextConfig]] = {
    "user_profile": UserProfileConfig,
    "session_context": SessionContextConfig,
}


def machine_spec(name: str, model: str | None, given: Mapping[str, Any]) -> MachineSpec:
    """The spec of a machine by its arguments: without any store both; else exactly those named. Raises `ConfigurationError`."""
    if all(value is None for value in given.values()):
        given = dict.fromkeys(_CONFIGS, True)
    stores: dict[str, StoreSpec] = {}
    for store, value in given.items():
        config = _CONFIGS[store]
        if isinstance(value, config):
            stores[store] = value.spec()
        elif value is True:
            stores[store] = config().spec()
        elif value is not None and value is not False:
            raise ConfigurationError(
                store,
                f"is {type(value).__name__}, neither a bool nor a {config.__name__}",
                f"Give True or {config.__name__}(…)",
            )
    if not stores:
        raise ConfigurationError("stores", "the machine has none", "Name one: LearningMachine(user_profile=True)")
    try:
        return MachineSpec(name=name, model=model, stores=stores)
    except ValidationError as error:
        found = first_finding(error)
        remedy = ID_REMEDY if found.field in ("name", "model") else "docs/configuration.md has the limits"
        raise ConfigurationError(found.field or "stores", found.problem, remedy) from None
