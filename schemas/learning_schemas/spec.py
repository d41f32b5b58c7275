"""The spec: the JSON form of a machine's configuration. Events name it by hash, so that a worker needs none of the agent's code."""

import hashlib
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import from_json, to_json

from learning_schemas.limits import Id, Text, check_json
from learning_schemas.scope import ScopeKind
from learning_schemas.user_schema import check_user_schema

Mode = Literal["ALWAYS", "AGENTIC", "PROPOSE"]
Trigger = Literal["turn", "session_end"]
WiderWrites = Literal["active", "corroborated", "proposed"]

MAX_SPEC_BYTES = 262_144
"""Canonical JSON of one spec."""
MAX_STORES = 16
_MAX_OPTIONS_BYTES = 16_384
_SCHEMA_DEPTH = 64
JsonDocument = Annotated[dict[str, Any], BeforeValidator(lambda value: check_json(value, _SCHEMA_DEPTH))]
"""A JSON object that may be nested as JSON Schemas are."""

UserSchema = Annotated[JsonDocument, AfterValidator(check_user_schema)]
"""The JSON Schema of a user's own fields, without references."""


def _few(options: dict[str, Any]) -> dict[str, Any]:
    if len(to_json(options)) > _MAX_OPTIONS_BYTES:
        raise ValueError(f"is more than {_MAX_OPTIONS_BYTES:,} bytes of JSON")
    return options


STORE_NAME = "^[a-z][a-z0-9_]{0,62}$"
Language = Literal[
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "finnish", "french", "german", "greek", "hindi",
    "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian", "portuguese", "romanian", "russian",
    "serbian", "simple", "spanish", "swedish", "tamil", "turkish", "yiddish",
]  # fmt: skip
"""Postgres's text search configurations: how words are stemmed. "simple" takes them as they are, in any language."""

StoreName = Annotated[str, Field(pattern=STORE_NAME)]
Seconds = Annotated[float, Field(ge=0, le=30 * 86_400)]
Days = Annotated[float, Field(gt=0, le=36_500)]
Namespaces = Annotated[tuple[Id, ...], Field(max_length=16)]


class Approval(BaseModel):
    """Which writes of a store wait until a person approves them: all, those of some namespaces, or those below a confidence.

    Confidence says how something is known, by rule: 1 from a person or an import, 0.9 from the user's own words, 0.7 from an
    agent's tool call, 0.6 from words of the assistant alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    always: bool = False
    confidence_below: Annotated[float, Field(gt=0, le=1)] | None = None
    namespaces: Namespaces | None = None


class Prune(BaseModel):
    """What of a store's learnings the curator ends; a learning that meets any of these goes.

    `max_age_days`: learned, and said last, longer ago. `max_count`: beyond so many of one user, session or namespace, those
    learned and recalled longest ago. `min_confidence`: less sure than this. `never_recalled_days`: learned longer ago, and not
    recalled for so long.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_age_days: Days | None = None
    max_count: Annotated[int, Field(ge=1, le=100_000)] | None = None
    min_confidence: Annotated[float, Field(gt=0, le=1)] | None = None
    never_recalled_days: Days | None = None


class StoreSpec(BaseModel):
    """One store of a machine: what it extracts serially over, when, how, and with which options of its own.

    `debounce` is how long (seconds) a mailbox waits for more after an event, `max_wait` how long at most after the first;
    with `trigger="session_end"` it waits for the session's end instead, or until it was idle for `idle_after`.
    `user_schema` is the JSON Schema of the user's own fields; `schema_import` names the class instead, as
    `package.module:Class`, for workers that can import it. `namespace` is where a store that shares learnings writes them
    (absent: "global"), `also_reads` what it reads besides; `wider_writes` what extraction may write beyond its user's own
    namespace (absent: the store's default). `approval` puts writes before a person; `tools` gives the agent tools, or takes
    them (absent: in AGENTIC and PROPOSE). `prune` says what the curator ends (absent: only what its `valid_to` ended).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = "ALWAYS"
    scope: ScopeKind
    trigger: Trigger = "turn"
    debounce: Seconds = 2.0
    max_wait: Seconds = 30.0
    idle_after: Seconds = 900.0
    model: Id | None = None
    instructions: Text | None = Field(default=None, max_length=20_000)
    user_schema: UserSchema | None = None
    schema_import: Id | None = None
    options: Annotated[JsonDocument, AfterValidator(_few)] = Field(default_factory=dict)
    # Absent in the specs of before: what is None is not in the canonical JSON, so that their hashes stay.
    namespace: Id | None = None
    also_reads: Namespaces | None = None
    wider_writes: WiderWrites | None = None
    approval: Approval | None = None
    tools: bool | None = None
    prune: Prune | None = None

    @property
    def has_tools(self) -> bool:
        """Whether the agent gets this store's tools."""
        return self.mode != "ALWAYS" if self.tools is None else self.tools


class MachineSpec(BaseModel):
    """A machine's configuration as it travels. Its hash is over the canonical JSON, so that equal configurations are one spec."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    name: Id = "default"
    model: Id | None = None
    language: Language | None = None  # absent: english
    stores: Annotated[dict[StoreName, StoreSpec], Field(max_length=MAX_STORES)]

    @model_validator(mode="after")
    def _small(self) -> Self:
        if len(self.to_json()) > MAX_SPEC_BYTES:
            raise ValueError(f"is more than {MAX_SPEC_BYTES:,} bytes of JSON")
        return self

    def to_json(self) -> bytes:
        """Canonical JSON: UTF-8, keys sorted, absent values left out, no spaces."""
        return to_json(_sorted(self.model_dump(mode="json", exclude_none=True)))

    def spec_hash(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def always(self) -> dict[str, StoreSpec]:
        """The stores that extract in the background."""
        return {name: store for name, store in self.stores.items() if store.mode == "ALWAYS"}

    @classmethod
    def from_json(cls, body: bytes | str) -> Self:
        """Read a spec. Raises ValueError; where it is JSON but no spec, pydantic's ValidationError."""
        # Twice: Postgres writes a space after each comma and colon.
        if len(body) > 2 * MAX_SPEC_BYTES:
            raise ValueError(f"a spec of more than {MAX_SPEC_BYTES:,} bytes")
        return cls.model_validate(from_json(body))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value


DEFAULT_SPEC = MachineSpec(
    stores={"user_profile": StoreSpec(scope="user"), "session_context": StoreSpec(scope="session")}
)
"""What an event without a spec means: user profile and session context, both ALWAYS."""
