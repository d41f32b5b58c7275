"""The patch of entity memory: what messages state about named things, set against what is known."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learning_ops.offline.entity_statement import EntityStatement, Named
from learning_ops.offline.entity_statements import entity_statements
from learning_ops.offline.names import EXPLICIT, own_type, technology
from learning_ops.offline.quotation import quote
from learning_ops.offline.shaping import shaped
from learning_ops.offline.transcript import Known, Line, Transcript

_SPEAKERS = frozenset({"user", "assistant"})
_SLOTS = (("uses", r"uses (?P<v>.+)"), ("based in", r"(?:is )?based in (?P<v>.+)"), ("lives in", r"lives in (?P<v>.+)"))
_SOLE = re.compile(r"C[A-Z]O of|president of|mayor of|chair(?:man|woman|person)? of|head of [\w ]+ at")
_EMPLOYED = re.compile(r"works (?:at|for)|C[A-Z]O of|president of|head of [\w ]+ at|[\w -]+ at")
_KNOWN_SURETY = EXPLICIT - 0.5


@dataclass(frozen=True, kw_only=True)
class _Said:
    statement: EntityStatement
    line: Line

    def cite(self) -> dict[str, str]:
        return {"message": self.line.id, "quote": quote(self.line.text, self.statement.start, self.statement.end)}


class _Names:
    """What the names of a transcript stand for: canonical name and type, from its own words and from what is known."""

    def __init__(self, said: Iterable[EntityStatement], known: Sequence[Known]) -> None:
        self._canonical: dict[str, str] = {}
        self._types: dict[str, list[tuple[float, str]]] = {}
        self.known = {(one.entity.casefold(), one.type) for one in known if one.entity}
        for one in known:
            if one.entity:
                self._types.setdefault(one.entity.casefold(), []).append((_KNOWN_SURETY, one.type))
                self._canonical.setdefault(one.entity.casefold(), one.entity)
        aliases = [(one.text, one.entity) for one in known if one.kind == "alias"]
        statements = list(said)
        aliases += [(one.content, one.about.name) for one in statements if one.kind == "alias"]
        for alias, name in aliases:
            self._canonical.setdefault(alias.casefold(), self._canonical.get(name.casefold(), name))
        for statement in statements:
            for named in filter(None, (statement.about, statement.other)):
                self._learn(named)

    def _learn(self, named: Named) -> None:
        key = self.canonical(named.name).casefold()
        self._types.setdefault(key, []).append((named.surety, named.type))
        if own := own_type(named.name):
            self._types[key].append((own[1], own[0]))

    def canonical(self, name: str) -> str:
        """The name that an alias stands for, spelled as it is known."""
        return self._canonical.get(name.casefold(), name)

    def resolved(self, named: Named) -> tuple[str, str]:
        """The name and type; a type said in so many words stays, others give way to the surest said of the name anywhere."""
        name = self.canonical(named.name)
        if named.surety >= EXPLICIT:
            return name, named.type
        surest = max(self._types.get(name.casefold(), []), key=lambda one: one[0], default=(0.0, named.type))
        return name, surest[1] if surest[0] > named.surety else named.type


def entity_patch(transcript: Transcript, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The patch for `entity_memory_patch`; operations that do not fit `schema` (a type that it does not list) are left out."""
    every = [
        _Said(statement=statement, line=line)
        for line in transcript.lines
        if line.role in _SPEAKERS
        for statement in entity_statements(line.text, line.at)
    ]
    names = _Names((one.statement for one in every), transcript.known)
    said = [one for one in every if not one.line.earlier]
    patch: dict[str, list[dict[str, Any]]] = {
        "entities": _entities(said, names),
        "facts": [],
        "properties": [],
        "events": [],
        "relationships": [],
        "retract": [],
    }
    retract: dict[str, dict[str, str]] = {}
    replaced: set[str] = set()
    for one in said:
        statement, cite = one.statement, one.cite()
        name, kind = names.resolved(statement.about)
        about = {"entity": name, "type": kind}
        mine = [known for known in transcript.known if (known.entity.casefold(), known.type) == (name.casefold(), kind)]
        match statement.kind:
            case "fact":
                old = _replaced(statement, [known for known in mine if known.id not in replaced])
                replaced |= {old.id} if old else set()
                patch["facts"] = [fact for fact in patch["facts"] if not _outdated(fact, statement, about)]
                patch["facts"].append(
                    {**about, "content": statement.content, "replaces": old.id if old else None, **cite}
                )
            case "property":
                patch["properties"].append({**about, "name": statement.name, "value": statement.content, **cite})
            case "event":
                patch["events"].append({**about, "content": statement.content, "date": statement.date, **cite})
            case "relationship" if statement.other:
                target, target_kind = names.resolved(statement.other)
                patch["relationships"].append(
                    {
                        "source": name,
                        "source_type": kind,
                        "relation": statement.content,
                        "target": target,
                        "target_type": target_kind,
                        **cite,
                    }
                )
                for known in _contradicted(name, statement.content, target, transcript.known):
                    retract[known.id] = {"learning": known.id, **cite}
            case "ended":
                for known in mine:
                    if known.kind == "fact" and _same(known.text, statement.content):
                        retract[known.id] = {"learning": known.id, **cite}
            case "left" if statement.other:
                firm = names.resolved(statement.other)[0]
                for known in mine:
                    if (
                        known.kind == "relationship"
                        and _same(known.target, firm)
                        and _EMPLOYED.fullmatch(known.relation)
                    ):
                        retract[known.id] = {"learning": known.id, **cite}
    patch["retract"] = [one for label, one in retract.items() if label not in replaced]
    return shaped({name: _once(operations) for name, operations in patch.items()}, schema)


def _entities(said: Sequence[_Said], names: _Names) -> list[dict[str, Any]]:
    entities: dict[tuple[str, str], dict[str, Any]] = {}
    for one in said:
        statement = one.statement
        for named in filter(None, (statement.about, statement.other)):
            name, kind = names.resolved(named)
            entity = entities.setdefault(
                (name.casefold(), kind), {"name": name, "type": kind, "aliases": [], "description": None, **one.cite()}
            )
        name, kind = names.resolved(statement.about)
        entity = entities[(name.casefold(), kind)]
        if statement.kind == "alias" and statement.content not in entity["aliases"]:
            entity["aliases"].append(statement.content)
            entity |= one.cite()
        if statement.kind == "description":
            entity |= {"description": statement.content, **one.cite()}
    return [
        entity
        for key, entity in entities.items()
        if key not in names.known or entity["aliases"] or entity["description"]
    ]


def _same(left: str, right: str) -> bool:
    return " ".join(left.casefold().split()).strip(" .") == " ".join(right.casefold().split()).strip(" .")


def _slot(text: str) -> tuple[str, str] | None:
    for slot, pattern in _SLOTS:
        if matched := re.fullmatch(pattern, text.strip(" ."), re.IGNORECASE):
            return slot, matched["v"]
    return None


def _gives_up(statement: EntityStatement, text: str, *, alone: bool) -> bool:
    """Whether a statement makes a fact with these words untrue; `alone`: the entity has no other fact of the slot."""
    was = _slot(text)
    now = _slot(statement.content)
    if was is None or now is None or not statement.slot or was[0] != statement.slot or _same(was[1], now[1]):
        return False
    if statement.slot != "uses":
        return True
    if statement.instead_of:
        return _same(was[1], statement.instead_of)
    kinds = technology(was[1]), technology(now[1])
    return kinds[0] == kinds[1] if all(kinds) else alone


def _replaced(statement: EntityStatement, mine: Sequence[Known]) -> Known | None:
    facts = [known for known in mine if known.kind == "fact"]
    held = [known for known in facts if (was := _slot(known.text)) and was[0] == statement.slot]
    return next((known for known in held if _gives_up(statement, known.text, alone=len(held) == 1)), None)


def _outdated(fact: Mapping[str, Any], statement: EntityStatement, about: Mapping[str, str]) -> bool:
    """Whether a fact of this very patch was true only until the statement."""
    if any(fact[key] != value for key, value in about.items()):
        return False
    return _gives_up(statement, fact["content"], alone=False)


def _contradicted(source: str, relation: str, target: str, known: Sequence[Known]) -> list[Known]:
    """Known relationships that cannot hold beside this one: another holder of a sole office, or another employer."""
    found = []
    for one in known:
        if one.kind != "relationship":
            continue
        other_holder = _same(one.target, target) and not _same(one.entity, source) and _same(one.relation, relation)
        other_firm = _same(one.entity, source) and not _same(one.target, target)
        if (other_holder and _SOLE.fullmatch(relation)) or (
            other_firm and relation == "works at" and one.relation == "works at"
        ):
            found.append(one)
    return found


def _once(operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Operations without those that say again what an earlier one says, whatever they cite."""
    seen: dict[str, dict[str, Any]] = {}
    for one in operations:
        told = {name: value for name, value in one.items() if name not in {"message", "quote"}}
        seen.setdefault(repr(told), one)
    return list(seen.values())
