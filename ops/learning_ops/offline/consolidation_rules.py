"""One statement for a cluster of statements, for the curator: a list, where all of them say one thing more of the same kind.

"Likes green tea", "Likes rye bread" and "Likes jazz" are "Likes green tea, rye bread and jazz": the same opening that takes a
list, and behind it a few words without a condition, a place, a time or a list of their own. For all else there is none.
"""

import json
import re
from typing import Any

_BLOCK = re.compile(r"<clusters>([^<>]*)</clusters>")
_OPENING = re.compile(
    r"(?P<opening>(?:Likes|Loves|Enjoys|Dislikes|Hates|Prefers|Speaks|Plays|Drinks|Eats|Uses|Sells|Ships|Owns|Collects"
    r"|Is allergic to|Has visited|Is learning|Works with|Reads))\s+(?P<thing>[^,;:.!?()]+)"
)
_BESIDES = re.compile(
    r"\b(?:and|or|but|not|no|in|at|on|with|without|for|to|from|by|since|until|when|if|because|than|as|only|instead|every|again)\b",
    re.IGNORECASE,
)
_MOST_WORDS = 4  # of one thing


def consolidations(text: str) -> dict[str, Any] | None:
    """A statement or none for each cluster; None where the request has no clusters."""
    found = _BLOCK.findall(text)
    if len(found) != 1:
        return None
    try:
        # Split on line feeds only: a JSON string may hold other line separators as they are.
        clusters = [json.loads(line) for line in found[0].split("\n") if line.strip()]
        return {"clusters": [{"cluster": each["id"], "statement": _statement(each["statements"])} for each in clusters]}
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _statement(statements: list[str]) -> str | None:
    matches = [_OPENING.fullmatch(each.strip().rstrip(".")) for each in statements]
    openings = {match["opening"] for match in matches if match is not None}
    things = list(dict.fromkeys(match["thing"].strip() for match in matches if match is not None))
    if None in matches or len(openings) != 1 or len(things) < 2:
        return None
    if any(_BESIDES.search(thing) or len(thing.split()) > _MOST_WORDS for thing in things):
        return None
    return f"{openings.pop()} {', '.join(things[:-1])} and {things[-1]}"
