"""What a person states, in the arguments of a call: checked, and made into what the stores write.

An error names the argument and the remedy. What extraction has to ground, a person need not: their word is the evidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from learning_schemas.errors import ConfigurationError, InvalidArgument
from learning_schemas.patch import DEFAULT_PROFILE_SCHEMA
from learning_schemas.spec import StoreSpec
from learning_stores import entity_statements as entities
from learning_stores.entity_names import MAX_NAME, MAX_TYPE, entity_type, is_date
from learning_stores.entity_names import typed_value as property_value
from learning_stores.grounding import content_key, fold, storable
from learning_stores.insight import MAX_TAG, MAX_TAGS, MAX_TITLE, insight_put
from learning_stores.library import Kept
from learning_stores.operations import MAX_CONTENT, Citation, EntityName, Put
from learning_stores.session_context import MAX_STEPS
from learning_stores.store import LearningStore
from learning_stores.user_values import told, typed_value

Citations = tuple[Citation, ...]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """A store's configuration; `own` says that it is this process's own, so that the class that it names may be imported."""

    spec: StoreSpec
    own: bool = False


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The arguments that say what is to be remembered. None: not given.

    A memory, summary, goal, fact, description, alias, event or a learning of a store of one's own has `content` (an event
    also a `date`: YYYY, YYYY-MM or YYYY-MM-DD); a field and a property have `field` and `value`; a plan and progress a list
    of steps as `value`; an insight `title` and `learning`, and may have `context` and `tags`; a relationship `relation` and
    `target`. What is about an entity names it by `entity` and `type`.
    """

    content: str | None = None
    field: str | None = None
    value: Any = None
    title: str | None = None
    learning: str | None = None
    context: str | None = None
    tags: Sequence[str] | None = None
    entity: str | None = None
    type: str | None = None
    relation: str | None = None
    target: str | None = None
    target_type: str | None = None
    date: str | None = None
    data: Mapping[str, Any] | None = None

    @property
    def given(self) -> list[str]:
        """The names of the arguments that are given."""
        return [each.name for each in fields(self) if getattr(self, each.name) is not None]


_OF_ENTITY = ("entity", "type")
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "field": ("field", "value"),
    "plan": ("value",),
    "progress": ("value",),
    "insight": ("title", "learning", "context", "tags"),
    "fact": ("content", *_OF_ENTITY),
    "description": ("content", *_OF_ENTITY),
    "alias": ("content", *_OF_ENTITY),
    "event": ("content", "date", *_OF_ENTITY),
    "property": ("field", "value", *_OF_ENTITY),
    "relationship": ("relation", "target", "target_type", *_OF_ENTITY),
}
"""The arguments of each kind; of any other, `content`, and `data` in a store of one's own."""
_FIXED = ("field", "target", "target_type", *_OF_ENTITY)
"""What identifies a learning, and stays when it is reworded."""
_BUILT_IN = frozenset({"user_profile", "session_context", "entity_memory", "learned_knowledge"})


def kind_of(store: LearningStore, kind: str | None, said: Wording) -> str:
    """The kind that is meant: the one named, else what the arguments tell. Raises `InvalidArgument`."""
    if kind is not None:
        if kind not in store.kinds:
            raise InvalidArgument("kind", f"is no kind of {store.name}", f"Use one of {', '.join(store.kinds)}")
        return kind
    if store.name == "user_profile":
        return "memory" if said.field is None else "field"
    if store.name == "entity_memory":
        named = {"relation": "relationship", "target": "relationship", "field": "property", "date": "event"}
        return next((kind for name, kind in named.items() if getattr(said, name) is not None), "fact")
    if len(store.kinds) > 1:
        raise InvalidArgument("kind", f"is needed for {store.name}", f"Use one of {', '.join(store.kinds)}")
    return next(iter(store.kinds))


def stated(store: LearningStore, kind: str, terms: Terms, said: Wording, citations: Citations) -> list[Put]:
    """What states it, the statement last; before it the names by which its entities are found. Raises `InvalidArgument`."""
    taken = _taken(store.name, kind)
    if useless := [name for name in said.given if name not in taken]:
        raise InvalidArgument(
            useless[0], f"has no use for the kind {kind!r} of {store.name}", f"It takes {', '.join(taken)}"
        )
    names: list[EntityName] = []
    if store.name == "entity_memory":
        names.append(_entity("entity", said.entity, "type", said.type, terms.spec))
    if kind == "relationship":
        names.append(_entity("target", said.target, "target_type", said.target_type, terms.spec))
        if names[0].key == names[1].key:
            raise InvalidArgument("target", "is the entity itself", "Name another entity")
    put = _put(store.name, kind, terms, said, names, citations)
    return [*(entities.alias_of(name, name.name, citations) for name in names), put]


def restated(of: Kept, terms: Terms, said: Wording, citations: Citations) -> Put:
    """A learning's new wording, of the same kind about the same things; what is not given stays. Raises `InvalidArgument`."""
    was = of.learning
    taken = [name for name in _taken(was.store, was.kind) if name not in _FIXED]
    if was.store == "entity_memory" and was.kind == "alias":
        raise InvalidArgument("learning_id", "is a name of an entity", "Add the other name, and retract this one")
    if not said.given:
        raise InvalidArgument(taken[0], "is not given, nor anything else to change", f"It takes {', '.join(taken)}")
    for name in said.given:
        if name in _FIXED:
            raise InvalidArgument(name, "cannot be changed", "Add another learning, and retract this one")
        if name not in taken:
            problem = f"has no use for a {was.kind} of {was.store}"
            raise InvalidArgument(name, problem, f"It takes {', '.join(taken)}")
    names = [EntityName(was.about, was.about_type or "")] if was.about is not None else []
    if of.target is not None:
        names.append(EntityName(was.data["target"], was.data["target_type"]))
    complete = _completed(was.store, was.kind, was.content, was.data, said)
    put = _put(was.store, was.kind, terms, complete, names, citations)
    return replace(put, equal_by_key=False)  # however little the new wording differs


def _completed(store: str, kind: str, content: str, data: Mapping[str, Any], said: Wording) -> Wording:
    """The new arguments over those that made the learning."""
    if kind == "insight":
        return Wording(
            title=data.get("title") if said.title is None else said.title,
            learning=data.get("learning") if said.learning is None else said.learning,
            context=data.get("context") if said.context is None else said.context,
            tags=data.get("tags") if said.tags is None else said.tags,
            data=data.get("fields"),
        )
    if kind in ("field", "property"):
        return Wording(field=data.get("name"), value=said.value)
    if kind == "event":
        return Wording(content=said.content or content, date=data.get("date") if said.date is None else said.date)
    if store not in _BUILT_IN:
        return Wording(content=said.content or content, data=data if said.data is None else said.data)
    return said


def _put(store: str, kind: str, terms: Terms, said: Wording, names: Sequence[EntityName], citations: Citations) -> Put:
    if store not in _BUILT_IN:
        content, data = _line("content", said.content), storable(dict(said.data or {}))
        return Put(kind=kind, content=content, content_key=content_key(content), citations=citations, data=data)
    if names:
        return _of_entity(kind, terms, said, names, citations)
    if kind == "insight":
        return _insight(said, citations)
    if kind == "field":
        name, value = _field(store, terms, said)
        content, key, data = f"{name.replace('_', ' ')}: {told(value)}", name, {"name": name, "value": value}
    elif kind in ("plan", "progress"):
        steps = _steps(said.value)
        content, key, data = "; ".join(f"{n}. {step}" for n, step in enumerate(steps, 1)), kind, {"steps": steps}
    else:
        content, data = _line("content", said.content), {}
        key = content_key(content) if kind == "memory" else kind
    content = _line("value" if data else "content", content)
    return Put(kind=kind, content=content, content_key=key, citations=citations, data=data)


def _of_entity(kind: str, terms: Terms, said: Wording, names: Sequence[EntityName], citations: Citations) -> Put:
    entity = names[0]
    if kind == "relationship":
        relation = _line("relation", said.relation, MAX_NAME).rstrip(" .!…")
        return entities.relationship_of(entity, relation, names[1], citations)
    if kind == "property":
        name = _line("field", said.field, MAX_NAME)
        name = name if terms.spec.user_schema is not None else fold(name)
        schema = None if terms.spec.user_schema is None else terms.spec.user_schema["properties"]
        value = _checked(name, schema, said.value, lambda given: property_value(name, given, terms.spec))
        _line("value", told(value))
        return entities.property_of(entity, name, value, citations)
    content = _line("content", said.content, MAX_NAME if kind == "alias" else MAX_CONTENT)
    if kind == "event":
        date = said.date or None
        if date is not None and not (isinstance(date, str) and is_date(date)):
            raise InvalidArgument("date", "is no date of the form YYYY, YYYY-MM or YYYY-MM-DD", "Write 2026-11-20")
        return entities.event_of(entity, content, date, citations)
    made = {"alias": entities.alias_of, "description": entities.description_of, "fact": entities.fact_of}
    return made[kind](entity, content, citations)


def _insight(said: Wording, citations: Citations) -> Put:
    tags = said.tags if said.tags is not None else ()
    if isinstance(tags, str) or not isinstance(tags, Sequence) or len(tags) > MAX_TAGS:
        raise InvalidArgument("tags", f"is no list of at most {MAX_TAGS} words", "Give tags=['python', 'testing']")
    put = insight_put(
        title=_line("title", said.title, MAX_TITLE),
        learning=_line("learning", said.learning),
        context=_line("context", said.context) if said.context else None,
        tags=[_line("tags", tag, MAX_TAG) for tag in tags],
        fields=said.data,
        citations=citations,
    )
    _line("learning", put.content)  # title and context count too
    return put


def _field(store: str, terms: Terms, said: Wording) -> tuple[str, Any]:
    """A field's name, and its value as the schema takes it."""
    name = _line("field", said.field, MAX_NAME)
    default = DEFAULT_PROFILE_SCHEMA if store == "user_profile" else {"properties": {}}
    schema = (terms.spec.user_schema or default)["properties"]
    imported = terms.spec.schema_import
    return name, _checked(
        name, schema, said.value, lambda given: typed_value(name, given, schema[name], imported, own=terms.own)
    )


def _checked(name: str, schema: Mapping[str, Any] | None, value: Any, check: Any) -> Any:
    if schema is not None and name not in schema:
        remedy = f"Use one of {', '.join(schema)}" if schema else "Give the store a schema that has it"
        raise InvalidArgument("field", "is not in the schema of this memory", remedy)
    if value is None or value in ("", [], {}):
        raise InvalidArgument("value", "is not given", "Give value=…; what is no longer so is retracted")
    try:
        return check(value)
    except ConfigurationError:
        raise
    except ValueError:
        problem = f"is {type(value).__name__}, which the schema of {name} does not take"
        raise InvalidArgument("value", problem, "Give one that it takes") from None


def _entity(name_of: str, name: str | None, type_of: str, kind: str | None, spec: StoreSpec) -> EntityName:
    found = EntityName(_line(name_of, name, MAX_NAME), entity_type(_line(type_of, kind, MAX_TYPE)))
    types = spec.options.get("types")
    if not found.type or (types and found.type not in {entity_type(each) for each in types}):
        remedy = f"Use one of {', '.join(types)}" if types else "Say what it is: company, person, project"
        raise InvalidArgument(type_of, "is no type that this memory takes", remedy)
    return found


def _steps(value: Any) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not 0 < len(value) <= MAX_STEPS:
        raise InvalidArgument("value", f"is no list of 1 to {MAX_STEPS} steps", "Give value=['first', 'second']")
    return [_line("value", step) for step in value]


def _line(name: str, given: Any, most: int = MAX_CONTENT) -> str:
    """A text on one line."""
    if given is not None and not isinstance(given, str):
        raise InvalidArgument(name, f"is {type(given).__name__}, not a text", "Give a text")
    line = " ".join(storable(given or "").split())
    if not line:
        raise InvalidArgument(name, "is empty" if given is not None else "is not given", f"Give {name}=…")
    if len(line) > most:
        raise InvalidArgument(name, f"has {len(line):,} characters, and may have {most:,}", "Say it in fewer words")
    return line


def _taken(store: str, kind: str) -> tuple[str, ...]:
    return _ARGUMENTS.get(kind, ("content",)) if store in _BUILT_IN else ("content", "data")
