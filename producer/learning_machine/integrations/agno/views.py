"""A store of ours where agno's programs look one up: `agent.learning_machine.user_profile_store.print(user_id=…)`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agno.learn.utils import print_panel

from learning_machine.machine import LearningMachine
from learning_schemas.errors import InvalidArgument
from learning_schemas.results import Found, Learning, RecalledLearning

_REMEDY = "Give user_id=… and session_id=…; an entity is learning.memory.entity(name)"


class StoreView:
    """What a store remembers, to read. It is changed by the agent's turns, by its tools, and by `learning-machine learnings`."""

    was_updated = False

    def __init__(self, name: str, memory: Callable[[], LearningMachine]) -> None:
        self.learning_type = name
        self._memory = memory

    def get(self, *by_place: str, limit: int = 50, **named: str | None) -> tuple[Learning, ...]:
        """What is remembered for `user_id` and `session_id`, newest first. Raises `InvalidArgument`, `MemoryUnavailable`."""
        user, session = self._ids(by_place, named)
        return self._memory().learnings(store=self.learning_type, user_id=user, session_id=session, limit=limit)

    async def aget(self, *by_place: str, limit: int = 50, **named: str | None) -> tuple[Learning, ...]:
        """`get` for asyncio."""
        user, session = self._ids(by_place, named)
        return await self._memory().alearnings(store=self.learning_type, user_id=user, session_id=session, limit=limit)

    def search(self, query: str, *, limit: int = 5, **named: str | None) -> tuple[Found, ...]:
        """What matters most to a query, best first, for `user_id` and `session_id`. Raises as `get` does."""
        user, session = self._ids((), named)
        return self._memory().search(query, store=self.learning_type, user_id=user, session_id=session, limit=limit)

    def print(
        self, *by_place: str, query: str | None = None, limit: int = 50, raw: bool = False, **named: str | None
    ) -> None:
        """Print it as agno does; with `query` what matters most to that, which comes first where agno has it so."""
        if by_place and query is None and self.learning_type == "learned_knowledge":
            query, by_place = by_place[0], by_place[1:]
        user, session = self._ids(by_place, named)
        found: list[Learning | RecalledLearning]
        if query is None:
            found = list(self.get(user_id=user, session_id=session, limit=limit))
        else:
            found = [each.learning for each in self.search(query, user_id=user, session_id=session, limit=limit)]
        print_panel(
            title=self.learning_type.replace("_", " ").title(),
            subtitle=query or user or session or "",
            lines=[line_of(each) for each in found],
            empty_message="Nothing is remembered",
            raw_data={f"{number}": line_of(each) for number, each in enumerate(found, 1)},
            raw=raw,
        )

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{name!r} is nothing that a store has here. What is remembered is changed by turns, by tools, and by"
            " learning.memory: add, update, retract, forget"
        )

    def _ids(self, by_place: Sequence[str], named: Mapping[str, str | None]) -> tuple[str | None, str | None]:
        """User and session. A user's store takes the user by place, as agno's; what agno has at other places is another thing."""
        taken = 1 if self.learning_type == "user_profile" and "user_id" not in named else 0
        foreign = [f"{name}=…" for name in sorted(named) if name not in ("user_id", "session_id")]
        if len(by_place) > taken or foreign:
            what = ", ".join(foreign) or "an argument by its place"
            raise InvalidArgument(
                f"{self.learning_type}_store", f"was given {what}, which agno's store takes and ours does not", _REMEDY
            )
        return named.get("user_id", by_place[0] if by_place else None), named.get("session_id")


def line_of(learning: Learning | RecalledLearning) -> str:
    """One line for a person: what it is about, and what it says."""
    about = f"{learning.about}: " if learning.about is not None else ""
    return f"{about}{learning.content} ({learning.kind})"
