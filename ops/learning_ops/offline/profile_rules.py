"""The patch of a user profile: what the user's messages state, set against what is known."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learning_ops.offline.clauses import fold
from learning_ops.offline.instance import branches, fits
from learning_ops.offline.quotation import quote
from learning_ops.offline.statement import Statement
from learning_ops.offline.statements import statements
from learning_ops.offline.transcript import Known, Line, Transcript

_SINGLE = frozenset({"name", "preferred_name", "employer", "role", "place"})
_OPPOSITES = {"like": "dislike", "dislike": "like"}

# By which names, or which words of their description, a schema's fields are taken to hold a slot.
_FIELD_NAMES: dict[str, tuple[str, str]] = {
    "name": (r"(?:full_|user_|real_|first_)?name", r"$^"),
    "preferred_name": (
        r"preferred_(?:first_)?name|nick_?name",
        r"\b(?:nickname|wants? to be called|likes? to be called)\b",
    ),
    "employer": (
        r"(?:current_)?(?:employer|company|company_name|organi[sz]ation|workplace)",
        r"\b(?:employer|works? (?:at|for)|employed)\b",
    ),
    "role": (
        r"(?:current_)?(?:role|job|job_title|occupation|profession|position)",
        r"\b(?:job title|occupation|profession)\b",
    ),
    "place": (
        r"(?:current_|home_)?(?:place|location|city|town|residence)|lives_in|based_in",
        r"\b(?:lives?|resides?|is based|city of residence)\b",
    ),
    "origin": (r"origin|home_?town|birth_?place|from", r"\b(?:comes? from|grew up|was born)\b"),
    "like": (r"likes|interests|hobbies", r"\b(?:hobbies|interests|likes|enjoys)\b"),
    "dislike": (r"dislikes|hates", r"\b(?:dislikes|hates)\b"),
    "allergy": (r"allerg(?:y|ies)", r"\ballerg(?:y|ies|ic)\b"),
    "diet": (r"diet|dietary_\w+", r"\b(?:diet|dietary)\b"),
    "preference": (r"preferences?", r"$^"),
    "plan": (r"plans?", r"$^"),
}

# How a known memory's words are read back; wider than what these rules write, since a language model may have written them.
_MEMORIES: tuple[tuple[str, str], ...] = (
    ("preferred_name", r"(?:prefers|likes|wants) to be called (?P<v>.+)|goes by (?P<v2>.+)"),
    ("name", r"(?:their )?(?:full )?name is (?P<v>.+)|is called (?P<v2>.+)"),
    ("employer", r"(?:works|is working|is employed) (?:at|for|by|with) (?P<v>.+)|(?:joined|started at) (?P<v2>.+)"),
    ("role", r"works as (?:an? )?(?P<v>.+)|is an? (?P<v2>(?!big|huge|fan|vegetarian|vegan).+)"),
    ("place", r"(?:lives|is living|is based|resides) in (?P<v>.+)|(?:moved|relocated) to (?P<v2>.+)"),
    ("origin", r"(?:is|comes|originally) from (?P<v>.+)|grew up in (?P<v2>.+)"),
    (
        "dislike",
        r"(?:really )?(?:dislikes|hates|does not like|doesn't like|cannot stand|can't stand|is not a fan of) (?P<v>.+)",
    ),
    ("allergy", r"(?:is )?allergic to (?P<v>.+)|has an? (?P<v2>.+) allergy"),
    (
        "diet",
        (
            r"(?:is )?(?:an? )?(?P<v>vegetarian|vegan|pescatarian|kosher|halal|gluten[- ]free"
            r"|lactose[- ]intolerant|c(?:o)?eliac|diabetic|keto)"
            r"|does not eat (?P<no>.+)"
        ),
    ),
    ("favourite", r"favou?rite (?P<topic>[\w ]+?) is (?P<v>.+)"),
    ("preference", r"prefers (?P<v>.+)"),
    ("plan", r"(?:plans|intends|hopes|wants) (?:to )?(?P<v>.+)|is planning (?:to )?(?P<v2>.+)|is (?P<v3>\w+ing .+)"),
    ("like", r"(?:really )?(?:likes|loves|enjoys|adores|is into|is a (?:big )?fan of) (?P<v>.+)"),
)
_COMPILED = tuple((slot, re.compile(pattern, re.IGNORECASE)) for slot, pattern in _MEMORIES)


@dataclass(frozen=True, kw_only=True)
class _Said:
    statement: Statement
    line: Line

    def cite(self) -> dict[str, str]:
        return {"message": self.line.id, "quote": quote(self.line.text, self.statement.start, self.statement.end)}


def profile_patch(transcript: Transcript, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The patch for `user_profile_patch`; `schema` is the patch's own JSON Schema, whose `fields` say which fields there are."""
    said = _settled(
        [
            _Said(statement=statement, line=line)
            for line in transcript.lines
            if line.role == "user" and not line.earlier
            for statement in statements(line.text)
        ]
    )
    fields: dict[str, Any] = {}
    add: list[dict[str, str]] = []
    update: dict[str, dict[str, str]] = {}
    retract: dict[str, dict[str, str]] = {}
    for one in said:
        statement = one.statement
        if statement.ended:
            for known in _known_same(statement, transcript.known):
                retract[known.id] = {"learning": known.id, **one.cite()}
            continue
        field = _field_for(statement, schema, transcript.known, fields)
        if field is not None:
            name, value = field
            fields[name] = {"value": value, **one.cite()}
            continue
        replaced = _known_replaced(statement, transcript.known)
        if replaced is None:
            add.append({"content": statement.content, **one.cite()})
        else:
            retract.pop(replaced.id, None)
            update[replaced.id] = {"learning": replaced.id, "content": statement.content, **one.cite()}
    for name in fields:  # a field set anew is not also taken back
        for known in transcript.known:
            if known.kind == "field" and known.name == name:
                retract.pop(known.id, None)
    empty = dict.fromkeys(_field_schemas(schema))
    return {
        "fields": {**empty, **fields},
        "add": add,
        "update": list(update.values()),
        "retract": list(retract.values()),
    }


def _same(left: str, right: str) -> bool:
    def bare(value: str) -> str:
        return re.sub(r"^(?:a|an|the|to|their|my)\s+", "", fold(value).casefold().strip(" .!"))

    return bare(left) == bare(right)


def _settled(said: list[_Said]) -> list[_Said]:
    """Of statements that replace each other within the transcript, the last; a statement said twice stands once."""
    kept: list[_Said] = []
    for one in said:
        new = one.statement
        kept = [old for old in kept if not _replaces(new, old.statement)]
        kept.append(one)
    return kept


def _replaces(new: Statement, old: Statement) -> bool:
    if old.ended:
        return new.ended and new.slot == old.slot and _same(new.value, old.value)
    if new.slot == old.slot and new.topic == old.topic and (new.ended or new.slot not in _SINGLE):
        return _same(new.value, old.value) or bool(new.topic)
    if new.slot == old.slot:
        return new.slot in _SINGLE and new.topic == old.topic
    return _OPPOSITES.get(new.slot) == old.slot and _same(new.value, old.value)


def _read_known(known: Known) -> Statement | None:
    text = known.text.strip().rstrip(".")
    if known.kind == "field":
        slot = next(
            (slot for slot, (names, _) in _FIELD_NAMES.items() if re.fullmatch(names, known.name or "", re.IGNORECASE)),
            None,
        )
        return Statement(slot=slot, value=text) if slot else None
    text = re.sub(r"^(?:the user|user|they|he|she)\s+(?=\w)", "", text, flags=re.IGNORECASE)
    for slot, pattern in _COMPILED:
        matched = pattern.fullmatch(text)
        if matched:
            groups = matched.groupdict()
            value = (
                next((groups[name] for name in ("v", "v2", "v3") if groups.get(name)), None) or f"no {groups.get('no')}"
            )
            topic = (groups.get("topic") or "").lower()
            return Statement(slot="like" if slot == "favourite" else slot, value=value, topic=topic)
    return None


def _known_same(ended: Statement, known: Sequence[Known]) -> list[Known]:
    return [
        one
        for one in known
        if (was := _read_known(one))
        and was.slot == ended.slot
        and (_same(was.value, ended.value) or ended.value in _listed(one.text))
    ]


def _known_replaced(new: Statement, known: Sequence[Known]) -> Known | None:
    """The known memory that a statement makes untrue, or None; an equal one is none: it gains evidence when added again."""
    for one in known:
        was = _read_known(one)
        if one.kind == "field" or was is None:
            continue
        single = new.slot in _SINGLE or bool(new.topic)
        if single and was.slot == new.slot and was.topic == new.topic and not _same(was.value, new.value):
            return one
        if _OPPOSITES.get(new.slot) == was.slot and not was.topic and _same(was.value, new.value):
            return one
    return None


def _field_schemas(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    declared = schema.get("properties", {}).get("fields")
    if declared is None:
        return {}
    found = [branch for branch in branches(declared, schema) if branch.get("type") == "object"]
    return dict(found[0].get("properties", {})) if found else {}


def _field_for(
    statement: Statement, schema: Mapping[str, Any], known: Sequence[Known], set_already: Mapping[str, Any]
) -> tuple[str, Any] | None:
    """The schema's field that holds this statement and the value in the field's type, or None."""
    if statement.topic:
        return None
    names, words = _FIELD_NAMES[statement.slot]
    declared = _field_schemas(schema)
    by_name = [name for name in declared if re.fullmatch(names, name, re.IGNORECASE)]
    claimed = {
        name
        for slot, (pattern, _) in _FIELD_NAMES.items()
        for name in declared
        if re.fullmatch(pattern, name, re.IGNORECASE)
    }
    by_words = [
        name
        for name in declared
        if name not in claimed and re.search(words, _description(declared[name], schema), re.IGNORECASE)
    ]
    for name in by_name + by_words:
        for branch in branches(declared[name], schema):
            value_schema = branch.get("properties", {}).get("value")
            if value_schema is None:
                continue
            before = set_already.get(name, {}).get("value")
            value = _typed(statement.value, value_schema, schema, before or _known_list(name, known))
            if value is not None:
                return name, value
    return None


def _typed(value: str, node: Mapping[str, Any], root: Mapping[str, Any], before: object) -> Any:
    """The value as the schema wants it: a text, one of an enum's, or a list that it joins; None where it cannot be."""
    for branch in branches(node, root):
        chosen = next((one for one in branch.get("enum", ()) if isinstance(one, str) and _same(one, value)), None)
        if chosen is not None:
            return chosen
        if branch.get("type") == "array":
            held = before if isinstance(before, list) else []
            joined = held if any(_same(str(one), value) for one in held) else [*held, value]
            if fits(joined, branch, root):
                return joined
        elif fits(value, branch, root):
            return value
    return None


def _description(node: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """All that is said of a field: at itself, at its choices and at its value."""
    choices = [choice for choice in node.get("anyOf", ()) if "$ref" not in choice]
    value = [branch.get("properties", {}).get("value", {}) for branch in branches(node, root)]
    texts = [node.get("description", "")]
    for part in choices + value:
        texts += [part.get("description", ""), *(one.get("description", "") for one in part.get("anyOf", ()))]
    return " ".join(str(text) for text in texts)


def _listed(text: str) -> list[str]:
    try:
        held = json.loads(text)
    except ValueError:
        held = text.split(", ")
    return [str(one) for one in held] if isinstance(held, list) else []


def _known_list(name: str, known: Sequence[Known]) -> list[str]:
    return next((_listed(one.text) for one in known if one.kind == "field" and one.name == name), [])
