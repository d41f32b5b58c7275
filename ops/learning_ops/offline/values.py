"""The part of a clause that a rule takes as its value: where it ends, and whether it is of the kind that the rule is about."""

import re

from learning_ops.offline.lexicon import JUDGED, NOT_NAMES, NOT_TRADES, PARTICLES

MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
SEASON = r"(?:spring|summer|autumn|fall|winter)"
FUTURE = re.compile(
    r"\b(?:tomorrow|tonight|soon|someday|one\s+day|next\s+\w+|this\s+(?:week|weekend|month|year"
    rf"|{SEASON}|{MONTH}|{DAY})|later\s+this\s+\w+"
    rf"|in\s+(?:{MONTH}|{SEASON}|20\d\d|(?:a|two|three|four|five|six|\d+)\s+(?:days?|weeks?|months?|years?))"
    rf"|on\s+{DAY}|on\s+the\s+\d+(?:st|nd|rd|th)?|at\s+the\s+end\s+of\s+\w+)\b",
    re.IGNORECASE,
)
_NUMBER = r"(?:a|an|one|two|three|four|five|six|seven|eight|nine|ten|a\s+few|a\s+couple\s+of|many|several|\d+)"
_TAIL = re.compile(
    r"\s+(?:these\s+days|now(?:adays)?|at\s+the\s+moment|at\s+present|right\s+now|currently"
    r"|lately|recently|originally|anymore|any\s*more|"
    r"again|already|lol|haha\w*|tbh|imo|too|as\s+well|though|by\s+(?:training|trade|profession)(?:\s+and\b.*)?"
    r"|for\s+work|full[- ]time|part[- ]time|"
    rf"yesterday|today|last\s+\w+|(?:this|next)\s+(?:week|weekend|month|year|{SEASON}|{MONTH}"
    rf"|{DAY})|(?:for|over|about|almost|around)\s+.*(?:years?|months?|weeks?|days?).*"
    rf"|{_NUMBER}\s+(?:years?|months?|weeks?|days?)\s+ago|since\b.*|in\s+(?:{MONTH}|(?:19|20)\d\d|{SEASON}))$",
    re.IGNORECASE,
)
_BREAK = re.compile(
    (
        r"\s+(?:but|because|so|since|which|who|where|while|when|whenever|if|although|though|unless"
        r"|until|before|after|as\s+long\s+as|and\s+(?:then|it|i|i'm|that|they|we|he|she|this|you"
        r"|there))\b.*"
    ),
    re.IGNORECASE | re.DOTALL,
)
_ORG_BREAK = re.compile(
    r"\s+(?:as|in|since|on|doing|with|from|over|now|two|three|after|before|near|where|but|so"
    r"|(?:for|and|at)(?=\s+[^A-Z]))\b.*"
)
_PLACE_BREAK = re.compile(r"\s+(?:with|for|from|to|since|because|as|where|near\s+(?=my\b)|but|so|and(?=\s+[^A-Z]))\b.*")

_TITLES = frozenset({"dr", "dr.", "mr", "mr.", "mrs", "mrs.", "ms", "ms.", "prof", "prof."})
_TRADES = re.compile(
    r"(?:\w{2,}(?:eer|ologist|grapher|smith|wright|ician|ist|maker|keeper|tender)"
    r"|\w{3,}[^aeiou\W](?:er|or)|\w+yst|nurse|doctor|chef|cook|pilot|judge|"
    r"student|coach|architect|intern|paramedic|medic|mechanic|guide|clerk|attorney|vet"
    r"|librarian|comedian|musician|guardian|consultant|assistant|"
    r"accountant|attendant|executive|representative|rep|lead|ceo|cto|cfo|coo|barista|athlete"
    r"|professor|actor|actress|mayor|dba|sre|"
    r"apprentice|trainee|waitress|dancer|freelancer|scientist|soldier|officer|agent|therapist"
    r"|counselor|counsellor|veterinarian|historian|translator)",
    re.IGNORECASE,
)
_POINTING = re.compile(
    r"(?:it|its|that|this|those|these|there|i|me|us|you|your|yours|u|how|what|when|where|who"
    r"|why|whatever|him|her|his|hers|them|their|my\s+(?:\w+\s+)?jobs?\b|everything|all|both|one|some|any"
    r"|everyone|everybody|to\s+(?:say|think|know|hear|believe|imagine|admit|ask|tell|add|point"
    r"|call|thank|break|bother|do|be|have))\b",
    re.IGNORECASE,
)
_SOMEWHERE = re.compile(r"\b(?:it|this|that|these|those|them|him|her|you|your)\b", re.IGNORECASE)
_SOON = re.compile(rf"\bthis\s+(?:week|weekend|month|year|{SEASON}|{MONTH}|{DAY}|evening|afternoon)\b", re.IGNORECASE)
_ARTICLE = re.compile(r"(?:a|an|the|some)\s+", re.IGNORECASE)


def trimmed(value: str) -> str:
    """The value without what follows a conjunction, a trailing time and stray punctuation."""
    value = _BREAK.sub("", value).strip(" \t,.!?:;-–—…\"'*")
    while (shorter := _TAIL.sub("", value)) != value:
        value = shorter
    return value.strip()


def person_name(value: str, *, lower_case: bool = False) -> str | None:
    """A person's name of one to four words, all of `value`, else None; lower-case ones only where the whole message is."""
    words = trimmed(value).split()
    if not 1 <= len(words) <= 4 or words[0].casefold() in NOT_NAMES or not _proper(words[-1], lower_case):
        return None
    if not all(_proper(word, lower_case) or word.casefold() in PARTICLES for word in words) or not _proper(
        words[0], lower_case
    ):
        return None
    if words[-1].casefold().strip(".") in NOT_NAMES or (words[0].casefold() in _TITLES and len(words) == 1):
        return None
    return " ".join(words)


def organisation(value: str) -> str | None:
    """An organisation's name at the beginning of `value`, else None; "a bakery called X" gives X."""
    named = re.match(r".*?\b(?:called|named)\s+(.+)", value)
    if named is None and re.match(r"an?\s", value):
        return None  # "a new reading group": a kind of organisation, not one
    value = named[1] if named else value
    value = trimmed(_ORG_BREAK.sub("", value))
    return value if _has_proper(value) and len(value.split()) <= 8 else None


def place(value: str) -> str | None:
    """A place with a proper name in it at the beginning of `value`, else None."""
    value = trimmed(_PLACE_BREAK.sub("", trimmed(value)))
    if not _has_proper(value) or len(value.split()) > 8 or re.fullmatch(rf"(?:{MONTH}|{DAY})", value, re.IGNORECASE):
        return None
    return value


def occupation(value: str) -> str | None:
    """What somebody works as, without its article, else None: the last word must be built like a trade's name."""
    value = _ARTICLE.sub("", trimmed(value), count=1)
    words = value.split()
    if not 1 <= len(words) <= 5:
        return None
    head = re.split(r"\s+(?:of|for)\s+", value)
    if re.fullmatch(
        r"(?:vice\s+)?(?:head|director|president|vp|chief|manager|professor|founder|chair)", head[0], re.IGNORECASE
    ):
        return value
    last = head[0].split()[-1]
    if {word.casefold() for word in words} & (JUDGED | NOT_TRADES) or not (last.islower() or last.isupper()):
        return None
    return value if _TRADES.fullmatch(last) else None


def liked_object(value: str) -> str | None:
    """What somebody likes or dislikes, else None: what is pointed at ("that", "your idea", "the colours!") is no lasting taste."""
    value = trimmed(value)
    if not value or len(value.split()) > 10 or "\x00" in value or _POINTING.match(value) or points(value):
        return None
    if re.match(r"the\b", value, re.IGNORECASE) and not re.match(
        r"the\s+(?:(?:\w+\s+){1,2}of\b|(?-i:[A-Z]))", value, re.IGNORECASE
    ):
        return None
    return value


def points(value: str) -> bool:
    """Whether the value stands on something that only the conversation can tell ("that", "it", "your …")."""
    return _SOMEWHERE.search(_SOON.sub("", value)) is not None


def position(value: str) -> str | None:
    """What somebody says that they work as, without its article, else None."""
    value = _ARTICLE.sub("", trimmed(value), count=1)
    return value if value and "\x00" not in value and len(value.split()) <= 5 and not _POINTING.match(value) else None


def _proper(word: str, lower_case: bool) -> bool:
    bare = word.strip("'.,\"")
    if not bare or not bare[0].isalpha() or not re.fullmatch(r"[^\W\d_]+(?:['.-][^\W\d_]+)*\.?", bare):
        return False
    return bare[0].isupper() or lower_case or bare[0].lower() == bare[0].upper()


def _has_proper(value: str) -> bool:
    if "\x00" in value:
        return False
    words = [word.strip("'\"(") for word in value.split()]
    return any(
        word and word != "I" and (word[0].isupper() or (word[0].isalpha() and word[0].lower() == word[0].upper()))
        for word in words
    )
