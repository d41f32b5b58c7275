"""The patches that the model answers with: typed operations, each citing what it stands on.

Messages and learnings are named by the labels that the prompt gave them (`m1`, `k1`). Absence is null, since strict
schemas require every property. Whether a citation holds is checked afterwards (grounding), not here.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from learning_schemas.profile import UserProfile, json_schema_of
from learning_schemas.spec import StoreSpec
from learning_schemas.strict import strict_value

DEFAULT_PROFILE_SCHEMA = json_schema_of(UserProfile)

MAX_OPERATIONS = 200
"""Operations of one patch that are applied; more are dropped and counted."""


class PatchModel(BaseModel):
    """A part of a patch: closed, so that a strict schema can be made of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Cited(PatchModel):
    """An operation that stands on a message: its label, and the words quoted from it."""

    message: str = Field(description="The id of the message that says so, such as m3")
    quote: str = Field(description="The exact words of that message which say so")


class Addition(Cited):
    """A new memory."""

    content: str = Field(description="One short statement about the user that stands on its own")


class Update(Addition):
    """A known memory that a message changes: the new statement replaces it."""

    learning: str = Field(description="The id of the known memory, such as k2")


class Retraction(Cited):
    """A known memory or field that a message takes back."""

    learning: str = Field(description="The id of what is no longer so, such as k2")


class FieldValue(Cited):
    """A profile field's new value."""

    value: Any


class ProfilePatch(PatchModel):
    """What a window of messages changes in a user's profile."""

    fields: Any
    add: list[Addition]
    update: list[Update]
    retract: list[Retraction]


class Statement(PatchModel):
    """A text about the session, and the messages that it was made from."""

    content: str
    messages: list[str] = Field(description="The ids of the messages that this stands on")


class Steps(PatchModel):
    """A list of steps, and the messages that it was made from."""

    steps: list[str]
    messages: list[str] = Field(description="The ids of the messages that this stands on")


class SessionFact(PatchModel):
    """The value of one of the user's own fields of a session, and the messages that it stands on."""

    value: Any
    messages: list[str] = Field(description="The ids of the messages that this stands on")


class SessionPatch(PatchModel):
    """What a window of messages changes in a session's context; null keeps what is known."""

    summary: Statement | None = Field(description="The whole new summary, building on the known one")


class PlannedSessionPatch(SessionPatch):
    """The same, with planning on."""

    goal: Statement | None = Field(description="What the user wants to reach in this session")
    plan: Steps | None = Field(description="All steps of the plan, in order")
    progress: Steps | None = Field(description="All that is done so far, in order")


def profile_patch_model(store: StoreSpec) -> type[ProfilePatch]:
    """The patch model of a user profile: `fields` has one property for each field of the spec's schema."""
    schema = store.user_schema or DEFAULT_PROFILE_SCHEMA
    values: dict[str, Any] = {}
    for name, field_schema in schema["properties"].items():
        value = create_model(f"{name}_value", __base__=FieldValue, value=(_strict(field_schema), ...))
        values[name] = (value | None, ...)
    fields = create_model("fields", __base__=PatchModel, **values)
    return create_model("user_profile_patch", __base__=ProfilePatch, fields=(fields, ...))


def session_patch_model(store: StoreSpec) -> type[SessionPatch]:
    """The patch model of a session context: goal, plan and progress where planning is on, `fields` by the spec's schema."""
    base = PlannedSessionPatch if store.options.get("planning") else SessionPatch
    if store.user_schema is None:
        return create_model("session_context_patch", __base__=base)
    values: dict[str, Any] = {}
    for name, schema in store.user_schema["properties"].items():
        value: Any = create_model(f"{name}_value", __base__=SessionFact, value=(_strict(schema), ...))
        values[name] = (value | None, ...)
    fields = create_model("fields", __base__=PatchModel, **values)
    return create_model("session_context_patch", __base__=base, fields=(fields, ...))


def _strict(schema: Mapping[str, Any]) -> Any:
    """A value of that schema, as a strict one has it."""
    return Annotated[Any, WithJsonSchema(strict_value(schema))]
