"""A store of ours where agno's programs look one up: `agent.learning_machine.user_profile_store.print(user_id=…)`."""

from collections.abc import Callable
from typing import Any

from agno.learn.utils import print_panel

from learning_machine.machine import LearningMachine
from learning_schemas.results import Found, Learning, RecalledLearning


class StoreView:
    """What a store remembers, to read. It is changed by the agent's turns, by its tools, and by `learning-machine learnings`."""

    was_updated = False

    def __init__(self, name: str, memory: Callable[[], LearningMachine]) -> None:
        self.learning_type = name
        self._memory = memory

    def get(
        self, user_id: str | None = None, session_id: str | None = None, *, limit: int = 50, **_: Any
    ) -> tuple[Learning, ...]:
        """What is remembered for this user and session, newest first. Raises `MemoryUnavailable`."""
        return self._memory().learnings(store=self.learning_type, user_id=user_id, session_id=session_id, limit=limit)

    async def aget(
        self, user_id: str | None = None, session_id: str | None = None, *, limit: int = 50, **_: Any
    ) -> tuple[Learning, ...]:
        """`get` for asyncio."""
        return await self._memory().alearnings(
            store=self.learning_type, user_id=user_id, session_id=session_id, limit=limit
        )

    def search(
        self, query: str, user_id: str | None = None, session_id: str | None = None, *, limit: int = 5, **_: Any
    ) -> tuple[Found, ...]:
        """What matters most to a query, best first. Raises `MemoryUnavailable`."""
        return self._memory().search(
            query, store=self.learning_type, user_id=user_id, session_id=session_id, limit=limit
        )

    def print(
        self,
        user_id: str | None = None,
        session_id: str | None = None,
        *,
        query: str | None = None,
        limit: int = 50,
        raw: bool = False,
        **_: Any,
    ) -> None:
        """Print it as agno does; with `query` what matters most to that."""
        found: list[Learning | RecalledLearning]
        if query is None:
            found = list(self.get(user_id, session_id, limit=limit))
        else:
            found = [each.learning for each in self.search(query, user_id, session_id, limit=limit)]
        print_panel(
            title=self.learning_type.replace("_", " ").title(),
            subtitle=query or user_id or session_id or "",
            lines=[line_of(each) for each in found],
            empty_message="Nothing is remembered",
            raw_data={f"{number}": line_of(each) for number, each in enumerate(found, 1)},
            raw=raw,
        )


def line_of(learning: Learning | RecalledLearning) -> str:
    """One line for a person: what it is about, and what it says."""
    about = f"{learning.about}: " if learning.about is not None else ""
    return f"{about}{learning.content} ({learning.kind})"
