"""Particulars: what a statement must not lose and not gain when it is worded anew, found by rules.

Numbers, dates, proper names, quoted words, negations, and words on which much hangs ("only", "unless", "used"). A name is a word
with a capital letter; the first word of a sentence, which has one anyway, counts as a name unless it is a common opening. Of
writing that has no capital letters nothing can be said here.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from learning_stores.grounding import fold

_NUMBERS = frozenset({
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty", "forty", "fifty", "sixty",
    "seventy", "eighty", "ninety", "hundred", "thousand", "million", "billion", "once", "twice", "half", "quarter", "third",
    "dozen", "first", "second", "both", "few", "several", "many", "most", "all", "every",
})  # fmt: skip
_WEIGHTY = frozenset({
    "only", "always", "often", "usually", "sometimes", "rarely", "seldom", "mostly", "if", "unless", "until", "except", "before",
    "after", "since", "during", "used", "former", "formerly", "previously", "maybe", "perhaps", "probably", "might", "may", "could",
    "would", "should", "plans", "planned", "wants", "wanted", "hopes", "intends", "considering", "allergic", "today", "tomorrow",
    "yesterday", "daily", "weekly", "monthly", "yearly", "more", "less", "too", "instead",
})  # fmt: skip
_NEGATIONS = frozenset({
    "not", "no", "never", "none", "nor", "neither", "without", "cannot", "nothing", "nobody", "nowhere", "hardly", "avoids",
    "dislikes", "hates", "stopped", "quit", "refuses",
})  # fmt: skip
_OPENINGS = frozenset({
    "a", "an", "the", "is", "are", "was", "were", "be", "has", "have", "had", "does", "do", "did", "can", "will", "i", "he", "she",
    "it", "they", "we", "you", "his", "her", "their", "its", "our", "my", "your", "this", "that", "these", "those", "there", "and",
    "but", "also", "as", "at", "by", "for", "from", "in", "of", "on", "to", "with", "likes", "loves", "enjoys", "prefers", "lives",
    "works", "uses", "owns", "plays", "drinks", "eats", "goes", "speaks", "studies", "studied", "visits", "visited", "moved",
    "grew", "knows", "keeps", "makes", "made", "takes", "took", "runs", "reads", "writes", "watches", "listens", "drives",
    "cooks", "travels", "traveled", "travelled", "started", "worked", "needs", "sells", "ships", "offers",
    "based", "located", "favorite", "favourite", "user",
})  # fmt: skip

_EDGES = re.compile(r"^[^\w+#$€£%-]+|[^\w+#%]+$")
_POSSESSIVE = re.compile(r"['\u2019]s$", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?;:])\s+")
_QUOTED = re.compile(
    r"[\"\u201c\u201e\u00ab]([^\"\u201c\u201d\u00bb]+)[\"\u201c\u201d\u00bb]|(?<!\w)['\u2018]([^'\u2019]+)['\u2019](?!\w)"
)


def has_capitals(statement: str) -> bool:
    """Whether it is written with letters that come in two cases."""
    letters = [each for each in statement if each.isalpha()]
    return bool(letters) and all(each.lower() != each or each.upper() != each for each in letters)


def is_negated(statement: str) -> bool:
    """Whether it denies something."""
    return any(word in _NEGATIONS or word.endswith("n't") for word in words_of(statement))


def keeps_particulars(statement: str, sources: Sequence[str]) -> bool:
    """Whether a statement has all particulars of its sources, and none that none of them has."""
    said = frozenset(word for source in sources for word in words_of(source))
    own = frozenset(words_of(statement))
    if not frozenset(each for source in sources for each in particulars(source)) <= own:
        return False
    if not frozenset(particulars(statement)) <= said:
        return False
    if is_negated(statement) != any(map(is_negated, sources)):
        return False
    told, whole = fold(statement), [fold(source) for source in sources]
    if any(quoted not in told for source in sources for quoted in _quoted(source)):
        return False
    return all(any(quoted in source for source in whole) for quoted in _quoted(statement))


def words_of(statement: str) -> list[str]:
    """Its words, folded, without the punctuation around them."""
    return [fold(word) for word in _words(statement)]


def particulars(statement: str) -> Iterator[str]:
    """The words that it must keep, folded."""
    for sentence in _SENTENCE.split(statement):
        for place, word in enumerate(_words(sentence)):
            folded = fold(word)
            if (
                any(each.isdigit() for each in word)
                or folded in _NUMBERS
                or folded in _WEIGHTY
                or (word != "I" and any(each.isupper() for each in word[1:]))
                or (word[:1].isupper() and folded not in _OPENINGS and (place == 0 or word != "I"))
            ):
                yield folded


def _words(text: str) -> list[str]:
    stripped: Iterable[str] = (_POSSESSIVE.sub("", _EDGES.sub("", raw)) for raw in text.split())
    return [word for word in stripped if word]


def _quoted(statement: str) -> list[str]:
    return [fold(double or single).rstrip(" .,;!?") for double, single in _QUOTED.findall(statement)]
