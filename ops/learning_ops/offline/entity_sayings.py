"""The ways of saying something about a named thing: patterns of a predicate, and what each of them states."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from learning_ops.offline.entity_statement import EntityStatement, Kind, Named, company, person, sure
from learning_ops.offline.lexicon import TECHNOLOGIES
from learning_ops.offline.names import NAME, STRONG, TYPES, WEAK, bare_name, is_name, own_type
from learning_ops.offline.values import occupation

_TYPED = [(kind, re.compile(rf"(?:.*[\s-])?(?:{nouns})\Z", re.IGNORECASE)) for kind, nouns in TYPES.items()]
_OFFICES = re.compile(
    r"(?:(?:co-?)?founder|owner|president|chair(?:man|woman|person)?|C[A-Z]O|ceo|cto|cfo|coo|mayor|author|creator|maker)\Z"
)
ROLE = r"(?:[a-zA-Z][\w/-]*\s+){0,3}?[a-zA-Z][\w/-]*(?:\s+of\s+[a-z]+)?"
_TIES = (
    r"customer|client|partner|supplier|vendor|competitor|rival|subsidiary|division|investor|shareholder|reseller|distributor"
    r"|sponsor|member|parent\s+company|part|owner|spin-?off|predecessor|successor|fork|component"
)
_POINTING = re.compile(r"\b(?:it|its|this|that|these|those|them|their|his|her|my|our|your|me|us|you)\b|\x00", re.IGNORECASE)


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


def _hired(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    yield _event(said, about)
    role = found["role"]
    for name in _listed(found["o"]):
        hired = person(name)
        yield EntityStatement(kind="mention", about=hired)
        if about.type == "company":
            yield _tie(hired, role_relation(role) if role else "works at", about)


def _was_hired(said: Predicate, found: re.Match[str]) -> Said:
    role = f" as {found['role']}" if found["role"] else ""
    hirer = company(bare_name(found["o"]), STRONG)
    yield _event(said, hirer, f"Hired {said.subject}{role}")
    yield _tie(person(said.subject), role_relation(found["role"]) if role else "works at", hirer)


def _acquired(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    yield _event(said, about)
    for name in _listed(found["o"]):
        yield _tie(about, "acquired", company(name))


def _was_acquired(said: Predicate, found: re.Match[str]) -> Said:
    buyer = company(bare_name(found["o"]))
    yield _event(said, buyer, f"Acquired {said.subject}")
    yield _tie(buyer, "acquired", _subject(said, "company"))


def _switched(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    yield _event(said, about)
    new, old = bare_name(found["o"]), found.groupdict().get("old")
    if re.match(r"mov", said.words) and not technology(new) and not old:
        return
    yield EntityStatement(
        kind="fact", about=about, content=f"Uses {new}", slot="uses", instead_of=bare_name(old) if old else ""
    )


def _adopted(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    names = _listed(found["o"])
    if names:
        yield _event(said, about)
    for name in names:
        yield EntityStatement(kind="fact", about=about, content=f"Uses {name}")


def _uses(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    words = found["o"].strip(" .!")
    leading = re.match(NAME + rf"(?:(?:,\s+(?:and\s+)?|\s+and\s+){NAME})*", words)
    names = _listed(leading[0]) if leading else []
    if not names and about.surety > WEAK and len(words.split()) <= 6 and not _POINTING.search(words):
        names = [words]
    for name in names:
        yield EntityStatement(kind="fact", about=about, content=f"Uses {name}")


def _stopped(said: Predicate, found: re.Match[str]) -> Said:
    for name in _listed(found["o"]):
        yield EntityStatement(kind="ended", about=_subject(said, "company"), content=f"Uses {name}")


def _based(said: Predicate, found: re.Match[str]) -> Said:
    yield EntityStatement(
        kind="fact", about=_subject(said, "company"), content=f"Based in {found['o']}", slot="based in"
    )


def _relocated(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    yield _event(said, about)
    if technology(found["o"]):
        return
    if about.type == "person":
        yield EntityStatement(kind="fact", about=about, content=f"Lives in {found['o']}", slot="lives in")
    else:
        yield EntityStatement(kind="fact", about=about, content=f"Based in {found['o']}", slot="based in")


def _lives(said: Predicate, found: re.Match[str]) -> Said:
    yield EntityStatement(kind="fact", about=person(said.subject), content=f"Lives in {found['o']}", slot="lives in")


def _plain_fact(kind: str) -> Maker:
    def made(said: Predicate, found: re.Match[str]) -> Said:
        words = re.sub(r"^(?:is|are)\s+", "", said.words)
        if not _POINTING.search(words) and len(words.split()) <= 10:
            yield EntityStatement(kind="fact", about=_subject(said, kind), content=words[0].upper() + words[1:])

    return made


def _works(said: Predicate, found: re.Match[str]) -> Said:
    role = found["role"]
    yield _tie(person(said.subject), role_relation(role) if role else "works at", company(bare_name(found["o"]), STRONG))


def _has_role(said: Predicate, found: re.Match[str]) -> Said:
    if _is_role(found["role"]) and is_name(bare_name(found["o"])):
        yield _tie(person(said.subject), role_relation(found["role"]), company(bare_name(found["o"])))


def _joined(said: Predicate, found: re.Match[str]) -> Said:
    about, firm = person(said.subject), company(bare_name(found["o"]))
    role = found["role"]
    yield _event(said, about)
    yield _tie(about, role_relation(role) if role else "works at", firm)


def _left(said: Predicate, found: re.Match[str]) -> Said:
    about = person(said.subject)
    yield _event(said, about)
    yield EntityStatement(kind="left", about=about, other=company(bare_name(found["o"])))


def _promoted(said: Predicate, found: re.Match[str]) -> Said:
    about = person(said.subject)
    yield _event(said, about, f"Promoted to {found['role']}")
    if found["o"]:
        yield _tie(about, role_relation(found["role"]), company(bare_name(found["o"])))


def _founded_by(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    founders = _listed(found["o"]) if found["o"] else []
    yield _event(said, about, f"Founded by {found['o']}" if founders else "Founded")
    for name in founders:
        yield _tie(person(name), "founder of", about)


def _founded(said: Predicate, found: re.Match[str]) -> Said:
    about = person(said.subject)
    yield _event(said, about)
    yield _tie(about, "founder of", company(bare_name(found["o"]), STRONG))


def _released(said: Predicate, found: re.Match[str]) -> Said:
    about = _subject(said, "company")
    yield _event(said, about)
    for name in _listed(found["o"]):
        yield EntityStatement(kind="mention", about=Named(name=name, type="product"))


def _happened(kind: str) -> Maker:
    def made(said: Predicate, found: re.Match[str]) -> Said:
        if len(said.words.split()) <= 12 and not re.search(r"\b(?:it|that|this|you|me)\b|\x00", said.words):
            yield _event(said, _subject(said, kind))

    return made


def _tied(relation: str, kinds: tuple[str, str] = ("company", "company"), *, event: bool = False) -> Maker:
    def made(said: Predicate, found: re.Match[str]) -> Said:
        about = _subject(said, kinds[0], STRONG if kinds[0] == "person" else WEAK)
        if event:
            yield _event(said, about)
        surety = STRONG if kinds[1] == "person" else WEAK
        target = Named(name=bare_name(found["o"]), type=kinds[1], surety=surety)
        yield _tie(about, relation or f"{found['tie']} of", target)

    return made


def _counted(said: Predicate, found: re.Match[str]) -> Said:
    things = "employees" if found["of"] in {"people", "staff"} else found["of"]
    yield EntityStatement(kind="property", about=_subject(said, "company"), name=things, content=found["n"])


def _industry(said: Predicate, found: re.Match[str]) -> Said:
    yield EntityStatement(kind="property", about=_subject(said, "company"), name="industry", content=found["v"])


def _is_a(said: Predicate, found: re.Match[str]) -> Said:
    words = said.words.removeprefix("is ").strip()
    head = re.split(r"\s+(?:of|for|in|from|on|that|which|who|with|based|near|at|to|by|written|made)\s|,", found["d"])[0]
    if _POINTING.search(words) or len(words.split()) > 14:
        return
    for kind, nouns in _TYPED:
        if nouns.match(head):
            description = words[0].upper() + words[1:]
            yield EntityStatement(kind="description", about=sure(said.subject, kind), content=description)
            return
    if occupation(head):
        yield EntityStatement(kind="fact", about=person(said.subject), content=f"Is {words}")


def technology(name: str) -> str | None:
    """The kind of technology that a name belongs to, as far as a short list knows it."""
    folded = name.casefold().strip()
    bare = re.sub(r"\s+[\d.]+$", "", folded)
    return next((kind for kind, names in TECHNOLOGIES.items() if folded in names or bare in names), None)


_AS = r"(?:\s+as\s+(?:(?:an?|the|its|their)\s+)?(?:new\s+)?(?P<role>" + ROLE + r"))?"
_O = rf"(?P<o>(?:the\s+)?{NAME})"
_MANY = rf"(?P<o>{NAME}(?:(?:,\s+(?:and\s+)?|\s+and\s+){NAME})*)"
_SOURCES: tuple[tuple[str, Maker], ...] = (
    (rf"(?:hired|recruited|appointed)\s+(?P<o>.+?){_AS}", _hired),
    (rf"(?:was|were|got)\s+(?:hired|recruited)\s+by\s+{_O}{_AS}", _was_hired),
    (rf"(?:acquired|took\s+over|bought)\s+{_O}(?:\s+for\s+.+)?", _acquired),
    (rf"(?:was|were|got)\s+(?:acquired|bought|taken\s+over)\s+by\s+{_O}(?:\s+for\s+.+)?", _was_acquired),
    (rf"(?:migrated|switched|moved|transitioned|converted)(?:\s+over)?(?:\s+from\s+(?P<old>{NAME}))?\s+to\s+{_O}", _switched),
    (rf"replaced\s+(?P<old>{NAME})\s+(?:with|by)\s+{_O}", _switched),
    (rf"(?:adopted|rolled\s+out|started\s+using|began\s+using)\s+{_MANY}(?:\s+(?:for|as|to|in)\s.+)?", _adopted),
    (r"(?:uses|relies\s+on|is\s+using|depends\s+on)\s+(?P<o>.+)", _uses),
    (rf"(?:no\s+longer\s+uses|stopped\s+using|dropped|abandoned|retired|phased\s+out)\s+{_MANY}", _stopped),
    (rf"is\s+(?:based|headquartered|located)\s+in\s+{_O}(?:,\s+{NAME})?", _based),
    (rf"(?:has|keeps)\s+its\s+(?:headquarters|head\s+office|HQ)\s+in\s+{_O}", _based),
    (rf"(?:relocated|moved\s+its\s+(?:headquarters|head\s+office|HQ|offices?))(?:\s+from\s+{NAME})?\s+to\s+{_O}", _relocated),
    (rf"(?:lives|resides|is\s+living)\s+in\s+{_O}", _lives),
    (r"is\s+(?:written|implemented|programmed)\s+in\s+\S.*|is\s+built\s+(?:with|on|in)\s+\S.*|runs\s+on\s+\S.*", _plain_fact("product")),
    (r"(?:sells|makes|builds|develops|offers|manufactures|produces|designs|operates|supports|provides)\s+\S.*", _plain_fact("company")),
    (rf"(?:works|is\s+working|is\s+employed)\s+(?:at|for|by|with)\s+{_O}{_AS}", _works),
    (rf"(?:works|is\s+working)\s+as\s+(?:an?\s+|the\s+)?(?P<role>{ROLE})\s+(?:at|for|with)\s+{_O}", _has_role),
    (rf"(?:is|became|was\s+named|was\s+appointed)\s+(?:(?:an?|the)\s+)?(?:new\s+)?(?P<role>{ROLE})\s+(?:of|at|for)\s+{_O}", _has_role),
    (rf"is\s+{_O}(?:'s|')\s+(?:new\s+)?(?P<role>{ROLE})", _has_role),
    (rf"(?:joined|started\s+at)\s+{_O}{_AS}", _joined),
    (rf"(?:left|quit|resigned\s+from|retired\s+from)\s+{_O}", _left),
    (rf"(?:was|got)\s+promoted\s+to\s+(?P<role>{ROLE})(?:\s+(?:at|of)\s+{_O})?", _promoted),
    (rf"(?:was|were)\s+(?:co-?)?(?:founded|established|started|incorporated)(?:\s+by\s+{_MANY})?", _founded_by),
    (rf"(?:co-?founded|founded)\s+{_O}", _founded),
    (rf"(?:launched|released|unveiled|introduced|shipped)\s+{_MANY}(?:\s+(?:for|in|on|to)\s.+)?", _released),
    (r"(?:launched|started|ended|went\s+live|was\s+(?:launched|released|cancell?ed|completed|delayed|shut\s+down|shipped|paused))", _happened("project")),
    (r"(?:raised|laid\s+off|opened|closed|filed\s+for|signed|won|lost|announced|published|settled|recalled|cut)\s+\S.*", _happened("company")),
    (r"(?:went\s+(?:public|bankrupt)|shut\s+down|ceased\s+operations|doubled\s+\S.*|rebranded(?:\s+\S.*)?)", _happened("company")),
    (rf"merged\s+with\s+{_O}", _tied("merged with", event=True)),
    (rf"(?:partnered|teamed\s+up)\s+with\s+{_O}", _tied("partner of", event=True)),
    (rf"is\s+(?:an?\s+|the\s+)?(?:\w+\s+)?(?P<tie>{_TIES})\s+(?:of|to)\s+{_O}", _tied("")),
    (rf"(?:competes)\s+with\s+{_O}", _tied("competitor of")),
    (rf"(?:owns)\s+{_O}", _tied("owner of")),
    (rf"reports\s+to\s+{_O}", _tied("reports to", ("person", "person"))),
    (rf"is\s+married\s+to\s+{_O}", _tied("married to", ("person", "person"))),
    (rf"(?:leads|manages|heads|is\s+leading|is\s+managing|runs)\s+{_O}", _tied("leads", ("person", "project"))),
    (r"(?:has|employs)\s+(?:about\s+|around\s+|over\s+|nearly\s+)?(?P<n>\d[\d,.]*(?:\s+million)?)\s+(?P<of>employees|people|staff|offices|customers|users|stores|branches|members)(?:\s+in\s.+)?", _counted),
    (r"is\s+in\s+the\s+(?P<v>[a-z][a-z -]*?)\s+(?:industry|sector|business)", _industry),
    (r"is\s+(?:an?|the|one\s+of\s+the)\s+(?P<d>\S.*)", _is_a),
)  # fmt: skip
PREDICATES = tuple((re.compile(source.replace("(?:is|", "(?:is|'s|", 1)), made) for source, made in _SOURCES)

KINDS_OF_STATEMENT: tuple[Kind, ...] = ("alias", "description", "fact", "property", "event", "relationship")
