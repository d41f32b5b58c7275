"""The words of a message that a statement cites."""

import re

_WORD = re.compile(r"\S+")


def quote(text: str, start: int, end: int) -> str:
    """The words of `text` from `start` to `end`, widened word by word until there are three, or the whole of it."""
    first = start  # only what is around the words is read: a long message is quoted often
    while 0 < first < len(text) and not (text[first].isspace() or text[first - 1].isspace()):
        first -= 1
    after = _WORD.finditer(text, first)
    following, last, weight = next(after, None), -1, 0
    while following and (following.start() < end or (weight < 3 and last >= 0)):
        if last < 0:
            first = following.start()
        last, weight = following.end(), weight + _weight(following[0])
        if following.start() < end:
            inside = first, last
        following = next(after, None)
    if last < 0:
        return text.strip()
    while weight < 3 and (before := text[:first].split()):
        first = len(text[:first].rstrip()) - len(before[-1])
        weight += _weight(before[-1])
    if following is None and not text[:first].strip():
        return text.strip()
    return text[start:end] if (first, last) == inside else text[first:last]


def _weight(word: str) -> bool:
    return any(letter.isalnum() for letter in word)
