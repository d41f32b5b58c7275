"""What a store is: how it asks the model, and what it makes of the answer. The rest is the same for all.

A store turns a window into a question, and the patch that answers it into grounded operations. Commit, evidence, history,
undo, recall and row-level security are not its business.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from pydantic import BaseModel

from learning_schemas.scope import ScopeKind
from learning_schemas.spec import StoreSpec
from learning_stores.grounding import quote_holds, storable
from learning_stores.operations import MAX_CONTENT, Citation, Learning, Operations
from learning_stores.prompts import Prompt
from learning_stores.window import Window, WindowMessage

Known = Mapping[str, Learning]
"""What is known, by the label that the prompt gives it."""

MAX_EXCERPT = 200
"""Characters of a message that a statement about the session shows as its quote."""


class LearningStore(Protocol):
    """One kind of memory. `patch` is an instance of the store's own patch model."""

    name: str
    scope: ScopeKind

    def prompt(self, spec: StoreSpec) -> Prompt:
        """The static instructions."""
        ...

    def patch_model(self, spec: StoreSpec) -> type[BaseModel]:
        """The pydantic model that the answer must fit."""
        ...

    def operations(self, patch: Any, window: Window, known: Known, spec: StoreSpec) -> Operations:
        """The patch, grounded: what holds, as operations, and a count of what does not."""
        ...


class Grounds:
    """Checks citations against a window, and counts what fails by reason."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self.dropped: Counter[str] = Counter()

    def quoted(self, label: str, quote: str, *, role: str | None = None) -> tuple[Citation, ...] | None:
        """A citation by exact words, of a message of that role; None (and counted) where it does not hold."""
        message = self._window.by_label.get(label)
        if message is None:
            self.dropped["unknown message"] += 1
        elif role is not None and message.role != role:
            self.dropped[f"not the {role}'s message"] += 1
        elif not quote_holds(quote, message.text):
            self.dropped["quote not in the message"] += 1
        else:
            return (self._citation(message, storable(quote).strip()),)
        return None

    def named(self, labels: Iterable[str]) -> tuple[Citation, ...] | None:
        """Citations of whole messages by label; None (and counted) where none of them is in the window."""
        found = {label: message for label in labels if (message := self._window.by_label.get(label)) is not None}
        if not found:
            self.dropped["cites no message"] += 1
            return None
        return tuple(self._citation(message, _excerpt(message.text)) for message in found.values())

    def content(self, text: str) -> str | None:
        """A statement on one line; None (and counted) where it is empty or too long."""
        stated = " ".join(storable(text).split())
        if not stated:
            self.dropped["empty"] += 1
        elif len(stated) > MAX_CONTENT:
            self.dropped["too long"] += 1
        else:
            return stated
        return None

    def _citation(self, message: WindowMessage, quote: str) -> Citation:
        return Citation(
            event_id=message.event_id,
            message=message.index,
            quote=quote,
            user_id=self._window.user_id if message.role == "user" else None,
            occurred_at=message.at,
        )


def _excerpt(text: str) -> str:
    return text if len(text) <= MAX_EXCERPT else text[: MAX_EXCERPT - 1].rstrip() + "…"
