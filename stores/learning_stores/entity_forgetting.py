"""Forgetting one thing that is known of an entity, named by its words or its id."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Row, text

from learning_schemas.marker import defused
from learning_stores.answers import forgotten
from learning_stores.entity_names import entity_told
from learning_stores.entity_search import FoundEntity
from learning_stores.grounding import content_key, fold
from learning_stores.operations import Citation, Retire
from learning_stores.tooling import Calling, ToolRefusal

NEAREST = 3
"""Facts that are named where none is the one meant."""

_WORD = re.compile(r"\w+")

_KNOWN = text("""
    SELECT l.id, l.kind, l.content, l.data, t.name AS target
    FROM learning.learning l LEFT JOIN learning.entity t ON t.tenant = :tenant AND t.id = l.target
    WHERE l.tenant = :tenant AND l.store = :store AND l.scope = :scope AND l.status = 'active' AND l.kind <> 'alias'
      AND (l.about = :entity OR l.target = :entity)
    ORDER BY l.live_from DESC, l.id DESC LIMIT 1000
""")


def forget(calling: Calling, of: FoundEntity, fact: str) -> str:
    """Retire what these words or this id name; where that is nothing, or several things, say what there is."""
    place = calling.place
    values = {"tenant": place.tenant, "store": place.store, "scope": place.scope, "entity": of.id}
    known = calling.session.execute(_KNOWN, values).all()
    meant = [row for row in known if _names(row, fact)]
    told = entity_told(of.entity)
    if not known:
        return f"Nothing is known of {told} but its name."
    if not meant:
        return f"No such fact of {told} is known. The nearest: {_listed(_nearest(known, fact))}"
    if len(meant) > 1:
        raise ToolRefusal(f"Which one? Name it by its id; nothing was changed. {_listed(meant)}")
    operation = Retire(learning_id=meant[0].id, citations=(Citation(occurred_at=datetime.now(UTC)),))
    return f"{forgotten(calling.write([operation], 'forget_fact'))} {told}: {defused(meant[0].content)}"


def _names(row: Row[tuple[object, ...]], fact: str) -> bool:
    """By id; by its words; a property also by its name, a relationship without its source, an event with its date."""
    if fact.casefold() == str(row.id):
        return True
    words = [row.content]
    if row.kind == "property":
        words.append(row.data["name"])
    if row.kind == "relationship":
        words.append(f"{row.data['relation']} {row.target}")
    if "date" in row.data:
        words.append(f"{row.data['date']}: {row.content}")
    return content_key(fact) in map(content_key, words)


def _nearest(known: Sequence[Row[tuple[object, ...]]], fact: str) -> Sequence[Row[tuple[object, ...]]]:
    """Those that share most words with it, else the last learned."""
    wanted = set(_WORD.findall(fold(fact)))
    return sorted(known, key=lambda row: -len(wanted & set(_WORD.findall(fold(row.content)))))[:NEAREST]


def _listed(rows: Sequence[Row[tuple[object, ...]]]) -> str:
    def line(row: Row[tuple[object, ...]]) -> str:
        date = f"{row.data['date']}: " if "date" in row.data else ""
        return f"{date}{row.content} (id {row.id})"

    return defused("; ".join(line(row) for row in rows))
