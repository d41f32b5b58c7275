"""The prompts, a file each: a version, an empty line, the static instructions.

A prompt's version is the number in its first line and a hash of its text, so that a change that forgot the number shows.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Prompt:
    """Static instructions, by name and version."""

    name: str
    version: str
    text: str


@cache
def load_prompt(name: str) -> Prompt:
    """The prompt of that name."""
    head, _, body = (_HERE / f"{name}.md").read_text(encoding="utf-8").partition("\n\n")
    number = head.removeprefix("version:").strip()
    return Prompt(name, f"{number}-{hashlib.sha256(body.encode()).hexdigest()[:8]}", body)
