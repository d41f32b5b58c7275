"""A store, and words for it: what users say, and what a model answers to that."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learning_stores.store import LearningStore

KnownLines = Sequence[Mapping[str, Any]]
"""What the prompt shows as known: a mapping for each line, with `id`, `kind`, `text`."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a user says, and the patch that a model answers: made of the message's id and of what is known."""

    text: str
    patch: Callable[[str, KnownLines], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class StoreCase:
    """A store with all that the tests need of it.

    `machine` holds the arguments of a `LearningMachine` that has this store alone, with mode ALWAYS and live writes; `private`
    those of one whose learnings are each user's own, where `namespace="user"` beside `machine` does not make one. `said`
    states something; `contradicted`, said later, takes its place (`succeeds=False`: takes it back, and states something
    else). `another(n)` states something that stands beside every other n; where `accumulates` is False, what is said later
    replaces it within a session.
    """

    store: LearningStore
    machine: Mapping[str, Any]
    said: Said
    contradicted: Said
    another: Callable[[int], Said]
    private: Mapping[str, Any] | None = None
    accumulates: bool = True
    succeeds: bool = True


def known_as(known: KnownLines, text: str) -> str:
    """The id of the known line that holds this text. Fails where there is none."""
    found = next((str(line["id"]) for line in known if text in str(line["text"])), None)
    assert found is not None, f"nothing that is known holds {text!r}: {known}"
    return found
