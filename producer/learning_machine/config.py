"""What a store of a machine is asked to do. A config is checked when it is made, and travels as a store's spec."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from learning_schemas.errors import ConfigurationError
from learning_schemas.patch import profile_patch_model
from learning_schemas.profile import UserProfile, import_schema, json_schema_of
from learning_schemas.scope import ScopeKind
from learning_schemas.spec import StoreSpec, Trigger


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
            first = error.errors(include_url=False, include_input=False)[0]
            raise ConfigurationError(
                f"{store}.{'.'.join(str(part) for part in first['loc'])}",
                first["msg"],
                "docs/configuration.md has the limits",
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
                    f"{self.schema_import!r} is not the class given as schema",
                    "Give one of the two, or let both name the same class",
                )
            schema = imported
        if schema is not None and schema is not UserProfile:
            object.__setattr__(self, "_travelling", json_schema_of(schema, has_import=self.schema_import is not None))
        profile_patch_model(self.spec())

    def spec(self) -> StoreSpec:
        """The form that travels."""
        return self._spec("user_profile", "user", user_schema=self._travelling, schema_import=self.schema_import)


@dataclass(frozen=True, kw_only=True)
class SessionContextConfig(StoreConfig):
    """The session context: a summary, and with `enable_planning` the goal, the plan and the progress."""

    enable_planning: bool = False

    def __post_init__(self) -> None:
        self.spec()

    def spec(self) -> StoreSpec:
        """The form that travels."""
        return self._spec("session_context", "session", options={"planning": True} if self.enable_planning else {})
