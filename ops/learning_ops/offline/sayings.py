"""The ways of saying something about oneself: for each slot the patterns of a clause and the kind of value that each takes."""

import re
from collections.abc import Callable

from learning_ops.offline.values import (
    FUTURE,
    liked_object,
    occupation,
    organisation,
    person_name,
    place,
    points,
    position,
    trimmed,
)

_ADVERB = (
    r"(?:(?:really|actually|currently|also|just|now|still|always|absolutely|totally|truly"
    r"|recently|mostly|quite|definitely|so|usually|generally|"
    r"especially|particularly|very|much|already|finally|originally|both|simply|proudly|sadly|do)\s+)*"
)
_I = r"(?:i|we)\s+" + _ADVERB
AM = r"(?:i'm|i\s+am|im|we're|we\s+are)\s+" + _ADVERB
_HAVE = r"(?:(?:i|we)(?:'ve|\s+have)|ive|i|we)\s+" + _ADVERB
_DIETS = (
    r"(?:vegetarian|vegan|pescatarian|lactose[- ]intolerant|gluten[- ]free|gluten[- ]intolerant"
    r"|c(?:o)?eliac|diabetic|kosher|halal|keto)"
)
_FOOD = (
    r"(?:meat|pork|beef|fish|chicken|dairy|eggs?|gluten|sugar|seafood|shellfish|cheese|nuts"
    r"|wheat|lamb|bread|red\s+meat|animal\s+products)"
)
_NOT_PLANNED = (
    r"(?!(?:know|thank|ask|see|say|hear|talk|understand|make\s+sure|cry|tell|share|show|check"
    r"|point|be|believe|go\s+home|go\s+to\s+bed|bed|scream|"
    r"sleep|book|order|reserve|schedule|die|note|add|mention|do|get|use|give|hug|express|congratulate|apologi[sz]e|wish|let"
    r"|find\s+out|confirm|clarify|discuss|continue|"
    r"take|keep|have|look|need|try|stop|focus|remind|emphasi[sz]e|acknowledge)\b)"
)
_UNPLANNED = re.compile(
    r"(?:to\s+)?(?:working|trying|feeling|having|thinking|considering|wondering|need|be|a|an|the|my|our)\b"
)


ValueKind = Callable[[str], str | None]


def _any(value: str) -> str | None:
    value = trimmed(value)
    return value if value and "\x00" not in value and len(value.split()) <= 14 else None


def _purpose(value: str) -> str | None:
    value = value.strip(" \t,.!?:;")
    return value if value and "\x00" not in value and len(value.split()) <= 20 and not points(value) else None


def _dated(value: str) -> str | None:
    found = list(FUTURE.finditer(value))
    return _purpose(value[: found[-1].end()]) if found and not _UNPLANNED.match(value) else None


def _food(value: str) -> str | None:
    found = re.match(_FOOD + r"(?=\s*$|\s+(?:at|and|or|any|because|so)\b)", value, re.IGNORECASE)
    return f"no {found[0].lower()}" if found else None


def _preferred(value: str) -> str | None:
    value = trimmed(value)
    bad = re.match(
        (
            r"(?:it|that|this|these|those|not|you|your|to\s+(?:be\s+called|say|think)|if|the\s+(?:first"
            r"|second|former|latter))\b"
        ),
        value,
        re.IGNORECASE,
    )
    return None if bad or not value or "\x00" in value or len(value.split()) > 12 else value


_RULES: tuple[tuple[str, str, ValueKind], ...] = (
    (
        "name",
        r"my\s+(?:(?:full|real|first|given)\s+)?name(?:'s|\s+is)\s+(?:(?:actually|spelled|written)\s+)?(?P<v>.+)",
        person_name,
    ),
    ("name", r"the\s+name(?:'s|\s+is)\s+(?P<v>.+)", person_name),
    ("name", AM + r"called\s+(?P<v>.+)", person_name),
    ("name", r"this\s+is\s+(?P<v>.+?)\s+(?:speaking|here)", person_name),
    (
        "preferred_name",
        r"(?:(?:please|you\s+can|you\s+may|feel\s+free\s+to|just|everyone\s+can)\s+)*call\s+me\s+(?P<v>.+)",
        person_name,
    ),
    (
        "preferred_name",
        (
            r"(?:everyone|everybody|people|(?:my\s+)?friends|my\s+family|most\s+people|they"
            r"|folks)\s+(?:just\s+)?calls?\s+me\s+(?P<v>.+)"
        ),
        person_name,
    ),
    ("preferred_name", _I + r"go\s+by\s+(?:the\s+name\s+)?(?P<v>.+)", person_name),
    (
        "preferred_name",
        r"(?:i|i'd|i\s+would)\s+(?:prefer|like|rather)\s+(?:to\s+)?be(?:ing)?\s+called\s+(?P<v>.+)",
        person_name,
    ),
    ("preferred_name", r"my\s+nickname\s+is\s+(?P<v>.+)", person_name),
    ("employer", _I + r"(?:work|am\s+working)\s+(?:at|for)\s+(?P<v>.+)", organisation),
    ("employer", rf"(?:{AM}|{_HAVE}been\s+)working\s+(?:at|for)\s+(?P<v>.+)", organisation),
    (
        "employer",
        _I + r"(?:love|like|enjoy|hate|dislike)\s+my\s+(?:new\s+)?job\s+(?:at|with)\s+(?P<v>.+)",
        organisation,
    ),
    ("employer", _I + r"work\s+as\s+.+?\s+(?:at|for)\s+(?P<v>.+)", organisation),
    ("employer", _HAVE + r"joined\s+(?P<v>.+)", organisation),
    (
        "employer",
        _HAVE + r"(?:started|begun|began|landed|got|taken|took|accepted)\s+(?:working|(?:a|an|my"
        r"|the)\s+(?:\w+\s+)?(?:job|position|role|offer)|out)?\s*"
        r"(?:at|with|from)\s+(?P<v>.+)",
        organisation,
    ),
    (
        "employer",
        rf"(?:{_I}(?:got|was|just\s+got)|{_HAVE}(?:been|gotten)|{AM})\s*(?:hired|employed)\s+(?:by|at)\s+(?P<v>.+)",
        organisation,
    ),
    ("employer", r"my\s+(?:current\s+|new\s+)?(?:employer|company)\s+is\s+(?:called\s+)?(?P<v>.+)", organisation),
    (
        "role",
        _I
        + (
            r"(?:work|started\s+(?:out\s+)?(?:at|with)\s+.+?|joined\s+.+?|work\s+(?:at"
            r"|for)\s+.+?)\s+as\s+(?P<v>.+?)(?:\s+(?:at|for|in|with|and)\s+.+)?"
        ),
        position,
    ),
    ("role", AM + r"(?P<v>(?:a|an|the)\s+.+?)(?:\s+(?:at|in|from|with|who|working|based|by|and)\s+.+)?", occupation),
    ("employer", AM + r"(?:a|an|the)\s+(?!.*\b(?:student|pupil)\s+at\b).+?\s+at\s+(?P<v>.+)", organisation),
    (
        "role",
        rf"(?:{_I}|{_HAVE})(?:became|become|got\s+promoted\s+to|was\s+promoted\s+to|been\s+promoted\s+to)\s+(?P<v>.+)",
        occupation,
    ),
    ("role", r"my\s+(?:job|profession|occupation|job\s+title|role)\s+is\s+(?P<v>.+)", occupation),
    (
        "place",
        (
            rf"(?:{_I}live|{AM}living|{AM}based|{_I}am\s+based|{_I}reside|{AM}located|my\s+home\s+is"
            rf"|{_HAVE}settled)\s+(?:down\s+)?(?:in|out\s+of)\s+(?P<v>.+)"
        ),
        place,
    ),
    ("place", _HAVE + r"(?:moved|relocated)\s+(?:back\s+|over\s+|here\s+)?to\s+(?P<v>.+)", place),
    (
        "origin",
        rf"(?:{AM}from|{_I}(?:come\s+from|grew\s+up\s+in|was\s+born\s+(?:and\s+raised\s+)?in))\s+(?P<v>.+)",
        place,
    ),
    ("like", rf"{_I}(?:love|like|enjoy|adore|(?:am\s+)?fond\s+of)\s+(?P<v>.+)", liked_object),
    (
        "like",
        (
            rf"{AM}(?:a\s+)?(?:(?:big|huge|massive|great|long-?time)\s+)?(?:fan\s+of|into"
            r"|passionate\s+about|keen\s+on|fond\s+of|crazy\s+about)\s+(?P<v>.+)"
        ),
        liked_object,
    ),
    ("like", r"my\s+(?:all-time\s+)?favou?rite\s+(?P<topic>\w+(?:\s+\w+)?)\s+(?:is|are)\s+(?P<v>.+)", liked_object),
    (
        "dislike",
        (
            rf"{_I}(?:hate|dislike|detest|loathe|despise|(?:can't|cannot|can\s+not|couldn't)\s+(?:stand"
            r"|bear)|(?:don't|do\s+not)\s+(?:\w+ly\s+)?(?:like|enjoy|care\s+for)"
            r"|never\s+liked)\s+(?P<v>.+)"
        ),
        liked_object,
    ),
    ("dislike", r"(?:i've|i\s+have)\s+never\s+(?:liked|enjoyed)\s+(?P<v>.+)", liked_object),
    (
        "dislike",
        (
            rf"{AM}not\s+(?:\w+ly\s+)?(?:a\s+)?(?:(?:big|huge|great)\s+)?(?:fan\s+of|into|fond\s+of"
            r"|keen\s+on)\s+(?P<v>.+)"
        ),
        liked_object,
    ),
    ("preference", rf"(?:{_I}|i'd\s+{_ADVERB}|i\s+would\s+{_ADVERB})prefer\s+(?P<v>.+)", _preferred),
    ("preference", r"(?:i'd|i\s+would)\s+(?:much\s+)?rather\s+(?:have|get|see|read|use)\s+(?P<v>.+)", _preferred),
    ("allergy", rf"{AM}(?:\w+ly\s+)?allergic\s+to\s+(?P<v>.+)", _any),
    ("allergy", rf"{_HAVE}an?\s+(?:\w+\s+)?(?P<v>\w+)\s+allergy", _any),
    (
        "diet",
        (
            rf"(?:{AM}|{_HAVE}been\s+|{_HAVE}(?:become|became|gone|went|turned)\s+"
            rf"|as\s+)(?:an?\s+)?(?:(?:strict|lifelong|committed)\s+)?(?P<v>{_DIETS})(?:\s+.+)?"
        ),
        _any,
    ),
    ("diet", rf"{_I}(?:don't|do\s+not|never|can't|cannot)\s+eat\s+(?:any\s+)?(?P<v>.+)", _food),
    ("plan", rf"{AM}planning\s+(?:to\s+|on\s+)?(?P<v>.+)", _purpose),
    ("plan", rf"{AM}hoping\s+to\s+(?P<v>.+)", _purpose),
    ("plan", rf"{_I}(?:plan\s+(?:to|on)|intend\s+to|hope\s+to|aim\s+to)\s+{_NOT_PLANNED}(?P<v>.+)", _purpose),
    ("plan", rf"{_I}want\s+to\s+(?:someday\s+|eventually\s+)?{_NOT_PLANNED}(?P<v>.+)", _purpose),
    ("plan", rf"{AM}(?:going\s+to|gonna)\s+(?P<v>(?-i:[a-z]).+)", _dated),
    ("plan", rf"{AM}(?!going\b|planning\b|working\b|doing\b)(?P<v>\w+ing\s+.+)", _dated),
    ("plan", rf"{AM}(?P<v>going\s+(?:on|to)\s+(?:(?:an?|the|my|our)\s+|(?-i:[A-Z])).+)", _dated),
    (
        "plan",
        (
            r"(?:next\s+\w+|this\s+(?:autumn|fall|spring|summer|winter|year)|tomorrow"
            rf"|soon)\s+{AM}(?:going\s+to|gonna)\s+(?P<v>.+)"
        ),
        _purpose,
    ),
)
# A clause states a slot when its pattern matches the whole of it and the value "v" is of the kind; `topic` names what of.
SAYINGS = tuple((slot, re.compile(pattern, re.IGNORECASE | re.DOTALL), kind) for slot, pattern, kind in _RULES)
