"""Verdicts on pairs of entities, for the curator: by their names alone, and only where these leave no doubt.

Two are the same if their names are, but for case, punctuation and a legal form at the end, or if the one is registered as another
name of the other; and if no property of theirs differs. Two whose numbers differ are two. All else is unsure.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

_BLOCK = re.compile(r"<pairs>([^<>]*)</pairs>")
_WORD = re.compile(r"[\w+#&]+")
_NUMBER = re.compile(r"\d+")
_LONGEST = 300  # characters of a name that are read
_LEGAL = frozenset({
    "ag", "bv", "co", "company", "corp", "corporation", "gmbh", "inc", "incorporated", "limited", "llc", "ltd", "nv", "oy", "plc",
    "sa", "sarl", "se", "spa", "srl",
})  # fmt: skip


def entity_verdicts(text: str) -> dict[str, Any] | None:
    """Whether the entries `a` and `b` of each pair are one thing; None where the request has no pairs of entries."""
    found = _BLOCK.findall(text)
    if len(found) != 1:
        return None
    try:
        # Split on line feeds only: a JSON string may hold other line separators as they are.
        pairs = [json.loads(line) for line in found[0].split("\n") if line.strip()]
        return {"verdicts": [{"pair": pair["id"], "verdict": _judged(pair["a"], pair["b"])} for pair in pairs]}
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _judged(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    if _NUMBER.findall(one["name"]) != _NUMBER.findall(other["name"]):
        return "different"
    named = _plain(one["name"]) == _plain(other["name"])
    called = _words(one["name"]) in map(_words, other.get("also", ())) or _words(other["name"]) in map(
        _words, one.get("also", ())
    )
    return "same" if (named or called) and not _differ(one, other) else "unsure"


def _words(name: str) -> list[str]:
    return _WORD.findall(re.sub(r"[.'\u2019]", "", name[:_LONGEST].casefold()))


def _plain(name: str) -> list[str]:
    """A name's words without a legal form at the end; the whole where nothing else is left."""
    words = _words(name)
    kept = words
    while kept and kept[-1] in _LEGAL:
        kept = kept[:-1]
    return kept or words


def _differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a property that both have has two values."""
    first, second = _properties(one), _properties(other)
    return any(first[name] != second[name] for name in first.keys() & second.keys())


def _properties(entry: Mapping[str, Any]) -> dict[str, str]:
    parts = (line.partition(":") for line in entry.get("property", ()))
    return {name.strip().casefold(): value.strip().casefold() for name, _, value in parts}
