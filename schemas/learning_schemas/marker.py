"""The marker around recalled context, so that memory is recognised, cannot be broken out of, and never feeds on itself."""

import re
import unicodedata

OPENING = "<learning-machine-memory>"
CLOSING = "</learning-machine-memory>"

_BLOCK = re.compile(
    r"<learning-machine-memory\b[^<>]*>.*?(?:</learning-machine-memory\s*>|\Z)", re.DOTALL | re.IGNORECASE
)
_UNSEEN = frozenset({"Cc", "Cf"})
_JOINERS = frozenset("\u200c\u200d")  # they spell words of Persian and Hindi, and join emoji
# The sign that opens a tag, and those that look like it: full width, small, and with a mark combined into it.
_OPENS = re.compile("[<\uff1c\ufe64]|\u226e")


def cut_recalled(text: str) -> str:
    """The text without recalled blocks; a block that is not closed is cut to the end."""
    return _BLOCK.sub("", text) if "<learning-machine-memory" in text.lower() else text


def defused(text: str) -> str:
    """Stored text as it may stand inside the block: on one line, and with nothing unseen or that could close or open one."""
    if not text.isprintable():
        text = "".join(filter(_may_stand, text))
    return _OPENS.sub("‹", " ".join(text.split()))


def _may_stand(character: str) -> bool:
    """Not what a reader does not see and a model does: control, format and tag characters, turned directions."""
    return character in _JOINERS or not (
        (unicodedata.category(character) in _UNSEEN and not character.isspace())
        or "\U000e0000" <= character <= "\U000e007f"
    )
