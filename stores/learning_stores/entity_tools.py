"""The tools of entity memory: remember and tie entities, add facts and events, search, forget.

An entity is named in words. Where a name alone leaves open which is meant, the tool asks instead of guessing.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from learning_schemas.entity_patch import entity_types
from learning_schemas.errors import ConfigurationError
from learning_schemas.marker import defused
from learning_schemas.spec import StoreSpec
from learning_stores.entity_arguments import (
    DEFAULT_RESULTS,
    MAX_RESULTS,
    AddEvent,
    AddFact,
    ForgetFact,
    LinkEntities,
    RememberEntity,
    SearchEntities,
    of_types,
    remember_arguments,
)
from learning_stores.entity_forgetting import forget
from learning_stores.entity_names import (
    MAX_NAME,
    MAX_TYPE,
    entity_told,
    entity_type,
    is_date,
    is_pointer,
    typed_value,
    written,
)
from learning_stores.entity_search import FoundEntity, named, search
from learning_stores.entity_statements import (
    Citations,
    alias_of,
    description_of,
    event_of,
    fact_of,
    property_of,
    relationship_of,
)
from learning_stores.grounding import content_key, fold, storable
from learning_stores.operations import MAX_CONTENT, Citation, EntityName, Put
from learning_stores.outcomes import outcomes, outcomes_told
from learning_stores.tooling import Arguments, Calling, ToolDefinition, ToolRefusal
from learning_stores.user_values import refused_value

MAX_LISTED = 50
"""Aliases, or properties, of one call."""

GUIDANCE = (
    "Call search_entities before you speak of a named thing (a person, a company, a project, a product, a place) that earlier "
    "conversations may have been about. When the conversation states something of a named thing that will matter again, keep it: "
    "remember_entity for the thing itself, other names of it, what it is and its properties; add_fact for what is so; add_event "
    "for what happened, with its date; link_entities for a tie of two things. Call forget_fact when a fact is no longer so. "
    "Keep only what was said, one statement a call, and name things by their names; other agents will read it. If the answer asks "
    "which thing is meant, or says that nothing was saved, do not tell the user that it was."
)


def entity_tools(spec: StoreSpec) -> Sequence[ToolDefinition]:
    """The six of them; the properties are those of the spec's schema."""

    offered: Sequence[tuple[str, str, type[Arguments], Any]] = (
        (
            "remember_entity",
            "Remember a named thing: what it is, its other names, its properties.",
            remember_arguments(spec),
            _remember,
        ),
        ("add_fact", "Add something that is so of a named thing.", AddFact, _add_fact),
        ("add_event", "Add something that happened to a named thing, or that it did.", AddEvent, _add_event),
        ("link_entities", "Say how one named thing is tied to another.", LinkEntities, _link),
        (
            "search_entities",
            "Search what is known of named things. The nearest come first.",
            SearchEntities,
            _search,
        ),
        (
            "forget_fact",
            "Forget a fact, event, property or tie of a named thing that is no longer so.",
            ForgetFact,
            _forget,
        ),
    )
    return tuple(
        ToolDefinition(
            name=name, description=description, arguments=of_types(arguments, spec), run=run, writes=run is not _search
        )
        for name, description, arguments, run in offered
    )


def _remember(calling: Calling, arguments: RememberEntity) -> str:
    about, here = _entity(calling, arguments.name, arguments.type)
    cited = _now()
    aliases = [_name(alias, "an alias") for alias in _few(arguments.aliases, "aliases")]
    puts = [alias_of(about, alias, cited) for alias in aliases if fold(alias) != fold(about.name)]
    if arguments.description is not None:
        puts.append(description_of(about, _text(arguments.description, "the description"), cited))
    puts += [_property(calling, about, item, cited) for item in _few(arguments.properties, "properties")]
    if here is None or not puts:
        puts.insert(0, alias_of(about, about.name, cited))
    return _written(calling, about, puts, "remember_entity")


def _property(calling: Calling, about: EntityName, item: Any, cited: Citations) -> Put:
    spec = calling.spec
    name = _name(item.name, "a property's name")
    name = name if spec.user_schema is not None else fold(name)
    try:
        value = typed_value(name, item.value, spec, own=True)
    except ConfigurationError as error:
        raise ToolRefusal(f"Not saved: {error}") from None
    except ValueError as error:
        schema = (spec.user_schema or {})["properties"].get(name, {})
        raise ToolRefusal(f"Not saved: {refused_value(name, schema, error)}") from None
    put = property_of(about, name, value, cited)
    if value == "" or len(put.content) > MAX_CONTENT:
        raise ToolRefusal(f"Not saved: the value of {name} is {'empty' if value == '' else 'too long'}.")
    return put


def _add_fact(calling: Calling, arguments: AddFact) -> str:
    about, here = _entity(calling, arguments.entity, arguments.type)
    put = fact_of(about, _text(arguments.fact, "the fact"), _now())
    return _stated(calling, [(about, here)], put, "add_fact")


def _add_event(calling: Calling, arguments: AddEvent) -> str:
    about, here = _entity(calling, arguments.entity, arguments.type)
    if arguments.date is not None and not is_date(arguments.date):
        raise ToolRefusal("Not saved: the date has to be a real one of the form YYYY, YYYY-MM or YYYY-MM-DD, or null.")
    put = event_of(about, _text(arguments.event, "the event"), arguments.date, _now())
    return _stated(calling, [(about, here)], put, "add_event")


def _link(calling: Calling, arguments: LinkEntities) -> str:
    source, source_here = _entity(calling, arguments.source, arguments.source_type)
    target, target_here = _entity(calling, arguments.target, arguments.target_type)
    if source.key == target.key:
        raise ToolRefusal(f"Not saved: source and target are both {entity_told(source)}.")
    relation = _name(arguments.relation, "the relation").rstrip(" .!…")
    if not relation:
        raise ToolRefusal("Not saved: the relation is empty.")
    put = relationship_of(source, relation, target, _now())
    return _stated(calling, [(source, source_here), (target, target_here)], put, "link_entities")


def _search(calling: Calling, arguments: SearchEntities) -> str:
    limit = DEFAULT_RESULTS if arguments.limit is None else min(max(arguments.limit, 1), MAX_RESULTS)
    query = written(arguments.query).strip("*")
    kind = entity_type(arguments.type) or None if arguments.type is not None else None
    found = search(calling, query, kind, limit)
    return "\n".join(found) or f"Nothing is known of {query[:MAX_NAME] or kind or 'anything'} yet."


def _forget(calling: Calling, arguments: ForgetFact) -> str:
    called = _name(arguments.entity, "the name")
    here = _known(calling, called, None)
    if here is None or here.scope != calling.place.scope:
        return defused(f"Nothing is known of {called}.")
    return forget(calling, here, written(arguments.fact))


def _stated(calling: Calling, entities: Sequence[tuple[EntityName, FoundEntity | None]], put: Put, action: str) -> str:
    """Write one statement, after the names of entities that are new here."""
    names = [alias_of(entity, entity.name, put.citations) for entity, here in entities if here is None]
    about = entities[0][0]
    results = outcomes(calling, calling.write([*names, put], action))
    return outcomes_told(entity_told(about), [put], results[-1:])


def _written(calling: Calling, about: EntityName, puts: Sequence[Put], action: str) -> str:
    return outcomes_told(entity_told(about), puts, outcomes(calling, calling.write(puts, action)))


def _entity(calling: Calling, name: str, kind: str | None) -> tuple[EntityName, FoundEntity | None]:
    """The entity that is meant, and its row where it lies in the place that is written to. Refuses where that is open."""
    called = _name(name, "the name")
    wanted = _type(calling, kind) if kind is not None else None
    if (one := _known(calling, called, wanted)) is not None:
        return one.entity, one if one.scope == calling.place.scope else None
    if is_pointer(called, wanted or ""):
        raise ToolRefusal(f"Not saved: {called!r} is no name. Say what it is called.")
    if wanted is None:  # without one, whoever says the type later would make a second thing of that name
        listed = entity_types(calling.spec)
        types = f"one of {', '.join(listed)}" if listed is not None else "such as company, person or project"
        raise ToolRefusal(defused(f"Not saved: nothing is called {called} yet. Give its type too, {types}."))
    return EntityName(called, wanted), None


def _known(calling: Calling, called: str, wanted: str | None) -> FoundEntity | None:
    """The one that is known by this name. Refuses where several are."""
    found = [each for each in named(calling, called) if wanted is None or each.type == wanted]
    # Nearer ones first: of this place, and called so by their own name.
    found = [each for each in found if each.scope == calling.place.scope] or found
    found = [each for each in found if each.own_name] or found
    distinct = {each.entity.key: each for each in found}
    if len(distinct) > 1:
        told = " or ".join(entity_told(each.entity) for each in distinct.values())
        raise ToolRefusal(defused(f"Which {called}? {told}. Say which by its name and type; nothing was changed."))
    return next(iter(distinct.values()), None)


def _type(calling: Calling, kind: str) -> str:
    listed = entity_types(calling.spec)
    wanted = entity_type(kind)
    if listed is not None and wanted not in {entity_type(each) for each in listed}:
        raise ToolRefusal(f"Not saved: the type has to be one of {', '.join(listed)}.")
    if not wanted or len(wanted) > MAX_TYPE:
        raise ToolRefusal("Not saved: the type has to be a word or two, such as company.")
    return wanted


def _name(given: str, what: str) -> str:
    name = written(given)
    if not name or not content_key(name):
        raise ToolRefusal(f"Not saved: {what} is empty.")
    if len(name) > MAX_NAME:
        raise ToolRefusal(f"Not saved: {what} has more than {MAX_NAME} characters.")
    return name


def _text(given: str, what: str) -> str:
    told = " ".join(storable(given).split())
    if not told:
        raise ToolRefusal(f"Not saved: {what} is empty.")
    if len(told) > MAX_CONTENT:
        raise ToolRefusal(f"Not saved: {what} has more than {MAX_CONTENT:,} characters.")
    return told


def _few(given: Sequence[Any] | None, what: str) -> Sequence[Any]:
    if given is not None and len(given) > MAX_LISTED:
        raise ToolRefusal(f"Not saved: more than {MAX_LISTED} {what} in one call.")
    return given or ()


def _now() -> Citations:
    return (Citation(occurred_at=datetime.now(UTC)),)
