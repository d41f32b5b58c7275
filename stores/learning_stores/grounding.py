"""Grounding: an operation counts only if what it cites is there.

A quote must occur in the cited message, after folding, and have at least three words or be the whole message. What fails
is dropped and counted, never stored.
"""

import hashlib
import re
import unicodedata
from typing import Any

MIN_QUOTE_WORDS = 3

_SINGLE, _DOUBLE = "\u2018\u2019\u201a\u201b\u2032\u00b4`", "\u201c\u201d\u201e\u2033\u00ab\u00bb"
_QUOTES = str.maketrans(dict.fromkeys(_SINGLE, "'") | dict.fromkeys(_DOUBLE, '"'))


# Sorting a run of combining marks takes time with the square of its length (24,000 of them took a second): a long text is
# normalised piece by piece, a word or a part of one with the marks that follow it.
_LONG = 256
_PIECES = re.compile(rf"\S{{1,{_LONG}}}[^\w\s]{{0,32}}|\s+")


def fold(text: str) -> str:
    """Text as it is compared: NFKC, case folded, quotation marks alike, white space as single spaces."""
    if text.isascii():  # nearly all that is compared, and the same in a quarter of the time
        return " ".join(text.replace("`", "'").lower().split())
    alike = text.translate(_QUOTES)
    if len(alike) <= _LONG or alike.isascii():
        normal = unicodedata.normalize("NFKC", alike)
    else:
        normal = "".join(unicodedata.normalize("NFKC", piece) for piece in _PIECES.findall(alike))
    return " ".join(normal.casefold().split())


def quote_holds(quote: str, message: str) -> bool:
    """Whether the words are in the message, and are enough of them."""
    return folded_quote_holds(quote, fold(message))


def folded_quote_holds(quote: str, whole: str) -> bool:
    """The same of a message that is folded already, as where many quotes cite one."""
    folded = fold(quote)
    if not folded or folded not in whole:
        return False
    return folded == whole or len(folded.split()) >= MIN_QUOTE_WORDS


def storable(value: Any) -> Any:
    """A value from a model's answer without NUL and lone surrogates, which Postgres takes in no text."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "ignore").decode()
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(name): storable(item) for name, item in value.items()}
    return value


def content_key(content: str) -> str:
    """Equal for equal statements: what a statement says, folded and without closing punctuation, hashed."""
    return hashlib.sha256(fold(content).rstrip(" .!…").encode()).hexdigest()[:32]
