"""The marker around recalled context, so that memory is recognised, cannot be broken out of, and never feeds on itself."""

import re

OPENING = "<learning-machine-memory>"
CLOSING = "</learning-machine-memory>"

_BLOCK = re.compile(
    r"<learning-machine-memory\b[^<>]*>.*?(?:</learning-machine-memory\s*>|\Z)", re.DOTALL | re.IGNORECASE
)
# The sign that opens a tag, and those that look like it: full width, small, and with a mark combined into it.
_OPENS = re.compile("[<\uff1c\ufe64]|\u226e")


def cut_recalled(text: str) -> str:
    """The text without recalled blocks; a block that is not closed is cut to the end."""
    return _BLOCK.sub("", text) if "<learning-machine-memory" in text.lower() else text


def defused(text: str) -> str:
    """Stored text as it may stand inside the block: on one line, and with nothing that could close or open one."""
    return _OPENS.sub("‹", " ".join(text.split()))
