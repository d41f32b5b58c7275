"""What a check found, and how much it matters."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "error"]
"""`note`: worth knowing. `warning`: works, and will not for ever or not for everybody. `error`: something does not work, or what
is promised does not hold."""

LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "error")
"""From the least to the gravest."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a check looked at; `remedy` is a command, a statement or a setting. `check` is filled in by who ran it."""

    level: Level
    what: str
    remedy: str | None = None
    check: str = ""


class Unreachable(Exception):
    """A server, or what is needed to reach it, is not there: what is wrong, and the remedy. Ends one check, and no other."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


def ok(what: str) -> Finding:
    """As it should be."""
    return Finding(level="ok", what=what)


def note(what: str, remedy: str) -> Finding:
    """Worth knowing."""
    return Finding(level="note", what=what, remedy=remedy)


def warning(what: str, remedy: str) -> Finding:
    """Works, and will not for ever or not for everybody."""
    return Finding(level="warning", what=what, remedy=remedy)


def error(what: str, remedy: str) -> Finding:
    """Does not work, or breaks a promise."""
    return Finding(level="error", what=what, remedy=remedy)


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`, `3 deliveries`, `4 mailboxes`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}{'es' if noun.endswith('x') else 's'}"
    return f"{number:,} {noun if number == 1 else plural}"
