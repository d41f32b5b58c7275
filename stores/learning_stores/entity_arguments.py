"""What the tools of entity memory are called with; the types and the properties are those of the spec."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from learning_schemas.entity_patch import entity_types, named_values
from learning_schemas.spec import StoreSpec
from learning_stores.tooling import Arguments

DEFAULT_RESULTS, MAX_RESULTS = 5, 20

_ENTITY = "The name of the thing that it is about"
_TYPE = "What kind of thing it is: one word, such as company, person or project; null for one that is known already"


class PropertyValue(BaseModel):
    """A property and its value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="Which property, in one to three words, such as industry")
    value: str = Field(description="Its value")


class RememberEntity(Arguments):
    """A named thing."""

    name: str = Field(description="Its name")
    type: str = Field(description="What kind of thing it is: one word, such as company, person or project")
    description: str | None = Field(default=None, description="What it is, in one sentence")
    aliases: list[str] | None = Field(default=None, description="Other names of it")
    properties: list[PropertyValue] | None = Field(default=None, description="Named values of it")


class AddFact(Arguments):
    """Something that is so."""

    entity: str = Field(description=_ENTITY)
    type: str | None = Field(default=None, description=_TYPE)
    fact: str = Field(description="One short statement without its name in front: 'Uses PostgreSQL'")


class AddEvent(Arguments):
    """Something that happened."""

    entity: str = Field(description=_ENTITY)
    type: str | None = Field(default=None, description=_TYPE)
    event: str = Field(description="What happened, in the past tense: 'Hired Bob as CTO'")
    date: str | None = Field(default=None, description="When: YYYY, YYYY-MM or YYYY-MM-DD; null where nobody said")


class LinkEntities(Arguments):
    """A tie between two things: it reads source, relation, target."""

    source: str = Field(description="The thing that the sentence begins with: 'Bob'")
    source_type: str | None = Field(default=None, description=_TYPE)
    relation: str = Field(description="The words between the two names: 'CTO of'")
    target: str = Field(description="The other thing: 'Acme Corp'")
    target_type: str | None = Field(default=None, description=_TYPE)


class SearchEntities(Arguments):
    """What to look for."""

    query: str = Field(description="A name, or what you want to know; empty for everything of a type")
    type: str | None = Field(default=None, description="Only things of this kind; null for any")
    limit: int | None = Field(default=None, description=f"How many at most, up to {MAX_RESULTS}; null means 5")


class ForgetFact(Arguments):
    """A fact."""

    entity: str = Field(description=_ENTITY)
    fact: str = Field(description="What is no longer so, in the words in which it is shown, or its id")


def remember_arguments(spec: StoreSpec) -> type[Arguments]:
    """The arguments of remember_entity: the properties are those of the spec's schema, or free."""
    if spec.user_schema is None:
        return RememberEntity
    item: Any = named_values(PropertyValue, spec.user_schema["properties"])
    properties: Any = (list[item] | None, Field(default=None, description="Named values of it"))
    return create_model("RememberEntity", __base__=RememberEntity, properties=properties)


def of_types(arguments: type[Arguments], spec: StoreSpec) -> type[Arguments]:
    """The arguments with the types that the spec lists in their schema. Another form of one is taken: "companies"."""
    types = entity_types(spec)
    told = {
        name: each for name, each in arguments.model_fields.items() if name in ("type", "source_type", "target_type")
    }
    if types is None or not told:
        return arguments
    fields: dict[str, Any] = {}
    for name, each in told.items():
        schema = {"type": "string", "enum": list(types), "description": each.description}
        listed: Any = Annotated[str, WithJsonSchema(schema)]
        fields[name] = (listed, ...) if each.is_required() else (listed | None, None)
    return create_model(arguments.__name__, __base__=arguments, __doc__=arguments.__doc__, **fields)
