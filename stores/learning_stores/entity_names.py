"""Names, types, dates and values of entities: how they are written, and whether a text says a name.

A name counts where it stands as whole words: "Al" is not in "always". Scripts that write words without spaces have no such
bounds, so there a name counts anywhere.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from learning_schemas.spec import StoreSpec
from learning_stores import user_values
from learning_stores.grounding import content_key, fold, storable
from learning_stores.operations import EntityName

MAX_NAME = 200
"""Characters of a name, an alias, a relation or a property's name."""
MAX_TYPE = 60
"""Characters of an entity's type."""

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
"""Thai, Lao, Burmese, Khmer, kana, Chinese characters, and Hangul with its endings: inside a regular expression's brackets."""

_UNSPACED_END = re.compile(f"[{UNSPACED}]$")
_UNSPACED_START = re.compile(f"^[{UNSPACED}]")
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", re.ASCII)
_ARTICLE = re.compile(r"(?:the|a|an|our|my|your|their|his|her|its|this|that)\s+")
_POINTERS = frozenset({
    "i", "me", "my", "mine", "you", "your", "yours", "he", "him", "his", "she", "her", "hers", "it", "its", "we", "us", "our",
    "ours", "they", "them", "their", "theirs", "this", "that", "these", "those", "here", "there", "someone", "somebody",
    "everyone", "everybody", "nobody", "user", "assistant",
})  # fmt: skip
_IRREGULAR = {"people": "person", "men": "man", "women": "woman", "children": "child", "analyses": "analysis"}
_SINGULAR = frozenset(("series", "species", "news", "gas", "lens", "canvas", "atlas", "bias", "alias", "christmas"))


def written(text: str) -> str:
    """A name as it is kept: storable, on one line."""
    return " ".join(str(storable(text)).split())


def entity_type(text: str) -> str:
    """A type as it is kept: folded, singular, letters and digits. Empty where nothing of it is left."""
    words = re.sub(r"[^\w+#&]+", " ", fold(written(text)).replace("_", " ")).split()
    return " ".join([*words[:-1], _singular(words[-1])]) if words else ""


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or word in _SINGULAR or word.endswith(("ss", "us", "is")) or not word.endswith("s"):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    return word[:-1]


def is_pointer(name: str, kind: str) -> bool:
    """Whether it is no name but points at something: "it", "She", "the company" of a company. "US" and "The Band" are names."""
    if len(name) > 1 and not name[1:].islower():
        return False
    folded = fold(name)
    return folded in _POINTERS or _ARTICLE.sub("", folded, count=1) in (kind, "user", "assistant")


def says(name: str, folded_text: str) -> bool:
    """Whether a folded text has the name as whole words."""
    wanted = fold(name).rstrip(" .")
    if not wanted:
        return False
    before = "" if _UNSPACED_START.search(wanted) else r"(?<!\w)"
    after = "" if _UNSPACED_END.search(wanted) else r"(?!\w)"
    return re.search(f"{before}{re.escape(wanted)}{after}", folded_text) is not None


def is_date(told: str) -> bool:
    """Whether it is a real date of the form YYYY, YYYY-MM or YYYY-MM-DD."""
    found = _DATE.fullmatch(told)
    if found is None:
        return False
    year, month, day = (int(part or 1) for part in found.groups())
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def entity_told(entity: EntityName) -> str:
    """An entity in words."""
    return f"{entity.name} ({entity.type})"


def event_key(content: str, when: str | None) -> str:
    """Equal for the same event on the same date."""
    return content_key(f"{content.rstrip(' .!…')} {when or ''}")


def typed_value(name: str, value: Any, spec: StoreSpec, *, own: bool = False) -> Any:
    """A property's value as the spec's schema takes it, or as text. Raises ValueError for one that it refuses.

    `own` says that the spec is this process's own, so that the class it names may be imported.
    """
    if spec.user_schema is None:
        return written(str(value))
    fields: Mapping[str, dict[str, Any]] = spec.user_schema["properties"]
    if name not in fields:
        raise ValueError(f"{name} is no property of the schema")
    return user_values.typed_value(name, value, fields[name], spec.schema_import, own=own)
