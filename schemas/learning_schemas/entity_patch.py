"""The patch of entity memory: what messages say of named things, each statement with its citation.

An entity is named by name and type, as the messages or what is known name it; the store resolves names to entities.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, create_model

from learning_schemas.errors import ConfigurationError
from learning_schemas.patch import Cited, PatchModel
from learning_schemas.spec import StoreSpec
from learning_schemas.strict import strict_value

MAX_TYPES = 100
"""Entity types that a spec may list."""

_TYPE = "What kind of thing it is: one short singular word, such as company, person, project, product or place"
_LISTED_TYPE = "What kind of thing it is"


class NamedEntity(Cited):
    """A named thing that a message mentions, and what it is."""

    name: str = Field(description="Its fullest name in the messages, or as it is known; no pronoun and no description")
    type: str = Field(description=_TYPE)
    aliases: list[str] = Field(description="Other names that this message gives it in so many words; mostly empty")
    description: str | None = Field(description="What it is, in one short sentence, where the message says so")


class EntityFact(Cited):
    """Something that is true of an entity, until told otherwise."""

    entity: str = Field(description="The entity's name")
    type: str = Field(description=_TYPE)
    content: str = Field(description="One short statement without its name in front, such as: Uses PostgreSQL")
    replaces: str | None = Field(
        description="The id of the known fact of this entity that is no longer so, such as k2; else null"
    )


class EntityProperty(Cited):
    """A named value of an entity."""

    entity: str = Field(description="The entity's name")
    type: str = Field(description=_TYPE)
    name: str = Field(description="Which property, in one to three words, such as industry or deadline")
    value: str = Field(description="Its value")


class EntityEvent(Cited):
    """Something that happened to an entity, or that it did."""

    entity: str = Field(description="The entity's name")
    type: str = Field(description=_TYPE)
    content: str = Field(description="What happened, in the past tense, without its name in front and without the date")
    date: str | None = Field(
        description="When it happened, as exact as the message says: YYYY, YYYY-MM or YYYY-MM-DD. Relative dates count "
        "from the message's own time. Null where it is not said"
    )


class EntityRelationship(Cited):
    """How one entity is tied to another: it reads `source` `relation` `target`."""

    source: str = Field(description="The name of the entity that the sentence begins with, such as Bob")
    source_type: str = Field(description=_TYPE)
    relation: str = Field(description="The words between the two names, such as: CTO of")
    target: str = Field(description="The name of the other entity, such as Acme Corp")
    target_type: str = Field(description=_TYPE)


class EntityRetraction(Cited):
    """Something known that a message takes back."""

    learning: str = Field(description="The id of what is known and no longer so, such as k2")


class EntityPatch(PatchModel):
    """What a window of messages says of named things."""

    entities: list[NamedEntity] = Field(description="Each named thing that is new, or gains an alias or a description")
    facts: list[EntityFact] = Field(description="What is so, whenever it began")
    properties: list[EntityProperty] = Field(description="Named values")
    events: list[EntityEvent] = Field(description="What happened")
    relationships: list[EntityRelationship] = Field(description="What ties two entities")
    retract: list[EntityRetraction] = Field(description="What is no longer so, and is not replaced")


def entity_types(store: StoreSpec) -> tuple[str, ...] | None:
    """The only entity types that the spec takes (option `types`); None: any. Raises `ConfigurationError` for an unusable list."""
    types = store.options.get("types")
    if types is None:
        return None
    if (
        not isinstance(types, list)
        or not 0 < len(types) <= MAX_TYPES
        or not all(isinstance(each, str) and each.strip() for each in types)
    ):
        raise ConfigurationError(
            "types", f"{types!r:.80} is no list of entity types", f"Give 1 to {MAX_TYPES} words, such as ['company']"
        )
    return tuple(dict.fromkeys(types))


def entity_patch_model(store: StoreSpec) -> type[EntityPatch]:
    """The patch model: types are those that the spec lists, property names and values those of its schema; else free."""
    types, schema = entity_types(store), store.user_schema
    properties: Any = _of_types(EntityProperty, types)
    if schema is not None:
        properties = named_values(properties, schema["properties"])
    return create_model(
        "entity_memory_patch",
        __base__=EntityPatch,
        entities=_several(EntityPatch, "entities", _of_types(NamedEntity, types)),
        facts=_several(EntityPatch, "facts", _of_types(EntityFact, types)),
        properties=_several(EntityPatch, "properties", properties),
        events=_several(EntityPatch, "events", _of_types(EntityEvent, types)),
        relationships=_several(EntityPatch, "relationships", _of_types(EntityRelationship, types)),
    )


def named_values(model: type[Any], fields: Mapping[str, Any]) -> Any:
    """`model` (of a `name` and a `value`) for these fields only: its JSON Schema has a form for each, of the field's own type.

    The value is taken as it is: it has to be checked by the field's schema afterwards.
    """
    listed = create_model(model.__name__, __base__=model, **_fields(name=Literal[tuple(fields)], value=Any))
    form = listed.model_json_schema()
    forms = [
        {
            **form,
            "properties": {
                **form["properties"],
                "name": {"type": "string", "enum": [name]},
                "value": strict_value(field),
            },
        }
        for name, field in fields.items()
    ]
    return Annotated[listed, WithJsonSchema({"anyOf": forms} if len(forms) > 1 else forms[0])]


def _fields(**types: Any) -> dict[str, Any]:
    return {name: (kind, ...) for name, kind in types.items()}


def _of_types(model: type[PatchModel], types: Sequence[str] | None) -> type[PatchModel]:
    """The model with its type fields limited to these."""
    if types is None:
        return model
    limited: dict[str, Any] = {
        name: (Literal[tuple(types)], Field(description=_LISTED_TYPE))
        for name in model.model_fields
        if name in ("type", "source_type", "target_type")
    }
    return create_model(model.__name__, __base__=model, **limited)


def _several(patch: type[PatchModel], name: str, item: Any) -> tuple[Any, Any]:
    return list[item], Field(description=patch.model_fields[name].description)
