"""What can be said of an entity, as operations: one form for the model's patch, for tools and for people."""

from typing import Any
from uuid import UUID

from learning_stores.entity_names import event_key
from learning_stores.grounding import content_key, fold
from learning_stores.operations import Citation, EntityName, Put
from learning_stores.user_values import told

Citations = tuple[Citation, ...]


def alias_of(entity: EntityName, name: str, citations: Citations) -> Put:
    """The entity is called so. Its own name is its first alias: look-ups go by aliases only."""
    return Put(
        kind="alias",
        content=name,
        content_key=content_key(name),
        citations=citations,
        about=entity,
        equal_by_key=True,
    )


def description_of(entity: EntityName, text: str, citations: Citations) -> Put:
    """What it is: one description at a time."""
    return Put(kind="description", content=text, content_key="description", citations=citations, about=entity)


def property_of(entity: EntityName, name: str, value: Any, citations: Citations) -> Put:
    """A named value: one of each name at a time."""
    return Put(
        kind="property",
        content=" ".join(f"{name.replace('_', ' ')}: {told(value)}".split()),
        content_key=fold(name),
        citations=citations,
        data={"name": name, "value": value},
        about=entity,
    )


def fact_of(entity: EntityName, text: str, citations: Citations, replaces: UUID | None = None) -> Put:
    """Something that is so."""
    return Put(
        kind="fact",
        content=text,
        content_key=content_key(text),
        citations=citations,
        about=entity,
        replaces=replaces,
        equal_by_key=True,
    )


def event_of(entity: EntityName, text: str, date: str | None, citations: Citations) -> Put:
    """Something that happened; the same on another date is another event."""
    return Put(
        kind="event",
        content=text,
        content_key=event_key(text, date),
        citations=citations,
        data={"date": date} if date is not None else {},
        about=entity,
        equal_by_key=True,
    )


def relationship_of(source: EntityName, relation: str, target: EntityName, citations: Citations) -> Put:
    """A directed tie: it reads source, relation, target. Equal relations between the same two are one."""
    return Put(
        kind="relationship",
        content=f"{source.name}: {relation} {target.name}",
        content_key=content_key(relation),
        citations=citations,
        data={"relation": relation},
        about=source,
        target=target,
        equal_by_key=True,
    )
