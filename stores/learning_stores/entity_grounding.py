"""From an entity patch to operations: each statement stands on a quote, and on a name that somebody said.

A name counts as said where the messages have it as whole words, where an alias that a message gives it is there, or where
the entity is known. What fails is dropped and counted.
"""

from dataclasses import replace
from uuid import UUID

from learning_schemas.entity_patch import EntityPatch
from learning_schemas.errors import ConfigurationError
from learning_schemas.patch import MAX_OPERATIONS
from learning_schemas.spec import StoreSpec
from learning_stores.entity_names import (
    MAX_NAME,
    MAX_TYPE,
    entity_type,
    is_date,
    is_pointer,
    says,
    typed_value,
    written,
)
from learning_stores.entity_statements import (
    Citations,
    alias_of,
    description_of,
    event_of,
    fact_of,
    property_of,
    relationship_of,
)
from learning_stores.grounding import content_key, fold
from learning_stores.operations import MAX_CONTENT, EntityName, Operation, Operations, Put, Retire
from learning_stores.store import Grounds, Known
from learning_stores.user_values import told
from learning_stores.window import Window

_Key = tuple[str, str]


class EntityGrounding:
    """One patch on its way to operations."""

    def __init__(self, window: Window, known: Known, spec: StoreSpec) -> None:
        self._grounds = Grounds(window)
        self._window = window
        self._known = known
        self._spec = spec
        self._texts = [fold(message.text) for message in window.messages]
        self._of_known: dict[_Key, EntityName] = {}  # by every known name
        self._aliased: dict[_Key, EntityName] = {}  # by the aliases that this patch gives
        self._listed: set[_Key] = set()
        self._names: dict[tuple[_Key, str], Put] = {}
        self._said: list[Operation] = []
        for learning in known.values():
            if learning.entity and learning.entity_type:
                entity = EntityName(learning.entity, learning.entity_type)
                self._of_known[content_key(entity.name), entity.type] = entity
                if learning.kind == "alias":
                    self._of_known.setdefault((content_key(learning.content), entity.type), entity)

    def operations(self, patch: EntityPatch) -> Operations:
        """What holds. Names come first: a cap leaves no statement without the name that it is found by."""
        self._entities(patch)
        self._facts(patch)
        self._properties(patch)
        self._events(patch)
        self._relationships(patch)
        self._retractions(patch)
        found = [*self._names.values(), *self._said]
        if (over := len(found) - MAX_OPERATIONS) > 0:
            self._drop("too many operations", over)
        return Operations(kept=tuple(found[:MAX_OPERATIONS]), dropped=self._grounds.dropped)

    def _entities(self, patch: EntityPatch) -> None:
        # All aliases first: an entity may be listed after what is said of it under another name.
        stated = []
        for entity in patch.entities:
            citations = self._grounds.quoted(entity.message, entity.quote)
            name = self._name(entity.name, entity.type) if citations else None
            if citations is None or name is None:
                continue
            cited = fold(self._window.by_label[entity.message].text)
            aliases = [alias for each in entity.aliases if (alias := self._alias(each, name, cited)) is not None]
            self._aliased |= {(content_key(alias), name.type): name for alias in aliases}
            stated.append((entity.description, name, aliases, citations))
        for description, name, aliases, citations in stated:
            if not self._is_said(name):
                self._drop("name not in the messages")
                continue
            self._listed.add(name.key)
            for alias in (name.name, *aliases):
                self._call(name, alias, citations)
            if description is not None and (content := self._grounds.content(description)) is not None:
                self._said.append(description_of(name, content, citations))

    def _facts(self, patch: EntityPatch) -> None:
        for fact in patch.facts:
            citations, about = self._cited(fact.message, fact.quote, fact.entity, fact.type)
            if about is None or not self._may_replace(fact.replaces, about):
                continue
            replaces = self._id(fact.replaces)
            if (content := self._grounds.content(fact.content)) is not None:
                self._say(fact_of(about, content, citations, replaces))

    def _properties(self, patch: EntityPatch) -> None:
        for item in patch.properties:
            citations, about = self._cited(item.message, item.quote, item.entity, item.type)
            if about is None:
                continue
            # A name of the schema's is its own; among free ones "Industry" is "industry".
            name = item.name if self._spec.user_schema is not None else fold(written(item.name))
            if not name:
                self._drop("empty")
            elif len(name) > MAX_NAME or len(told(item.value)) > MAX_CONTENT - MAX_NAME - 2:
                self._drop("too long")
            else:
                try:
                    value = typed_value(name, item.value, self._spec)
                except ConfigurationError:
                    raise  # a ValueError too, but about the schema: nothing of the patch is lost for it
                except ValueError:
                    self._drop("invalid value")
                else:
                    if value == "":
                        self._drop("empty")
                    else:
                        self._say(property_of(about, name, value, citations))

    def _events(self, patch: EntityPatch) -> None:
        for event in patch.events:
            citations, about = self._cited(event.message, event.quote, event.entity, event.type)
            if about is None:
                continue
            if event.date is not None and not is_date(event.date):
                self._drop("invalid date")
            elif (content := self._grounds.content(event.content)) is not None:
                self._say(event_of(about, content, event.date, citations))

    def _relationships(self, patch: EntityPatch) -> None:
        for edge in patch.relationships:
            citations, source = self._cited(edge.message, edge.quote, edge.source, edge.source_type)
            target = None if source is None else self._entity(edge.target, edge.target_type)
            if source is None or target is None:
                continue
            relation = written(edge.relation).rstrip(" .!…")
            if self._meant(source).key == self._meant(target).key:
                self._drop("self-relationship")
            elif not relation or len(relation) > MAX_NAME:
                self._drop("too long" if relation else "empty")
            else:
                self._say(relationship_of(source, relation, target, citations))

    def _retractions(self, patch: EntityPatch) -> None:
        for retraction in patch.retract:
            learning = self._known.get(retraction.learning)
            if learning is None:
                self._drop("unknown learning")
            elif learning.kind == "alias" and fold(learning.content) == fold(learning.entity or ""):
                self._drop("an entity's own name")  # without it nothing of the entity would be found
            elif citations := self._grounds.quoted(retraction.message, retraction.quote):
                self._said.append(Retire(learning_id=learning.id, citations=citations))

    def _say(self, put: Put) -> None:
        """Keep a statement; who is neither listed nor known is found by the name that stands in it."""
        for name in (put.about, put.target):
            if name is None or name.key in self._listed:
                continue
            key = content_key(name.name), name.type
            if key not in self._of_known and key not in self._aliased:
                self._call(name, name.name, put.citations)
        self._said.append(put)

    def _call(self, entity: EntityName, alias: str, citations: Citations) -> None:
        """Keep a name, once for all the places where it stands."""
        key = entity.key, content_key(alias)
        there = self._names.get(key)
        if there is None:
            self._names[key] = alias_of(entity, alias, citations)
        else:
            more = tuple(each for each in citations if each not in there.citations)
            self._names[key] = replace(there, citations=there.citations + more)

    def _cited(self, label: str, quote: str, name: str, kind: str) -> tuple[Citations, EntityName | None]:
        """The citation, and the entity that something is said of; None (and counted) where either does not hold."""
        citations = self._grounds.quoted(label, quote)
        return (citations, self._entity(name, kind)) if citations else ((), None)

    def _entity(self, name: str, kind: str) -> EntityName | None:
        found = self._name(name, kind)
        if found is not None and not self._is_said(found):
            self._drop("name not in the messages")
            return None
        return found

    def _name(self, name: str, kind: str) -> EntityName | None:
        """A name and a type as they are kept; None (and counted) where they are none."""
        found = EntityName(written(name), entity_type(kind))
        if not found.name or not found.type:
            self._drop("empty type" if found.name else "empty name")
        elif len(found.name) > MAX_NAME or len(found.type) > MAX_TYPE:
            self._drop("name too long")
        elif is_pointer(found.name, found.type):
            self._drop("not a name")
        else:
            return found
        return None

    def _alias(self, text: str, of: EntityName, cited: str) -> str | None:
        """An alias that the cited message says; None (and counted) for any other. The entity's own name is none."""
        alias = written(text)
        if alias and fold(alias) == fold(of.name):
            return None
        if self._name(alias, of.type) is None:
            return None
        if not says(alias, cited):
            self._drop("alias not in the message")
            return None
        return alias

    def _is_said(self, name: EntityName) -> bool:
        if (content_key(name.name), name.type) in self._of_known or any(says(name.name, text) for text in self._texts):
            return True
        return any(of.key == name.key for of in self._aliased.values())

    def _meant(self, name: EntityName) -> EntityName:
        """The entity that a name stands for, as far as this patch and what is known tell."""
        own = self._aliased.get((content_key(name.name), name.type), name)
        return self._of_known.get((content_key(own.name), own.type), own)

    def _may_replace(self, label: str | None, about: EntityName) -> bool:
        """Whether it names nothing, or a known fact of this entity; else it is counted."""
        if label is None:
            return True
        learning = self._known.get(label)
        if learning is None:
            self._drop("unknown learning")
        elif learning.kind != "fact":
            self._drop("not a fact")
        elif EntityName(learning.entity or "", learning.entity_type or "").key not in (
            about.key,
            self._meant(about).key,
        ):
            self._drop("about another entity")
        else:
            return True
        return False

    def _id(self, label: str | None) -> UUID | None:
        return None if label is None else self._known[label].id

    def _drop(self, reason: str, number: int = 1) -> None:
        self._grounds.dropped[reason] += number
