"""The patch of learned knowledge: insights that hold beyond their conversation, and what becomes of those known."""

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema, create_model

from learning_schemas.patch import Cited, PatchModel
from learning_schemas.spec import StoreSpec
from learning_schemas.strict import nullable, strict_value


class Insight(Cited):
    """A new insight."""

    title: str = Field(description="What it is about, in a few words")
    learning: str = Field(description="One statement that stands on its own and says what to do or what holds")
    context: str | None = Field(description="When it holds, where it does not always")
    tags: list[str] = Field(description="A few words that it can be found by, in small letters")


class KnownInsight(Cited):
    """A known insight that a message says again, or takes back."""

    learning: str = Field(description="The id of the known insight, such as k2")


class KnowledgePatch(PatchModel):
    """What a window of messages changes in what was learned."""

    insights: list[Insight]
    confirm: list[KnownInsight] = Field(description="Known insights that a message says again or bears out")
    retract: list[KnownInsight] = Field(description="Known insights that a message says are wrong or no longer so")


def insight_fields(store: StoreSpec) -> dict[str, dict[str, Any]]:
    """The schemas of the user's own fields of an insight, by name."""
    return dict(store.user_schema["properties"]) if store.user_schema is not None else {}


def fields_model(schemas: dict[str, dict[str, Any]], *, required: bool = True) -> type[PatchModel]:
    """Own fields as a closed object, null where nothing is said; each of them there, where `required`."""
    values: dict[str, Any] = {
        name: (Annotated[Any, WithJsonSchema(nullable(strict_value(schema)))], ... if required else None)
        for name, schema in schemas.items()
    }
    return create_model("fields", __base__=PatchModel, **values)


def knowledge_patch_model(store: StoreSpec) -> type[KnowledgePatch]:
    """The patch model; an insight has `fields` where the spec has a schema for them."""
    schemas = insight_fields(store)
    if not schemas:
        return create_model("learned_knowledge_patch", __base__=KnowledgePatch)
    insight: Any = create_model("insight", __base__=Insight, fields=(fields_model(schemas), ...))
    return create_model("learned_knowledge_patch", __base__=KnowledgePatch, insights=(list[insight], ...))
