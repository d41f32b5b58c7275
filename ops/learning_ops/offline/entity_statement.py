"""One thing said of an entity, before it is settled which known entity it is and of which type."""

from dataclasses import dataclass
from typing import Literal

from learning_ops.offline.names import EXPLICIT, STRONG, WEAK

Kind = Literal["mention", "alias", "description", "fact", "property", "event", "relationship", "ended", "left"]


@dataclass(frozen=True, kw_only=True)
class Named:
    """A name in a sentence with the type that the words around it give it, and how surely (EXPLICIT … WEAK)."""

    name: str
    type: str
    surety: int = WEAK


@dataclass(frozen=True, kw_only=True)
class EntityStatement:
    """What is said of `about`; `other` is a relationship's far end.

    `content` is a fact's, event's or description's text, an alias, a property's value, or a relation. `slot` names what a fact
    replaces when its entity has another of it; `instead_of` the value that the words say was given up. An `ended` fact holds
    no longer; `left` ends what tied a person to `other`. Offsets are of the message.
    """

    kind: Kind
    about: Named
    content: str = ""
    other: Named | None = None
    name: str = ""  # of a property
    date: str | None = None
    slot: str = ""
    instead_of: str | None = None
    start: int = 0
    end: int = 0


def company(name: str, surety: int = WEAK) -> Named:
    """A company, as far as the words around it tell."""
    return Named(name=name, type="company", surety=surety)


def person(name: str, surety: int = STRONG) -> Named:
    """A person, by what is said of them."""
    return Named(name=name, type="person", surety=surety)


def sure(name: str, kind: str) -> Named:
    """A name whose type is said in so many words."""
    return Named(name=name, type=kind, surety=EXPLICIT)
