"""The key of an insight: equal for statements that say the same in nearly the same words, in the same order.

Case, punctuation, articles, contractions, plurals and the way of asking ("you should …", "make sure to …") make no
difference, nor whether a condition stands before or after ("for X, do Y" is "do Y for X"). Every other word, number, unit and
sign does. Nothing here knows synonyms: a key too many costs a second row, a key too few loses what was said. The rules are
for English; words of other languages are compared as they stand.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence

from learning_stores.grounding import content_key

_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u2032\u00b4`", "'") | {"\u2212": "-", "\u2260": "!="})

_NO_APOSTROPHE = re.compile(
    r"\b(do|does|did|is|are|was|were|should|would|could|must|have|has|had|need)nt\b|\b(can|won)t\b", re.IGNORECASE
)
_CONTRACTIONS: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern, re.IGNORECASE), expanded)
    for pattern, expanded in (
        (r"\bwon't\b", "will not"),
        (r"\bshan't\b", "shall not"),
        (r"\bcan(?:'t|not)\b", "can not"),
        (r"n't\b", " not"),
        (r"\blet's\b", "let us"),
        (r"\b(it|that|there|here|what|he|she|who|where)'s\b", r"\1 is"),
        (r"'re\b", " are"),
        (r"'ve\b", " have"),
        (r"'ll\b", " will"),
        (r"(?<=\w)'s\b", ""),
    )
)

_SENTENCE_END = re.compile(r"[.!?;\u3002]+(?=\s|$)")
_LABEL = re.compile(
    r"(?:pro[\s-]?)?(?:tip|lesson(?:\s+learn(?:ed|t))?|note|insight|learning|rule\s+of\s+thumb|best\s+practice|take-?away"
    r"|reminder|remember)\s*[:\u2013\u2014]\s+",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"(?P<condition>(?:for|when|whenever|if|unless|before|after|while|during|once|until|in|on|at|with|without|under|to|by"
    r"|instead\s+of|rather\s+than|as\s+soon\s+as)\s[^,]+),\s+(?:then\s+)?(?P<rest>[^,]+)",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"(?P<number>(?:(?<!\w)[+-])?(?:(?<!\w)\.)?\d+(?:[.,:]\d+)*)"
    r"|(?P<flag>(?<!\S)--?[^\W\d_][\w-]*)"
    r"|(?P<word>(?:(?<!\S)\.)?[^\W\d]\w*(?:\.\w+)*(?:\+\+|\#)?)"
    r"|(?P<sign>[!=<>]=|[-=]>|<-|(?<![\w!])!(?=\w)|[^\s\w,;:.!?()\[\]{}\"'\u2010-\u2015\u2026\u3001\u3002\u201c-\u201f\u00ab\u00bb-])"
)
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_UNIT_LETTERS = 3  # letters of a unit behind a number, whose case counts: Mb and MB

_ARTICLES = frozenset({"a", "an", "the"})
_SAME = {
    "am": "is", "are": "is", "were": "was", "has": "have", "does": "do", "&": "and", "percent": "%", "indices": "index",
    "zero": "0", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "eleven": "11", "twelve": "12",
}  # fmt: skip
# Not plurals: without the s they are something else, the opposite even.
_WHOLE = frozenset({
    "always", "sometimes", "perhaps", "news", "windows", "series", "species", "https", "ftps", "smtps", "imaps", "ldaps",
    "mqtts", "amqps", "pops", "ours", "yours", "theirs", "hers", "goods", "means", "besides", "towards", "unless", "upwards",
    "downwards", "forwards", "backwards",
})  # fmt: skip
_OPENINGS = tuple(
    sorted(
        (
            ("please",),
            ("remember", "to"),
            ("remember", "that"),
            ("make", "sure", "to"),
            ("be", "sure", "to"),
            ("note", "that"),
            ("it", "turn", "out", "that"),
            ("we", "learned", "that"),
            ("it", "is", "best", "to"),
            ("it", "is", "important", "to"),
            *((who, must) for who in ("you", "we", "one") for must in ("should", "must")),
            *((who, "need", "to") for who in ("you", "we", "one")),
        ),
        key=len,
        reverse=True,
    )
)
_BOUNDARY = "|"


def insight_key(learning: str) -> str:
    """32 hex digits, equal for near-equal statements."""
    tokens = list(_tokens(learning))
    if not tokens:
        return content_key(learning)
    return hashlib.sha256(" ".join(tokens).encode()).hexdigest()[:32]


def _tokens(learning: str) -> Iterator[str]:
    sentences = (sentence.strip() for sentence in _SENTENCE_END.split(_plain(learning)))
    for number, sentence in enumerate(filter(None, sentences)):
        if number:
            yield _BOUNDARY
        stated = _LABEL.sub("", sentence, count=1) if _LABEL.match(sentence) else sentence
        moved = _CONDITION.fullmatch(stated)
        if moved:
            yield from _imperative(_words(moved["rest"]))
            yield from _words(moved["condition"])
        else:
            yield from _imperative(_words(stated))


def _plain(text: str) -> str:
    """One line, compatibility characters as plain ones, contractions in full. Case is kept: units need it."""
    spaced = "".join(_decomposed(character) for character in text.translate(_APOSTROPHES))
    plain = " ".join(unicodedata.normalize("NFKC", spaced).translate(_APOSTROPHES).split())
    plain = _NO_APOSTROPHE.sub(lambda found: f"{found[1]}n't" if found[1] else f"{found[2]}'t", plain)
    for contraction, expanded in _CONTRACTIONS:
        plain = contraction.sub(expanded, plain)
    return plain


def _decomposed(character: str) -> str:
    """Superscripts and fractions told apart from the number before them, which normalisation would join them to."""
    if character.isascii():
        return character
    form = unicodedata.decomposition(character).partition(" ")[0]
    return {"<super>": "^", "<sub>": "_", "<fraction>": " "}.get(form, "") + character


def _words(text: str) -> list[str]:
    words: list[str] = []
    number = False
    for found in _TOKEN.finditer(text):
        written = found[0]
        if found["number"]:
            words.append(written.replace(",", "") if _GROUPED.fullmatch(written) else written)
            number = True
            continue
        is_unit = number and len(written) <= _UNIT_LETTERS and written.casefold() not in _ARTICLES
        word = written if is_unit else _uninflected(written.casefold())
        number = word.isdecimal()
        if word == "not" and words and words[-1] == "do":
            words[-1] = "not"  # "do not use" is "not use"
        elif word not in _ARTICLES or (words and written == "A"):  # plan A is not an article
            words.append(word)
    return words


def _imperative(words: list[str]) -> list[str]:
    """Without the ways of asking in front."""
    left = tuple(words)
    while opening := next((one for one in _OPENINGS if left[: len(one)] == one and len(left) > len(one)), None):
        left = left[len(opening) :]
    return list(left)


def _uninflected(word: str) -> str:
    """A plural, or a verb's third person, without its ending."""
    if word in _SAME:
        return _SAME[word]
    if len(word) <= 3 or word in _WHOLE or not word.isalpha():
        return word
    if word.endswith(("ches", "shes", "xes", "zes", "sses")):
        word = word[:-2]
    elif word.endswith("ies") and len(word) > 4:
        word = f"{word[:-3]}y"
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if word.endswith(("che", "she", "xe", "ze", "sse")):
        return word[:-1]
    return f"{word[:-2]}y" if word.endswith("ie") and len(word) > 4 else word
