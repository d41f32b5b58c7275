"""Verdicts on pairs of statements, for the curator: by their words alone, and only where these leave no doubt.

Two statements are the same if their words are, in the same order, without articles, forms of "to be" and the like, and without
common endings. They contradict each other if one of them is the other with a "not", or if both give one value to the same
phrase that has one at a time ("lives in", "has 42 employees") and the values differ. All else is unsure. What the words mean
is not known here.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

_BLOCK = re.compile(r"<pairs>([^<>]*)</pairs>")
_WORD = re.compile(r"[^\W_][\w'+#.,/:-]*[\w+#]|[^\W_]")
# fmt: off
_EMPTY = frozenset({
    "a", "also", "an", "and", "are", "been", "be", "being", "did", "do", "does", "had", "has", "have", "i", "is", "it", "its",
    "just", "of", "really", "some", "that", "the", "their", "this", "to", "very", "was", "were", "will",
})
# fmt: on
_NEGATIONS = frozenset({"cannot", "never", "no", "none", "not"})
_ENDING = re.compile(r"(?:ing|ed|es|s|e)$")
_NUMBER = re.compile(r"\d")
_LONGEST = 600  # characters of a statement that is read
# A phrase that has one value at a time, and its value behind it.
_ONE_VALUE = re.compile(
    r"^(?P<phrase>.*?\b(?:lives? in|works? (?:at|for)|employed (?:at|by)|based in|located in|headquartered in|is in|is called"
    r"|name is|birthday is|deadline is|deadline of .{1,60} is|married to|reports to))\s+(?P<value>.+)$",
    re.IGNORECASE,
)


def same_verdicts(text: str) -> dict[str, Any] | None:
    """Whether the statements `a` and `b` of each pair state the same; None where the request has no pairs."""
    return _verdicts(text, lambda pair: _same(pair["a"], pair["b"]))


def contradiction_verdicts(text: str) -> dict[str, Any] | None:
    """Whether `newer` contradicts `older` in each pair; None where the request has no pairs."""
    return _verdicts(text, lambda pair: _contradicts(pair["older"], pair["newer"]))


def _verdicts(text: str, judged: Any) -> dict[str, Any] | None:
    found = _BLOCK.findall(text)
    if len(found) != 1:
        return None
    try:
        # Split on line feeds only: a JSON string may hold other line separators as they are.
        pairs = [json.loads(line) for line in found[0].split("\n") if line.strip()]
        return {"verdicts": [{"pair": pair["id"], "verdict": judged(pair)} for pair in pairs]}
    except (ValueError, LookupError, TypeError):
        return None


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    if _words(one) == _words(other) and one.get("data") == other.get("data"):
        return "same"
    if _denied(one) != _denied(other) or _numbers(one) != _numbers(other):
        return "different"
    return "unsure"


def _contradicts(older: Mapping[str, Any], newer: Mapping[str, Any]) -> str:
    if older.get("data") != newer.get("data"):
        return "unsure"
    before, after = _words(older), _words(newer)
    if before == after:
        return "compatible"
    if _denied(older) != _denied(newer):
        return "contradicts" if _affirmed(before) == _affirmed(after) else "unsure"
    if [word for word in before if not _NUMBER.search(word)] == [word for word in after if not _NUMBER.search(word)]:
        return "contradicts"  # but for a number
    one, other = _ONE_VALUE.match(_read(older)), _ONE_VALUE.match(_read(newer))
    if one and other and _tokens(one["phrase"]) == _tokens(other["phrase"]):
        return "contradicts"
    return "unsure"


def _read(statement: Mapping[str, Any]) -> str:
    return str(statement["text"])[:_LONGEST].replace("\u2019", "'")


def _words(statement: Mapping[str, Any]) -> list[str]:
    return _tokens(_read(statement))


def _tokens(text: str) -> list[str]:
    plain = re.sub(r"n't\b", " not", text.casefold())
    words = [word for word in _WORD.findall(plain) if word not in _EMPTY]
    return [_ENDING.sub("", word) if len(word) > 3 else word for word in words]


def _denied(statement: Mapping[str, Any]) -> bool:
    return not _NEGATIONS.isdisjoint(_words(statement))


def _affirmed(words: list[str]) -> list[str]:
    return [word for word in words if word not in _NEGATIONS]


def _numbers(statement: Mapping[str, Any]) -> list[str]:
    return [word for word in _words(statement) if _NUMBER.search(word)]
