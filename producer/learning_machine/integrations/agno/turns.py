"""What a machine does in an agent's turn: recall and tools before the model is asked, the turn handed over after its answer.

Nothing of it raises: a run of the agent goes on without its memory, and the log says so once a minute.
"""

import time
from collections.abc import Callable
from typing import Any

from learning_machine.integrations.agno.conversation import Said, said_in
from learning_machine.integrations.agno.handover import Handover
from learning_machine.integrations.agno.notices import Notices
from learning_machine.integrations.agno.tools import READING_TOOLS, Memory, as_function
from learning_schemas.errors import NotAccepted
from learning_schemas.results import Recall

WAITING_SHARE = 0.5
"""Of recall's deadline, at most, for what the same user or session handed over before."""
_SHORTEST = 0.001
_KEEP = "LearningMachine(spool_dir=…) keeps what no server takes, for `learning-machine spool drain`"


class Turns:
    """The turns of one machine; `memory` makes or gives ours, and may raise."""

    def __init__(self, memory: Callable[[], Memory]) -> None:
        self._memory = memory
        self._notices = Notices()
        self._handover = Handover()

    def recall(self, user_id: str | None, session_id: str | None, message: str | None) -> Recall:
        """What is remembered; empty, and `degraded`, where that could not be found out in time."""
        if user_id is None and session_id is None:
            return Recall()
        try:
            memory = self._memory()
            until = time.monotonic() + memory.recall_deadline
            self._handover.await_before((user_id, session_id), memory.recall_deadline * WAITING_SHARE)
            recalled = memory.recall(message or None, user_id=user_id, session_id=session_id, deadline=_left(until))
        except Exception as error:
            return self._noticed(Recall(degraded=type(error).__name__), error)
        return self._noticed(recalled, recalled.degraded)

    async def arecall(self, user_id: str | None, session_id: str | None, message: str | None) -> Recall:
        """`recall` for asyncio."""
        if user_id is None and session_id is None:
            return Recall()
        try:
            memory = self._memory()
            until = time.monotonic() + memory.recall_deadline
            await self._handover.aawait_before((user_id, session_id), memory.recall_deadline * WAITING_SHARE)
            recalled = await memory.arecall(
                message or None, user_id=user_id, session_id=session_id, deadline=_left(until)
            )
        except Exception as error:
            return self._noticed(Recall(degraded=type(error).__name__), error)
        return self._noticed(recalled, recalled.degraded)

    def tools(self, asynchronous: bool, *, reading: bool, **ids: str | None) -> list[Callable[..., Any]]:
        """The tools in agno's form, all or those that only read; none where they cannot be made."""
        try:
            found: list[Any] = [
                as_function(tool, asynchronous=asynchronous)
                for tool in self._memory().tools_there_are(**ids)
                if not reading or tool.name in READING_TOOLS
            ]
        except Exception as error:
            self._notices.failed("offering the memory's tools", error)
            return []
        return found

    def hand_over(
        self, run: Any, *, owner: Any, user_id: str | None, session_id: str | None, asker: str | None
    ) -> None:
        """Hand over the turn of a run that has its answer; `asker` as in `said_in`."""
        ids = {
            "user_id": user_id,
            "session_id": session_id,
            "agent_id": getattr(run, "agent_id", None),
            "team_id": getattr(run, "team_id", None) or getattr(owner, "team_id", None),
        }
        try:
            said = said_in(run, asker=asker)
            self.give(said, metadata={"agno_run_id": getattr(run, "run_id", None)}, **ids)
        except Exception as error:
            self._notices.failed("handing a turn over", error)

    def give(self, said: Said, **ids: Any) -> None:
        """Emit it, beside an event loop that runs here."""
        if not said.messages or (ids["user_id"] is None and ids["session_id"] is None):
            return

        def emit() -> None:
            try:
                memory = self._memory()
                if ids["user_id"] is None:
                    memory = memory.of_sessions()
                if memory.spec.stores:
                    memory.emit(said.messages, history=said.history, **ids)
            except NotAccepted as error:
                # Nobody has it in hand to send it again, as its own message would have it.
                told = "; ".join(f"{place}: {cause}" for place, cause in error.causes.items())
                self._notices.failed("handing a turn over", f"{told}. It is not learned from: {_KEEP}")
            except Exception as error:
                self._notices.failed("handing a turn over", error)

        self._handover.give((ids["user_id"], ids["session_id"]), emit)

    def close(self) -> None:
        """Wait until everything is emitted that was handed over."""
        self._handover.close()

    def _noticed(self, recalled: Recall, cause: Exception | str | None) -> Recall:
        if cause is not None:
            self._notices.failed("recall", cause)
        return recalled


def _left(until: float) -> float:
    return max(until - time.monotonic(), _SHORTEST)


def by_store(recalled: Recall) -> dict[str, Any]:
    """Its learnings, by store."""
    stores = dict.fromkeys(each.store for each in recalled.learnings)
    return {store: tuple(each for each in recalled.learnings if each.store == store) for store in stores}
