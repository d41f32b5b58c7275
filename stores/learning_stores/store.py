"""What a store is: how it asks the model, and what it makes of the answer. The rest is the same for all.

A store turns a window into a question, and the patch that answers it into grounded operations. Commit, evidence, history,
undo, recall and row-level security are not its business.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel
from sqlalchemy.orm import Session

from learning_schemas.scope import ScopeKind
from learning_schemas.spec import Mode, StoreSpec, WiderWrites
from learning_stores.grounding import fold, folded_quote_holds, storable
from learning_stores.operations import MAX_CONTENT, Citation, LiveLearning, Operations, live_learnings
from learning_stores.place import Place
from learning_stores.prompts import Prompt
from learning_stores.replay_known import without_replayed
from learning_stores.window import Window, WindowMessage

if TYPE_CHECKING:
    from learning_stores.tooling import ToolDefinition

Known = Mapping[str, LiveLearning]
"""What is known, by the label that the prompt gives it."""


def known_to(
    session: Session, store: "LearningStore", reading: "Reading", window: Window, scope: str
) -> list[LiveLearning]:
    """What a prompt shows as known; of a replay, what would be known without it. `scope` is the mailbox's."""
    known = store.known(session, reading, window)
    if not window.replayed:
        return known
    return without_replayed(session, reading.place.tenant, store.name, scope, reading.place.scope, known)


MAX_EXCERPT = 200
"""Characters of a message that a statement about the session shows as its quote."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What an extraction may look at besides its window: the place that it writes to, and the scopes that it reads."""

    place: Place
    scopes: Sequence[str]
    spec: StoreSpec


class LearningStore:
    """One kind of memory: subclass it, and register the subclass as an entry point `learning_machine.stores`.

    `name` is also the name of its queue (`learning.<name>`); `scope` what its extractions are serial over; `modes` what a
    config may ask for, the default first; `kinds` the kinds of its learnings, in the order in which recall shows them, each
    with its heading. A `namespaced` store shares what it learned: its learnings lie in the spec's namespace, and
    `wider_writes` says by default what extraction may write beyond its user's own. `patch` is an instance of the store's own
    patch model. A store keeps no state: one instance serves every thread.
    """

    name: ClassVar[str]
    scope: ClassVar[ScopeKind] = "session"
    namespaced: ClassVar[bool] = False
    modes: ClassVar[tuple[Mode, ...]] = ("ALWAYS",)
    kinds: ClassVar[Mapping[str, str]]
    wider_writes: ClassVar[WiderWrites] = "active"
    accumulates: ClassVar[bool] = True
    """False where each extraction builds on the one before and takes its place: a replay then begins from where that was."""
    kept_kinds: ClassVar[frozenset[str]] = frozenset()
    """Kinds that the curator neither prunes nor deduplicates: places for one value, and what others hang on."""

    def prompt(self, spec: StoreSpec) -> Prompt:
        """The static instructions."""
        raise NotImplementedError

    def patch_model(self, spec: StoreSpec) -> type[BaseModel]:
        """The pydantic model that the answer must fit: closed objects, absence as null."""
        raise NotImplementedError

    def operations(self, patch: Any, window: Window, known: Known, spec: StoreSpec) -> Operations:
        """The patch, grounded: what holds, as operations, and a count of what does not."""
        raise NotImplementedError

    def known(self, session: Session, reading: Reading, window: Window) -> list[LiveLearning]:
        """What the prompt shows as known, most relevant first: without a namespace everything under the scope."""
        return live_learnings(session, reading.place.tenant, self.name, reading.place.scope)

    def tools(self, spec: StoreSpec) -> Sequence["ToolDefinition"]:
        """The tools that an agent gets in this mode."""
        return ()

    def guidance(self, spec: StoreSpec) -> str:
        """What the agent is told about using these tools; empty where it has none."""
        return ""


class Grounds:
    """Checks citations against a window, and counts what fails by reason."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._folded: dict[str, str] = {}  # by label: a patch may cite one message ten thousand times
        self.dropped: Counter[str] = Counter()

    def quoted(self, label: str, quote: str, *, role: str | None = None) -> tuple[Citation, ...] | None:
        """A citation by exact words, of a message of that role; None (and counted) where it does not hold."""
        message = self._window.by_label.get(label)
        if message is None:
            self.dropped["unknown message"] += 1
        elif role is not None and message.role != role:
            self.dropped[f"not the {role}'s message"] += 1
        elif not folded_quote_holds(quote, self._whole(message)):
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

    def _whole(self, message: WindowMessage) -> str:
        if (folded := self._folded.get(message.label)) is None:
            folded = self._folded[message.label] = fold(message.text)
        return folded

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
