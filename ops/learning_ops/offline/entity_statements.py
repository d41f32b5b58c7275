"""What a message states about named things, each statement with the sentence that it stands on.

A sentence that asks, supposes, hedges, denies, foresees or reports what others say states nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from learning_ops.offline.clauses import REPORTED, UNREAL, plain_sentences, strip_openers
from learning_ops.offline.dates import find_date, leading_date
from learning_ops.offline.entity_claims import Predicate, role_relation
from learning_ops.offline.entity_sayings import PREDICATES, ROLE
from learning_ops.offline.entity_statement import EntityStatement, Named, company, person, sure
from learning_ops.offline.names import EXPLICIT, NAME, bare_name, is_name, mentions, own_type, without_leads
from learning_ops.offline.values import occupation

_HEDGED = re.compile(
    r"\b(?:will|would|could|should|must|might|may|can|shall|going\s+to|gonna|plans?\s+(?:to|on)|planning|intends?|hopes?|wants?"
    r"|expects?|expected|considering|considers|thinking|tries|trying|maybe|perhaps|probably|possibly|likely|reportedly"
    r"|allegedly|supposedly|apparently|presumably|seems?|appears?|rumou?rs?|rumou?red|unclear|unsure|hypothetical(?:ly)?"
    r"|(?:I|we)\s+(?:\w+\s+)?(?:think|guess|believe|suspect|assume|bet|doubt|heard|hear|read|imagine|wonder|feel)"
    r"|not\s+sure|aims?\s+to|about\s+to|potential(?:ly)?|almost|nearly\s+(?!\d)|fictional|next\s+(?:week|month|year|quarter)"
    r"|tomorrow|used\s+to|claims?|denies|denied|threatened|offered\s+to|refused|failed\s+to)\b"
    r"|\b(?i:maybe|perhaps|reportedly|allegedly|apparently|supposedly|presumably|rumou?r)\b"
)
_NEGATED = re.compile(r"\b(?:not|never|nobody|neither|nor|hardly|barely|cannot|no(?!\s+longer))\b|n't\b", re.IGNORECASE)
_ASKED = re.compile(
    # "May" and "Will" are names, too; their questions end with a question mark.
    r"(?:can|could|would|do|does|did|is|are|was|were|has|have|who|what|where|when|why|how|which|should|shall)\b",
    re.IGNORECASE,
)
_FICTION = re.compile(
    r"\bin\s+(?:my|the|this|a|an|our|his|her|their)\s+(?:\w+\s+)?(?:novel|story|stories|fiction|film|movie|play|game|script"
    r"|screenplay|episode|dream|sketch|joke|example|scenario|exercise|fairy\s+tale)\b",
    re.IGNORECASE,
)
_FORGOTTEN = re.compile(r"(?:please\s+)?(?:forget|unlearn|disregard|ignore)\b", re.IGNORECASE)
_LEADING = re.compile(
    r"(?:[^,:.]{1,40}:|(?:after|since|before|during|despite|with|at|following)\s+[^,]{1,60},|(?:since\s+)?\d{4},?)\s+(?=\S)",
    re.IGNORECASE,
)
_ADVERBS = (
    r"(?:(?:just|recently|finally|now|already|also|officially|currently|then|still|successfully|since|formally|quietly|again"
    r"|mainly|mostly|later|soon)\s+)*"
)
_VERB = (
    r"(?:(?:has|have)\s+(?:been\s+)?)?"
    + _ADVERBS
    + r"(?:hired|recruited|appointed|was|were|is|got|acquired|took|bought|migrated"
    r"|switched|moved|transitioned|converted|replaced|adopted|rolled|started|began|uses|relies|depends|no\s+longer|stopped"
    r"|dropped|abandoned|retired|phased|has|keeps|relocated|lives|resides|runs|sells|makes|builds|develops|offers"
    r"|manufactures|produces|designs|operates|supports|provides|works|became|joined|left|quit|resigned|co-?founded|founded"
    r"|launched|released|unveiled|introduced|shipped|ended|went|raised|laid|opened|closed|filed|signed|won|lost|announced"
    r"|published|settled|recalled|cut|shut|ceased|doubled|rebranded|merged|partnered|teamed|competes|owns|reports|leads"
    r"|manages|heads|employs)\b"
)
_ASIDE = r"(?:,\s+(?P<aside>(?:an?|the|which|who)\s+[^,]+),)?"
_CLAUSES = re.compile(rf"(?:\s*,|\s*;)?\s+(?:and|but|while|whereas)\s+(?=(?:the\s+)?{NAME}(?:,[^,]+,)?\s+{_VERB})")
_PREDICATES = re.compile(rf"(?:\s*,)?\s+(?:(?:and|but)\s+(?:then\s+)?|then\s+)(?={_VERB})|,\s+(?={_VERB})")
_GOES_ON = re.compile(
    r",?\s+(?:and|but|because|so|although|though|while|after|before|since|where|which|who)\s+(?=[a-z])"
)
_SUBJECT = re.compile(rf"(?P<n>(?:[Tt]he\s+)?{NAME}){_ASIDE}\s+(?P<rest>{_VERB}.*)", re.DOTALL)
_CALLED = (
    r"short\s+for|also\s+(?:known\s+as|called)|a\.?k\.?a\.?|abbreviated\s+(?:as|to)|better\s+known\s+as|or\s+simply"
)
_ALIASES = (
    re.compile(rf"(?P<n>{NAME})\s+\((?:(?P<how>{_CALLED})\s+)?(?P<a>{NAME})\)"),
    re.compile(rf"(?P<n>{NAME}),?\s+(?:(?:which\s+)?is\s+)?(?P<how>{_CALLED})\s+(?P<a>{NAME})(?:,|$)"),
)
_MET = re.compile(rf"\b(?:met|spoke\s+(?:to|with)|talked\s+(?:to|with)|called|emailed)\s+(?P<n>{NAME})")
_WORK = re.compile(rf"\b(?:works?|worked|working|job|interned|interning|employed)\s+(?:at|for|by)\s+(?P<n>{NAME})")
_PLURALS = {
    "are": "is", "have": "has", "lead": "leads", "live": "lives", "manage": "manages", "own": "owns", "report": "reports",
    "run": "runs", "sell": "sells", "use": "uses", "work": "works",
}  # fmt: skip
_SEVERAL = re.compile(
    rf"(?P<n>{NAME}(?:,\s+{NAME})*,?\s+and\s+{NAME})\s+(?P<v>{'|'.join(_PLURALS)}|joined|left|hired|acquired|founded|moved)\s+(?P<r>.+)"
)
_ROLE_IS = re.compile(
    rf"(?:(?:[Tt]he\s+)?(?:new\s+)?(?P<r1>{ROLE})\s+(?:of|at)\s+(?P<o1>(?:the\s+)?{NAME})|(?P<o2>{NAME})'s?\s+(?:new\s+)?(?P<r2>{ROLE}))"
    rf"\s+is\s+(?:now\s+)?(?P<p>{NAME})(?:,\s+.+)?"
)
_ATTRIBUTE = (
    r"(?:industry|sector|website|headcount|revenue|turnover|budget|deadline|status|version|(?:tech\s+)?stack|licen[cs]e|size|address"
    r"|phone\s+number|e-?mail(?:\s+address)?|population|price|currency|valuation|motto|slogan|repository|release\s+date|due\s+date)"
)
_ATTRIBUTE_IS = re.compile(
    rf"(?:(?:[Tt]he\s+)?(?:current\s+)?(?P<a1>{_ATTRIBUTE})\s+(?:of|for)\s+(?:[Pp]roject\s+)?(?P<o1>(?:the\s+)?{NAME})"
    rf"|(?P<o2>{NAME})'s?\s+(?:current\s+)?(?P<a2>{_ATTRIBUTE}))\s+is\s+(?:now\s+)?(?P<v>[^,;\x00]+)"
)


def entity_statements(message: str, said: date | None) -> list[EntityStatement]:
    """What the message states about named things, in its order; `said` is the day of speaking, spans are of `message`."""
    found: list[EntityStatement] = []
    for sentence in plain_sentences(message):
        text = sentence.text[strip_openers(sentence.text) :].rstrip(" .!…")
        if sentence.text.rstrip().endswith("?") or not _states(text):
            continue
        found += [replace(one, start=sentence.start, end=sentence.end) for one in dict.fromkeys(_sentence(text, said))]
    return found


def _states(text: str) -> bool:
    if _ASKED.match(text) or _FORGOTTEN.match(text) or UNREAL.search(text) or REPORTED.search(text):
        return False
    return not (_HEDGED.search(text) or _FICTION.search(text) or _NEGATED.search(text))


def _sentence(text: str, said: date | None) -> Iterator[EntityStatement]:
    for name, kind in mentions(text):
        yield EntityStatement(kind="mention", about=sure(name, kind))
    text = without_leads(text)
    for pattern in _ALIASES:
        for found in list(pattern.finditer(text)):
            name, alias = bare_name(found["n"]), bare_name(found["a"])
            if is_name(name) and (found["how"] or _abbreviates(alias, name)):
                kind, surety = own_type(name) or own_type(alias) or ("company", 1)
                yield EntityStatement(kind="alias", about=Named(name=name, type=kind, surety=surety), content=alias)
                text = text.replace(found[0], found["n"])
    for met in _MET.finditer(text):
        if own_type(met["n"]) and own_type(met["n"]) != ("company", EXPLICIT):
            yield EntityStatement(kind="mention", about=person(met["n"]))
    for work in _WORK.finditer(text):
        yield EntityStatement(kind="mention", about=company(work["n"]))
    text = re.sub(r"\s+\([^()]*\)", "", text)
    text = _LEADING.sub("", text, count=1) if _LEADING.match(text) else text
    leading = leading_date(text, said)
    text, when = leading or (text, None)
    for clause in _CLAUSES.split(text):
        yield from _clause(clause, said, when)


def _clause(text: str, said: date | None, when: str | None) -> Iterator[EntityStatement]:
    if found := _ROLE_IS.fullmatch(text):
        role, firm, name = found["r1"] or found["r2"], found["o1"] or found["o2"], found["p"]
        relation = role_relation(role)
        if is_name(bare_name(firm)) and is_name(name) and (relation.endswith(" of") or occupation(role)):
            yield EntityStatement(
                kind="relationship", about=person(name), content=relation, other=company(bare_name(firm))
            )
        return
    if found := _ATTRIBUTE_IS.fullmatch(text):
        name, attribute, value = bare_name(found["o1"] or found["o2"]), found["a1"] or found["a2"], found["v"].strip()
        if is_name(name) and len(value.split()) <= 8:
            kind, surety = own_type(name) or ("company", 1)
            yield EntityStatement(
                kind="property",
                about=Named(name=name, type=kind, surety=surety),
                name=" ".join(attribute.lower().split()),
                content=value,
            )
        return
    if found := _SEVERAL.fullmatch(text):
        for name in re.split(r",?\s+and\s+|,\s+", found["n"]):
            yield from _clause(f"{name} {_PLURALS.get(found['v'], found['v'])} {found['r']}", said, when)
        return
    matched = _SUBJECT.fullmatch(text)
    subject = bare_name(matched["n"]) if matched else ""
    if matched is None or not is_name(subject):
        return
    if aside := matched["aside"]:
        words = re.sub(r"^(?:which|who)\s+", "", aside)
        yield from _predicate(subject, words if words != aside else f"is {words}", said, None)
    for words in _PREDICATES.split(matched["rest"]):
        if re.match(_ADVERBS, words) and re.match(r"(?:ha[sv]e?\s+)?(?:\w+\s+)?just\b", words) and said:
            when = when or said.isoformat()
        yield from _predicate(subject, words, said, when)


def _predicate(subject: str, words: str, said: date | None, when: str | None) -> Iterator[EntityStatement]:
    # What cannot be read whole is read up to a second predicate that no pattern knows.
    for part in dict.fromkeys((words, _GOES_ON.split(words, maxsplit=1)[0])):
        dated = find_date(part, said)
        readings = [(_bare(part), when)]
        if dated:
            readings.insert(0, (_bare(dated[0]), dated[1]))
        for text, day in readings:
            predicate = Predicate(subject=subject, words=text, date=day)
            for pattern, made in PREDICATES:
                if (found := pattern.fullmatch(text)) and (stated := list(made(predicate, found))):
                    yield from stated
                    return


def _bare(words: str) -> str:
    """A predicate in the simple tense, without adverbs."""
    words = re.sub(rf"^(?:has|have)\s+{_ADVERBS}been\s+(?=based|located|headquartered)", "is ", words.strip(" ,"))
    words = re.sub(rf"^(?:has|have)\s+{_ADVERBS}been\s+", "was ", words)
    words = re.sub(rf"^(?:has|have)\s+{_ADVERBS}(?=\w+ed\b|left\b|won\b|bought\b|cut\b|begun\b)", "", words)
    words = re.sub(rf"^(is|was|were)\s+{_ADVERBS}", r"\1 ", words)
    return re.sub(rf"^{_ADVERBS}", "", words).strip(" ,")


def _abbreviates(alias: str, name: str) -> bool:
    """Whether a name in brackets is plainly another form of the name before it: its initials, or its first words."""
    words = [word for word in name.split() if word[0].isupper()]
    if alias.casefold() in {"".join(word[0] for word in words[:size]).casefold() for size in range(2, len(words) + 1)}:
        return True
    return len(alias) < len(name) and name.casefold().startswith(f"{alias.casefold()} ")
