"""Names of things in a sentence: where one begins and ends, and of which type its own words and its neighbours say it is."""

import re

from learning_ops.offline.lexicon import COMPANY_WORDS, GIVEN_NAMES, NOT_ENTITIES, TECHNOLOGIES

_UPPER = "A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĖĘĚĞĢĪİĶĹĽŁŃŅŇŌŐŒŘŚŞŠŤŪŮŰŹŻŽΑ-ΩА-Я"
_DOT = r"(?:(?:(?<=\bInc)|(?<=\bCorp)|(?<=\bLtd)|(?<=\bCo))\.(?=\s))?"  # of a legal form inside a sentence
_WORD = rf"(?:[{_UPPER}][\w&-]*(?:\.\w+)*|[a-z]{{1,2}}[A-Z][\w-]*|\d[\w-]*[A-Z][\w-]*)[+#]{{0,2}}{_DOT}"
_LINK = r"(?:of|de|da|del|della|di|der|van|von|den|la|le|el|bin|al|&)"
_OFFICE = r"(?:C[A-Z]O|VP|Head|President|Director|Founder|Owner|Mayor|Chair\w*|Minister|Manager)"
NAME = rf"\b(?!{_OFFICE}\s+of\b){_WORD}(?:\s+(?:{_LINK}\s+){{0,2}}(?:{_WORD}|\d[\d.]*\b)){{0,5}}"

TYPES = {
    "company": "company|companies|start-?up|firm|corporation|agency|bank|manufacturer|retailer|supplier|vendor|airline|importer"
    "|exporter|insurer|brewery|publisher|distributor|wholesaler|bakery|studio|consultancy|nonprofit|charity|enterprise|business",
    "project": "project|initiative|programme",
    "product": "product|app|application|tool|library|framework|service|database|language|platform|package|plugin|device|game"
    "|website|system|editor|compiler|model|printer|phone|software|car|operating\\s+system|SDK|API|engine|browser",
    "place": "city|town|village|country|region|province|island|river|suburb|capital|district|state|continent|municipality|lake",
}
PEOPLE = (
    "colleague|coworker|co-worker|friend|manager|boss|teammate|brother|sister|wife|husband|neighbou?r|mentor|cousin|uncle|aunt"
    "|mother|father|son|daughter|flatmate|roommate|assistant|intern|professor|doctor|accountant|lawyer|girlfriend|boyfriend"
)
_FIRMS = "client|customer|supplier|vendor|competitor|employer|partner\\s+company|parent\\s+company"
_NOUNS = {**TYPES, "company": f"{TYPES['company']}|{_FIRMS}", "person": PEOPLE}

EXPLICIT, STRONG, GIVEN, WEAK = 4, 3, 2, 1
"""How surely words tell a type: they name it, they say what only such a thing does, a given name, what mostly does it."""

_DETERMINER = r"(?:[Tt]he|[Oo]ur|[Mm]y|[Tt]heir|[Aa]|[Ii]ts|[Hh]is|[Hh]er)"
_LEADS = [
    *(
        (kind, rf"{_DETERMINER}\s+(?:[a-z-]+\s+){{0,2}}?(?:{nouns})(?:\s+(?:called|named))?")
        for kind, nouns in _NOUNS.items()
    ),
    ("place", r"[Tt]he\s+(?:[a-z-]+\s+)?(?:city|town|village|island|state|province|municipality)\s+of"),
    ("project", "[Pp]roject"),
    ("person", r"(?:Dr|Mr|Mrs|Ms|Prof)\.?"),
]
_LED = [(kind, re.compile(rf"\b{lead}\s+(?P<n>{NAME})")) for kind, lead in _LEADS]
_TRAILED = [
    (kind, re.compile(rf"\b(?:[Tt]he|[Oo]ur|[Mm]y)\s+(?P<n>{NAME})\s+(?:{TYPES[kind]})(?=\s|[,.!]|$)"))
    for kind in ("project", "product")
]


def is_name(words: str) -> bool:
    """Whether capitalised words are a name and no beginning of a sentence, title or day."""
    first = words.split()[0].casefold() if words.split() else ""
    return bool(re.fullmatch(NAME, words)) and first.strip("'.") not in NOT_ENTITIES


def bare_name(words: str) -> str:
    """A name without the article or type word that leads it ("the Red Cross", "Project Apollo")."""
    bare = re.sub(r"^(?:[Tt]he\s+)?(?:[Pp]roject\s+)?(?=[^\W_])", "", words.strip())
    return bare.rstrip(" .,;:!")


def own_type(name: str) -> tuple[str, int] | None:
    """What a name's own words tell: a legal form, a given name or a known technology."""
    words = [word.casefold().strip(".,") for word in name.split()]
    if len(words) > 1 and words[-1] in COMPANY_WORDS:
        return "company", EXPLICIT
    if words[0] in GIVEN_NAMES and len(words) <= 3:
        return "person", GIVEN
    if technology(name):
        return "product", GIVEN
    return None


def technology(name: str) -> str | None:
    """The kind of technology that a name belongs to, as far as a short list knows it."""
    folded = name.casefold().strip()
    bare = re.sub(r"\s+[\d.]+$", "", folded)
    return next((kind for kind, names in TECHNOLOGIES.items() if folded in names or bare in names), None)


def mentions(sentence: str) -> list[tuple[str, str]]:
    """The names to which a sentence gives a type in so many words ("the company X", "project X", "my friend X", "X Ltd")."""
    found = []
    for kind, pattern in (*_LED, *_TRAILED):
        found += [(matched["n"], kind) for matched in pattern.finditer(sentence)]
    for matched in re.finditer(NAME, sentence):
        own = own_type(matched[0])
        if own == ("company", EXPLICIT):
            found.append((matched[0], "company"))
    return [(bare_name(name), kind) for name, kind in dict.fromkeys(found) if is_name(bare_name(name))]


def without_leads(sentence: str) -> str:
    """The sentence with "my colleague Bob", "the company X" and their like cut to the names alone."""
    for _, pattern in _LED:
        sentence = pattern.sub(lambda found: found["n"] if is_name(bare_name(found["n"])) else found[0], sentence)
    for _, pattern in _TRAILED:
        sentence = pattern.sub(lambda found: found["n"] if is_name(found["n"]) else found[0], sentence)
    return sentence
