"""A row of agno's learnings as records of an import.

agno keeps one row a user, session or entity, whose content is the whole of it; here each statement is a learning of its own. Its id
follows from the row's and from what it says, so that the same row brings nothing the second time and a row that changed since
brings what changed.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID, uuid5

from pydantic import ValidationError

from learning_schemas.finding import first_finding
from learning_schemas.scope import USER_NAMESPACE
from learning_stores.entity_names import MAX_NAME
from learning_stores.grounding import content_key
from learning_stores.import_agno_entities import entity_of, of_entity
from learning_stores.import_agno_row import (
    INTERNAL,
    AgnoRow,
    Found,
    Left,
    Mapped,
    Names,
    Statement,
    items,
    moment_of,
    words_of,
    wrong_id,
)
from learning_stores.import_record import Imported, ImportedEntity, ImportedLearning
from learning_stores.operations import EntityName, Put
from learning_stores.user_values import told

_IDS = UUID("8f0b0f8e-6c2a-5c57-9a4e-0c3c1d5a7e21")
_CONFIDENCE = 0.6
"""Of what agno gives none for: it kept no words that it stands on."""
_COLLECTIONS: Mapping[str, Mapping[str, type]] = {
    "user_profile": {"memories": list},
    "user_memory": {"memories": list},
    "entity_memory": {"aliases": list, "facts": list, "events": list, "relationships": list, "properties": dict},
}
_DECISIONS = "decisions have no store here; cookbook/08_advanced/decision_log.py is one to copy"


def mapped(row: AgnoRow, names: Names) -> tuple[list[Mapped], list[Left]]:
    """The records of a row, and what of it has no equal here. `names` are the entities' names by scope, id and type."""
    where = f"row {row.learning_id}"
    content = row.content
    if (why := _no_equal(row, content)) is not None:
        return [], [Left(row=row.learning_id, what=row.learning_type, why=why)]
    records: list[Mapped] = []
    left = [
        Left(row=row.learning_id, what=name, why=f"it is no {'object' if kind is dict else 'list'}")
        for name, kind in _COLLECTIONS.get(row.learning_type, {}).items()
        if content.get(name) and not isinstance(content[name], kind)
    ]
    if row.learning_type == "entity_memory":
        _add(records, left, row, where, "entity", partial(_imported_entity, row, entity_of(row)))
    for what, statement in _STATEMENTS[row.learning_type](row, content, names):
        if isinstance(statement, Statement) and len(str(statement.put.data.get("name", ""))) > MAX_NAME:
            statement = f"its name has more than {MAX_NAME} characters"
        if isinstance(statement, str):
            left.append(Left(row=row.learning_id, what=what, why=statement))
        else:
            _add(records, left, row, where, what, partial(_learning, row, statement))
    return records, left


def _no_equal(row: AgnoRow, content: Any) -> str | None:
    if row.learning_type == "decision_log":
        return _DECISIONS
    if row.learning_type not in _STATEMENTS:
        return "no store here is of this type"
    if row.unread is not None:
        return row.unread
    if not isinstance(content, dict):
        return "its content is no object"
    if not row.owner and row.learning_type != "entity_memory":
        return "it belongs to no user, and imports are of users"
    if row.learning_type == "session_context" and not row.session_id:
        return "it names no session"
    if row.learning_type == "entity_memory":
        if not row.entity_id or not row.entity_type:
            return "it names no entity, or no type of one"
        if row.scope[0] == USER_NAMESPACE and not row.user_id:
            return 'it lies in the namespace "user" and names no user'
    if row.owner is not None and (wrong := wrong_id(row.owner)) is not None:
        return f"its user_id {wrong}"
    return None


def _add(
    records: list[Mapped], left: list[Left], row: AgnoRow, where: str, what: str, make: Callable[[], Imported]
) -> None:
    try:
        records.append(Mapped(where=f"{where}, {what}", record=make()))
    except ValidationError as error:
        wrong = first_finding(error)
        left.append(Left(row=row.learning_id, what=what, why=f"{wrong.field or 'it'}: {wrong.problem}"))


def _learning(row: AgnoRow, said: Statement) -> ImportedLearning:
    put = said.put
    target = f"{put.target.type}/{put.target.name}" if put.target is not None else ""
    parts = (row.learning_id, put.kind, put.content_key, put.content, target, str(said.retired_at or ""))
    return ImportedLearning(
        id=uuid5(_IDS, "\x1f".join(parts)),
        store=said.store,
        kind=put.kind,
        about=None if put.about is None else _imported_entity(row, put.about),
        target=None if put.target is None else _imported_entity(row, put.target),
        content=put.content,
        # As an export has it: the other end of a relationship is the end of its key.
        content_key=put.content_key if put.target is None else f"{put.content_key}:",
        data=dict(put.data),
        status="active" if said.retired_at is None else "retired",
        confidence=_CONFIDENCE if said.confidence is None else said.confidence,
        valid_from=said.said_at,
        live_from=said.said_at,
        retired_at=said.retired_at,
        retired_reason=None if said.retired_at is None else "retracted",
        agent_id=row.agent_id,
        team_id=row.team_id,
        origin="import",
        **said.extra,
    )


def _imported_entity(row: AgnoRow, entity: EntityName) -> ImportedEntity:
    return ImportedEntity(namespace=row.scope[0], name=entity.name, type=entity.type)


def _profile(row: AgnoRow, content: dict[str, Any], names: Names) -> Found:
    """Each field that has a value; and memories, which agno once kept in the profile."""
    for name, value in content.items():
        if name in INTERNAL or value in (None, "", [], {}):
            continue
        if name == "memories":
            yield from _memories(row, content, names)
            continue
        words = f"{name.replace('_', ' ')}: {told(value)}"
        put = Put(kind="field", content=words, content_key=name, citations=(), data={"name": name, "value": value})
        yield f"field {name}", Statement("user_profile", put, row.moment)


def _memories(row: AgnoRow, content: dict[str, Any], names: Names) -> Found:
    for number, memory in enumerate(items(content, "memories"), 1):
        words = words_of(memory)
        what = f"memory {number}"
        if words is None:
            yield what, "it has no words"
            continue
        put = Put(kind="memory", content=words, content_key=content_key(words), citations=())
        yield what, Statement("user_profile", put, moment_of(memory, row))


def _session(row: AgnoRow, content: dict[str, Any], names: Names) -> Found:
    """Summary, goal, plan, progress; and fields that a schema added."""
    for name, value in content.items():
        if name in INTERNAL or value in (None, "", [], {}):
            continue
        data: dict[str, Any] = {}
        if name in ("plan", "progress") and isinstance(value, list):
            steps = [str(step) for step in value]
            words, data = "; ".join(f"{number}. {step}" for number, step in enumerate(steps, 1)), {"steps": steps}
        elif name in ("summary", "goal"):
            words = str(value)
        else:
            words, data = f"{name.replace('_', ' ')}: {told(value)}", {"name": name, "value": value}
        kind = name if name in ("summary", "goal", "plan", "progress") else "field"
        put = Put(kind=kind, content=words, content_key=name, citations=(), data=data)
        yield name, Statement("session_context", put, row.moment, extra={"session_id": row.session_id})


_STATEMENTS: Mapping[str, Any] = {
    "user_profile": _profile,
    "user_memory": _memories,
    "session_context": _session,
    "entity_memory": of_entity,
}
