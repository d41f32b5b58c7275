"""What a user's message states about its writer, each statement with the clause that it stands on."""

import re
from collections.abc import Iterator
from dataclasses import replace

from learning_ops.offline.clauses import Clause, clauses
from learning_ops.offline.sayings import AM, SAYINGS, ValueKind
from learning_ops.offline.statement import Statement
from learning_ops.offline.values import FUTURE, occupation, organisation, person_name, place

_I_AM_NAME = re.compile(AM + r"(?P<v>.+?)(?:\s+(?:from|here|by\s+the\s+way|btw|and)\b.*)?", re.IGNORECASE | re.DOTALL)
_THIS_IS_NAME = re.compile(r"this\s+is\s+(?P<v>\S+)", re.IGNORECASE)
_NAME_HERE = re.compile(r"(?P<v>\S+(?:\s\S+)?)\s+here", re.IGNORECASE)
_GREETING = re.compile(
    r"\s*(?:hi|hello|hey|hiya|greetings|good\s+(?:morning|afternoon|evening)|quick\s+intro)\b[^.?]*", re.IGNORECASE
)
_APPOSITION = re.compile(r"(?P<v>(?:an?\s+)?.+?)(?:\s+(?P<how>at|from|in)\s+(?P<of>.+))?", re.IGNORECASE | re.DOTALL)

_FORGET = re.compile(
    r"(?:please\s+)?(?:forget|unlearn|disregard)\s+(?:the\s+fact\s+)?(?:that\s+)?(?P<v>(?:i|my)\b.+)", re.IGNORECASE
)
_ENDED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), now)
    for pattern, now in (
        (
            (
                r"i\s+(?:no\s+longer|don't|do\s+not)\s+(?P<v>(?:work|live|like|love|enjoy|prefer|hate|eat"
                r"|plan|want|go\s+by)\b.+?)"
            ),
            "I {}",
        ),
        (r"(?:i'm|i\s+am|im)\s+(?:no\s+longer|not)\s+(?P<v>.+?)", "I'm {}"),
        (r"i\s+used\s+to\s+(?P<v>(?:work|live|like|love|enjoy|hate|prefer)\b.+)", "I {}"),
        (r"i\s+used\s+to\s+be\s+(?P<v>.+)", "I'm {}"),
        (r"(?:i've|i\s+have|i)\s+(?:just\s+)?(?:stopped|quit)\s+being\s+(?P<v>.+)", "I'm {}"),
        (
            (
                r"(?:i've|i\s+have|i)\s+(?:just\s+|recently\s+)?(?:quit|left|resigned\s+from"
                r"|lost)\s+my\s+(?:\w+\s+)?(?:job|position|role)\s+(?:at|with)\s+(?P<v>.+)"
            ),
            "I work at {}",
        ),
        (
            (
                r"(?:i've|i\s+have|i)\s+(?:just\s+|recently\s+)?(?:quit|left|resigned\s+from"
                r"|got\s+fired\s+from|was\s+laid\s+off\s+(?:by|from))\s+(?P<v>[^\W\d_].*)"
            ),
            "I work at {}",
        ),
    )
)
_ANY_MORE = re.compile(r"\s+(?:any\s?more|any\s+longer)$", re.IGNORECASE)


def statements(message: str) -> list[Statement]:
    """What the message states about its writer, in its order; spans are of `message`."""
    found: list[Statement] = []
    lower_case = not any(letter.isupper() for letter in message)
    for clause in clauses(message):
        ended = list(_ended(clause.text))
        said = ended or list(_named(clause, lower_case)) + _apposition(clause) + _plain(clause.text, clause.front)
        found += [
            replace(one, start=clause.start, end=clause.end)
            for one in dict.fromkeys(said)
            if not (clause.goes_on and re.search(r"\b(?:an?|the|more|very)\s+\w+$", one.value))
        ]
    return found


def _ended(text: str) -> Iterator[Statement]:
    forget = _FORGET.fullmatch(text)
    if forget:
        yield from (replace(one, ended=True) for one in _plain(forget["v"], "") + list(_i_am_name(forget["v"])))
        return
    any_more = _ANY_MORE.search(text)
    for pattern, now in _ENDED:
        matched = pattern.fullmatch(_ANY_MORE.sub("", text))
        negated = matched and re.match(r"\S+\s+(?:\S+\s+)?(?:not|don't)\b|i'm\s+not\b", text, re.IGNORECASE)
        # "I don't work at X" says little; "I don't work at X any more" says that it ended.
        if matched and (not negated or any_more or "no longer" in text.lower()):
            yield from (replace(one, ended=True) for one in _plain(now.format(matched["v"]), ""))
            return


def _plain(text: str, front: str) -> list[Statement]:
    said: list[Statement] = []
    if FUTURE.fullmatch(front.strip(" ,")):  # "Next year, I'm going to …"
        text = f"{front.strip(' ,')} {text}"
    for slot, pattern, kind in SAYINGS:
        matched = pattern.fullmatch(text)
        value = kind(matched["v"]) if matched else None
        if matched and value is not None and not (slot == "plan" and any(one.slot != "plan" for one in said)):
            topic = matched.groupdict().get("topic") or ""
            said.append(Statement(slot=slot, value=value, topic=topic.lower()))
    if any(one.slot == "preferred_name" for one in said):
        said = [one for one in said if one.slot not in {"preference", "like"}]
    kept: list[Statement] = []
    for one in said:
        if one.slot not in {other.slot for other in kept}:
            kept.append(one)
    return kept


def _named(clause: Clause, lower_case: bool) -> Iterator[Statement]:
    yield from _i_am_name(clause.text)
    if lower_case and (matched := re.fullmatch(r"my\s+name(?:'s|\s+is)\s+(?P<v>.+)", clause.text)):
        name = person_name(matched["v"], lower_case=True)
        if name and len(name.split()) <= 2:
            yield Statement(slot="name", value=name)
    greeted = _GREETING.fullmatch(clause.front) or (not clause.front and _GREETING.match(clause.before))
    for pattern in (_THIS_IS_NAME, _NAME_HERE):
        matched = pattern.fullmatch(clause.text)
        if matched and greeted and (name := person_name(matched["v"])):
            yield Statement(slot="name", value=name)


def _i_am_name(text: str) -> Iterator[Statement]:
    matched = _I_AM_NAME.fullmatch(text)
    name = person_name(matched["v"]) if matched else None
    if name and not (name.isupper() and name.isascii() and len(name) > 1):
        yield Statement(slot="name", value=name)
        if (
            matched
            and (source := re.search(r"\sfrom\s+(.+)", text[matched.start("v") :]))
            and (home := place(source[1]))
        ):
            yield Statement(slot="origin", value=home)


def _apposition(clause: Clause) -> list[Statement]:
    """ "I'm Fatima, a pharmacist from Amman": what follows a name at once says what its bearer is."""
    if not (next(_i_am_name(clause.before), None) or _NAME_HERE.fullmatch(clause.before)) or not clause.front.strip():
        return []
    matched = _APPOSITION.fullmatch(clause.text)
    role = occupation(matched["v"]) if matched else None
    if matched is None or role is None or re.match(r"(?:i|i'm|my|you)\b", clause.text, re.IGNORECASE):
        return []
    said = [Statement(slot="role", value=role)]
    kinds: dict[str, tuple[str, ValueKind]] = {
        "at": ("employer", organisation),
        "from": ("origin", place),
        "in": ("place", place),
    }
    if matched["how"]:
        slot, kind = kinds[matched["how"].lower()]
        value = kind(matched["of"])
        said += [Statement(slot=slot, value=value)] if value else []
    return said
