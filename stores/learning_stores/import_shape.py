"""Whether a learning that is to be imported has the form that its store gives its rows.

Recall, entities, forgetting and undo read a row's fields without asking again, and rows in a namespace are everybody's: one of
another form would end the recall of a whole tenant.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from learning_schemas.finding import first_finding
from learning_stores.import_record import ImportedLearning
from learning_stores.store import LearningStore


class _Plain(BaseModel):
    """Nothing that is read."""


class _Named(BaseModel):
    name: str
    value: Any


class _Steps(BaseModel):
    steps: list[str] = []


class _Dated(BaseModel):
    date: str | None = None


class _Related(BaseModel):
    relation: str


class _Insight(BaseModel):
    title: str
    learning: str
    context: str | None = None
    tags: list[str] = []
    fields: dict[str, Any] | None = None


_DATA: Mapping[str, Mapping[str, type[BaseModel]]] = {
    "user_profile": {"field": _Named, "memory": _Plain},
    "session_context": {"goal": _Plain, "plan": _Steps, "progress": _Steps, "field": _Named, "summary": _Plain},
    "entity_memory": {
        "description": _Plain,
        "property": _Named,
        "fact": _Plain,
        "event": _Dated,
        "relationship": _Related,
        "alias": _Plain,
    },
    "learned_knowledge": {"insight": _Insight},
}
"""By built-in store and kind. What stores of your own keep in their rows is theirs."""


def misfit(record: ImportedLearning, store: LearningStore) -> tuple[str, str] | None:
    """The field that does not fit this store, and why; None where all of them do."""
    if store.namespaced != (record.namespace is not None):
        return "namespace", "is given for what lies in one, and for nothing else: " + (
            f"learnings of {store.name} do" if store.namespaced else f"learnings of {store.name} do not"
        )
    of_session = store.scope == "session" and not store.namespaced
    if of_session and record.session_id is None:
        return "session_id", f"is missing: learnings of {store.name} belong to a session"
    kinds = _DATA.get(store.name)
    if kinds is None:
        return None
    if record.kind not in kinds:
        return "kind", f"is none of {store.name}: there are {', '.join(kinds)}"
    if store.name == "entity_memory":
        if record.about is None:
            return "about", "is missing: each learning of entity_memory is about an entity"
        if (record.kind == "relationship") != (record.target is not None):
            return "target", "is given for a relationship, and for nothing else"
    try:
        kinds[record.kind].model_validate(record.data, strict=True)
    except ValidationError as error:
        wrong = first_finding(error)
        return f"data.{wrong.field}", wrong.problem
    return None
