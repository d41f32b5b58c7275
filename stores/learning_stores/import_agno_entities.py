"""All that a row of agno's says of an entity."""

from collections.abc import Callable
from typing import Any

from learning_stores.entity_statements import alias_of, description_of, event_of, fact_of, property_of, relationship_of
from learning_stores.import_agno_row import (
    INTERNAL,
    AgnoRow,
    Found,
    Names,
    Statement,
    in_words,
    items,
    moment_of,
    when,
    words_of,
)
from learning_stores.operations import EntityName, Put


def entity_of(row: AgnoRow) -> EntityName:
    """The entity that a row is about."""
    return EntityName(row.entity_name, row.entity_type or "")


def of_entity(row: AgnoRow, content: dict[str, Any], names: Names) -> Found:
    """All that is said of an entity. What agno replaced, forgot or archived comes as past."""
    about = entity_of(row)
    archived = when(content.get("archived_at"))
    extra = {"namespace": row.scope[0]}

    def said(put: Put, item: Any = None) -> Statement:
        at = moment_of(item, row)
        ended = archived
        if isinstance(item, dict) and (superseded := when(item.get("superseded_at"))) is not None:
            ended = superseded
        confidence = item.get("confidence") if isinstance(item, dict) else None
        return Statement(
            "entity_memory",
            put,
            at if ended is None else min(at, ended),
            retired_at=ended,
            confidence=confidence if isinstance(confidence, (int, float)) and 0 <= confidence <= 1 else None,
            extra=extra,
        )

    for alias in dict.fromkeys([about.name, *map(str, items(content, "aliases"))]):
        yield f"alias {alias[:40]}", said(alias_of(about, alias, ()))
    if content.get("description"):
        yield "description", said(description_of(about, str(content["description"]), ()))
    properties = content.get("properties")
    for name, value in (properties if isinstance(properties, dict) else {}).items():
        if value not in (None, "", [], {}):
            yield f"property {name}", said(property_of(about, str(name), value, ()))
    for number, fact in enumerate(items(content, "facts"), 1):
        words = words_of(fact)
        yield f"fact {number}", "it has no words" if words is None else said(fact_of(about, words, ()), fact)
    for number, event in enumerate(items(content, "events"), 1):
        words = words_of(event)
        date = event.get("date") if isinstance(event, dict) else None
        put = None if words is None else event_of(about, words, str(date) if date else None, ())
        yield f"event {number}", "it has no words" if put is None else said(put, event)
    for number, tie in enumerate(items(content, "relationships"), 1):
        yield f"relationship {number}", _tie(row, about, tie, names, said)
    known = {
        "entity_id",
        "entity_type",
        "name",
        "namespace",
        "archived_at",
        "aliases",
        "description",
        "properties",
        "facts",
    }
    for name, value in content.items():
        if name not in known | INTERNAL | {"events", "relationships"} and value not in (None, "", [], {}):
            yield f"column {name}", said(property_of(about, name, value, ()))


def _tie(row: AgnoRow, about: EntityName, tie: Any, names: Names, said: Callable[..., Statement]) -> Statement | str:
    if not isinstance(tie, dict) or not tie.get("entity_id") or not tie.get("relation"):
        return "it names no entity, or no relation"
    far_id, far_type = str(tie["entity_id"]), tie.get("entity_type")
    of_that_id = names.get((row.scope, far_id), {})
    matching = [each for each in of_that_id.items() if far_type in (None, each[0])]
    if len(matching) > 1:
        return f"it names {far_id}, and there are several of that id"
    if not matching and far_type is None:
        return f"it names {far_id}, of which neither a row nor the type is known"
    type_, name = matching[0] if matching else (str(far_type), in_words(far_id))
    other, relation = EntityName(name, str(type_)), str(tie["relation"])
    source, target = (other, about) if tie.get("direction") == "incoming" else (about, other)
    return said(relationship_of(source, relation, target, ()), tie)
