"""The tools of the user profile: set a field, save, change and forget a memory.

Memories are named by their words, as recall shows them, or by id. What names none is answered with those nearest to it.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, WithJsonSchema, create_model

from learning_schemas.errors import ConfigurationError
from learning_schemas.marker import defused
from learning_schemas.patch import DEFAULT_PROFILE_SCHEMA
from learning_schemas.spec import StoreSpec
from learning_schemas.strict import strict_value
from learning_stores.answers import forgotten, stated
from learning_stores.grounding import content_key, fold, storable
from learning_stores.operations import MAX_CONTENT, Citation, LiveLearning, Put, Retire, live_learnings
from learning_stores.tooling import Arguments, Calling, ToolDefinition, ToolRefusal
from learning_stores.user_values import refused_value, told, typed_value

NEAREST = 3
"""Memories that are offered where none is the one meant."""

_WORD = re.compile(r"\w+")
CUT = " […]"
"""Behind the words of a memory that recall shows cut."""
_MEMORY = "The memory in the words in which it is shown, or its id"
_FORGOTTEN = "The memory or field in the words in which it is shown, or its id"


class SaveMemory(Arguments):
    """A new memory."""

    content: str = Field(
        description="One short statement about the user that stands on its own: 'Prefers concise answers'"
    )


class UpdateMemory(Arguments):
    """A memory, and what it says from now on."""

    memory: str = Field(description=_MEMORY)
    content: str = Field(description="The new statement, which replaces it")


class ForgetMemory(Arguments):
    """A memory."""

    memory: str = Field(description=_FORGOTTEN)


def profile_tools(spec: StoreSpec) -> Sequence[ToolDefinition]:
    """The four of them; the fields are those of the spec's schema."""
    return (
        ToolDefinition(
            name="update_profile",
            description="Set a field of the user's profile to what the user says of themselves.",
            arguments=_field_arguments(_fields(spec)),
            run=_update_profile,
        ),
        ToolDefinition(
            name="save_memory",
            description="Remember something about this user for other conversations, where no field of the profile holds it.",
            arguments=SaveMemory,
            run=_save_memory,
        ),
        ToolDefinition(
            name="update_memory",
            description="Replace a memory of this user by what is so now.",
            arguments=UpdateMemory,
            run=_update_memory,
        ),
        ToolDefinition(
            name="forget_memory",
            description="Forget a memory or a profile field of this user that is no longer so, or that the user asks to forget.",
            arguments=ForgetMemory,
            run=_forget_memory,
        ),
    )


def profile_guidance(spec: StoreSpec) -> str:
    """When to use them, and which fields there are."""
    return (
        "Keep what the user says of themselves and what will matter in another conversation: update_profile for the fields "
        f"{', '.join(_fields(spec))}; save_memory for anything else, one short statement a call. When it has changed, call "
        "update_profile or update_memory; when it is no longer so, or the user asks you to forget it, forget_memory. "
        "Keep only what the user said, not what you guess, what is said of others, the task at hand, or secrets."
    )


def _fields(spec: StoreSpec) -> Mapping[str, dict[str, Any]]:
    fields: Mapping[str, dict[str, Any]] = (spec.user_schema or DEFAULT_PROFILE_SCHEMA)["properties"]
    return fields


def _field_arguments(fields: Mapping[str, dict[str, Any]]) -> type[Arguments]:
    """`field` is one of the names; `value` is of the type of one of them."""
    values: list[dict[str, Any]] = []
    meanings = []
    for name, schema in fields.items():
        value = strict_value(schema)
        meaning = value.pop("description", None)
        meanings.append(f"{name}: {meaning}" if meaning else name)
        if value not in values:
            values.append(value)
    # The schema says which names there are; a wrong one is answered by the tool, which names them again.
    named = {"type": "string", "enum": list(fields), "description": "Which field. " + "; ".join(meanings)}
    meant = "The field's new value, of the field's type"
    typed = {"anyOf": values, "description": meant} if len(values) > 1 else {**values[0], "description": meant}
    return create_model(
        "UpdateProfile",
        __base__=Arguments,
        __doc__="A field and its value.",
        field=(Annotated[str, WithJsonSchema(named)], ...),
        value=(Annotated[Any, WithJsonSchema(typed)], ...),
    )


def _update_profile(calling: Calling, arguments: Any) -> str:
    name: str = arguments.field
    fields = _fields(calling.spec)
    if name not in fields:
        raise ToolRefusal(
            f"Not saved: there is no field {name[:64]!r}. The fields are {', '.join(fields)}; "
            "save_memory keeps anything else."
        )
    try:
        value = typed_value(name, arguments.value, fields[name], calling.spec.schema_import, own=True)
    except ConfigurationError:
        raise  # a ValueError too, but about the schema: no other value would do
    except ValueError as error:
        raise ToolRefusal(f"Not saved: {refused_value(name, fields[name], error)}") from None
    put = Put(
        kind="field",
        content=_statement(f"{name.replace('_', ' ')}: {told(value)}"),
        content_key=name,
        citations=_now(),
        data={"name": name, "value": value},
    )
    return stated(calling, calling.write([put], "update_profile"))


def _save_memory(calling: Calling, arguments: SaveMemory) -> str:
    return stated(calling, calling.write([_memory(arguments.content)], "save_memory"))


def _update_memory(calling: Calling, arguments: UpdateMemory) -> str:
    put = _memory(arguments.content)
    held = _meant(calling, arguments.memory, "Not updated")
    if held.kind != "memory":
        raise ToolRefusal(f"Not updated: {held.content_key} is a field of the profile; update_profile sets it.")
    replacing = Put(
        kind=put.kind,
        content=put.content,
        content_key=put.content_key,
        citations=put.citations,
        replaces=held.id,
    )
    return stated(calling, calling.write([replacing], "update_memory"))


def _forget_memory(calling: Calling, arguments: ForgetMemory) -> str:
    held = _meant(calling, arguments.memory, "Not forgotten")
    return forgotten(calling.write([Retire(learning_id=held.id, citations=_now())], "forget_memory"))


def _memory(given: str) -> Put:
    content = _statement(given)
    return Put(kind="memory", content=content, content_key=content_key(content), citations=_now())


def _statement(given: str) -> str:
    content = " ".join(storable(given).split())
    if not content:
        raise ToolRefusal("Not saved: it is empty.")
    if len(content) > MAX_CONTENT:
        raise ToolRefusal(f"Not saved: it has more than {MAX_CONTENT:,} characters.")
    return content


def _meant(calling: Calling, memory: str, refused: str) -> LiveLearning:
    """The live memory or field that is meant. Raises `ToolRefusal` that says which are nearest."""
    wanted = storable(memory).strip().removeprefix("- ").strip()
    live = _live(calling)
    learning_id = _id(wanted)
    field = fold(wanted).replace(" ", "_")
    for each in live:
        if (
            each.id == learning_id
            or _shown_as(wanted, each.content)
            or (each.kind == "field" and each.content_key == field)
        ):
            return each
    words = set(_WORD.findall(fold(wanted)))
    shared = {each.id: len(words & set(_WORD.findall(fold(each.content)))) for each in live if each.kind == "memory"}
    ranked = sorted((each for each in live if shared.get(each.id)), key=lambda each: -shared[each.id])
    if not ranked:
        raise ToolRefusal(f"{refused}: nothing like that is remembered.")
    nearest = "; ".join(f"{each.id}: {defused(each.content)}" for each in ranked[:NEAREST])
    raise ToolRefusal(f"{refused}: no memory says just that. The nearest are {nearest}")


def _shown_as(wanted: str, content: str) -> bool:
    """Whether these are its words, or those in which recall shows it: without signs that could close a block, or cut."""
    if wanted.endswith(CUT) and len(wanted) > len(CUT):
        return defused(content).startswith(wanted.removesuffix(CUT))
    return content_key(wanted) in (content_key(content), content_key(defused(content)))


def _live(calling: Calling) -> list[LiveLearning]:
    return live_learnings(calling.session, calling.place.tenant, calling.place.store, calling.place.scope)


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _now() -> tuple[Citation, ...]:
    return (Citation(occurred_at=datetime.now(UTC)),)
