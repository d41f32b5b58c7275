"""What each way of saying something about a named thing states, given a predicate and how its pattern matched it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from learning_ops.offline.entity_statement import EntityStatement, Named, company, person, sure
from learning_ops.offline.names import NAME, STRONG, TYPES, WEAK, bare_name, is_name, own_type, technology
from learning_ops.offline.values import occupation

_TYPED = [(kind, re.compile(rf"(?:.*[\s-])?(?:{nouns})\Z", re.IGNORECASE)) for kind, nouns in TYPES.items()]
_OFFICES = re.compile(
    r"(?:(?:co-?)?founder|owner|president|chair(?:man|woman|person)?|C[A-Z]O|ceo|cto|cfo|coo|mayor|author|creator|maker)\Z"
)
_POINTING = re.compile(
    r"\b(?:it|its|this|that|these|those|them|their|his|her|my|our|your|me|us|you)\b|\x00", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class Predicate:
    """A predicate and its subject: the words, without their phrase of time, and the date that it names."""

    subject: str
    words: str
    date: str | None


Said = Iterator[EntityStatement]
Maker = Callable[[Predicate, re.Match[str]], Said]


def role_relation(role: str) -> str:
    """The relation between who has a role and where: "CTO of", "designer at"."""
    role = re.sub(r"^(?:an?|the|its|their)\s+", "", role.strip())
    return f"{role} of" if _OFFICES.match(role) else f"{role} at"


def _is_role(role: str) -> bool:
    bare = re.sub(r"^(?:an?|the|its|their|our|new|(?:an?|the)\s+new)\s+", "", role.strip())
    return bool(_OFFICES.match(bare)) or occupation(bare) is not None


def _subject(said: Predicate, kind: str, surety: int = WEAK) -> Named:
    own = own_type(said.subject)
    if own and own[1] > surety:
        return Named(name=said.subject, type=own[0], surety=own[1])
    return Named(name=said.subject, type=kind, surety=surety)


def _listed(words: str) -> list[str]:
    """The names in an enumeration, or none where some part of it is no name."""
    parts = [bare_name(part) for part in re.split(r",\s+(?:and\s+)?|\s+and\s+", words.strip(" .!"))]
    return parts if parts and all(is_name(part) for part in parts) else []


def _event(said: Predicate, about: Named, content: str = "") -> EntityStatement:
    words = content or said.words
    return EntityStatement(kind="event", about=about, content=words[0].upper() + words[1:], date=said.date)


def _tie(source: Named, relation: str, target: Named) -> EntityStatement:
    return EntityStatement(kind="relationship", about=source, content=relation, other=target)


def hired(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    yield _event(said, about)
    role = found["role"]
    for name in _listed(found["o"]):
        hired = person(name)
        yield EntityStatement(kind="mention", about=hired)
        if about.type == "company":
            yield _tie(hired, role_relation(role) if role else "works at", about)


def was_hired(said: Predicate, found: re.Match[str]) -> Said:
    role = f" as {found['role']}" if found["role"] else ""
    hirer = company(bare_name(found["o"]), STRONG)
    yield _event(said, hirer, f"Hired {said.subject}{role}")
    yield _tie(person(said.subject), role_relation(found["role"]) if role else "works at", hirer)


def acquired(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    yield _event(said, about)
    for name in _listed(found["o"]):
        yield _tie(about, "acquired", company(name))


def was_acquired(said: Predicate, found: re.Match[str]) -> Said:
    buyer = company(bare_name(found["o"]))
    yield _event(said, buyer, f"Acquired {said.subject}")
    yield _tie(buyer, "acquired", _subject(said, "company"))


def switched(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    yield _event(said, about)
    new, old = bare_name(found["o"]), found.groupdict().get("old")
    if re.match(r"mov", said.words) and not technology(new) and (not old or about.type == "person"):
        return
    yield EntityStatement(
        kind="fact", about=about, content=f"Uses {new}", slot="uses", instead_of=bare_name(old) if old else ""
    )


def adopted(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    names = _listed(found["o"])
    if names:
        yield _event(said, about)
    for name in names:
        yield EntityStatement(kind="fact", about=about, content=f"Uses {name}")


def uses(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    words = found["o"].strip(" .!")
    leading = re.match(NAME + rf"(?:(?:,\s+(?:and\s+)?|\s+and\s+){NAME})*", words)
    names = _listed(leading[0]) if leading else []
    if not names and about.surety > WEAK and len(words.split()) <= 6 and not _POINTING.search(words):
        names = [words]
    for name in names:
        yield EntityStatement(kind="fact", about=about, content=f"Uses {name}")


def stopped(said: Predicate, found: re.Match[str]) -> Said:
    for name in _listed(found["o"]):
        yield EntityStatement(kind="ended", about=_subject(said, "company"), content=f"Uses {name}")


def based(said: Predicate, found: re.Match[str]) -> Said:
    yield EntityStatement(
        kind="fact", about=_subject(said, "company"), content=f"Based in {found['o']}", slot="based in"
    )


def relocated(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    yield _event(said, about)
    if technology(found["o"]):
        return
    if about.type == "person":
        yield EntityStatement(kind="fact", about=about, content=f"Lives in {found['o']}", slot="lives in")
    else:
        yield EntityStatement(kind="fact", about=about, content=f"Based in {found['o']}", slot="based in")


def lives(said: Predicate, found: re.Match[str]) -> Said:
    yield EntityStatement(kind="fact", about=person(said.subject), content=f"Lives in {found['o']}", slot="lives in")


def plain_fact(kind: str) -> Maker:
    def made(said: Predicate, found: re.Match[str]) -> Said:
        words = re.sub(r"^(?:is|are)\s+", "", said.words)
        if not _POINTING.search(words) and len(words.split()) <= 10:
            yield EntityStatement(kind="fact", about=_subject(said, kind), content=words[0].upper() + words[1:])

    return made


def works(said: Predicate, found: re.Match[str]) -> Said:
    role = found["role"]
    yield _tie(
        person(said.subject), role_relation(role) if role else "works at", company(bare_name(found["o"]), STRONG)
    )


def has_role(said: Predicate, found: re.Match[str]) -> Said:
    if _is_role(found["role"]) and is_name(bare_name(found["o"])):
        yield _tie(person(said.subject), role_relation(found["role"]), company(bare_name(found["o"])))


def joined(said: Predicate, found: re.Match[str]) -> Said:
    about, firm = person(said.subject), company(bare_name(found["o"]))
    role = found["role"]
    yield _event(said, about)
    yield _tie(about, role_relation(role) if role else "works at", firm)


def left(said: Predicate, found: re.Match[str]) -> Said:
    about = person(said.subject)
    yield _event(said, about)
    yield EntityStatement(kind="left", about=about, other=company(bare_name(found["o"])))


def promoted(said: Predicate, found: re.Match[str]) -> Said:
    about = person(said.subject)
    yield _event(said, about, f"Promoted to {found['role']}")
    if found["o"]:
        yield _tie(about, role_relation(found["role"]), company(bare_name(found["o"])))


def founded_by(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    founders = _listed(found["o"]) if found["o"] else []
    yield _event(said, about, f"Founded by {found['o']}" if founders else "Founded")
    for name in founders:
        yield _tie(person(name), "founder of", about)


def founded(said: Predicate, found: re.Match[str]) -> Said:
    about = person(said.subject)
    yield _event(said, about)
    yield _tie(about, "founder of", company(bare_name(found["o"]), STRONG))


def released(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    yield _event(said, about)
    for name in _listed(found["o"]):
        yield EntityStatement(kind="mention", about=Named(name=name, type="product"))


def happened(kind: str) -> Maker:
    def made(said: Predicate, found: re.Match[str]) -> Said:
        if len(said.words.split()) <= 12 and not re.search(r"\b(?:it|that|this|you|me)\b|\x00", said.words):
            yield _event(said, _subject(said, kind))

    return made


def tied(relation: str, kinds: tuple[str, str] = ("company", "company"), *, event: bool = False) -> Maker:
    def made(said: Predicate, found: re.Match[str]) -> Said:
        about = _subject(said, kinds[0], STRONG if kinds[0] == "person" else WEAK)
        if event:
            yield _event(said, about)
        surety = STRONG if kinds[1] == "person" else WEAK
        target = Named(name=bare_name(found["o"]), type=kinds[1], surety=surety)
        yield _tie(about, relation or f"{found['tie']} of", target)

    return made


def counted(said: Predicate, found: re.Match[str]) -> Said:
    things = "employees" if found["of"] in {"people", "staff"} else found["of"]
    yield EntityStatement(kind="property", about=_subject(said, "company"), name=things, content=found["n"])


def industry(said: Predicate, found: re.Match[str]) -> Said:
    yield EntityStatement(kind="property", about=_subject(said, "company"), name="industry", content=found["v"])


def is_a(said: Predicate, found: re.Match[str]) -> Said:
    words = said.words.removeprefix("is ").strip()
    head = re.split(r"\s+(?:of|for|in|from|on|that|which|who|with|based|near|at|to|by|written|made)\s|,", found["d"])[0]
    if _POINTING.search(words) or len(words.split()) > 14:
        return
    for kind, nouns in _TYPED:
        if nouns.match(head):
            description = words[0].upper() + words[1:]
            yield EntityStatement(kind="description", about=sure(said.subject, kind), content=description)
            if seat := re.search(rf"\bbased\s+in\s+(?P<o>{NAME})", words):
                yield from based(said, seat)
            return
    if occupation(head):
        yield EntityStatement(kind="fact", about=person(said.subject), content=f"Is {words}")
