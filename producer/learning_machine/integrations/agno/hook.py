"""The post-hook by which a machine has a turn as soon as its answer is there.

agno itself asks for extraction before the model is called, and shows it the question without the answer.
"""

from collections.abc import Callable
from typing import Any


class LearningHook:
    """A post-hook of an agent's or a team's: hands the turn over to the machine that it belongs to. It raises nothing."""

    __name__ = "learning_machine"

    def __init__(self, machine: Any, hand_over: Callable[..., None]) -> None:
        self._machine = machine
        self._hand_over = hand_over

    def __call__(
        self,
        run_output: Any = None,
        session: Any = None,
        user_id: str | None = None,
        agent: Any = None,
        team: Any = None,
        run_context: Any = None,
    ) -> None:
        owner = agent if agent is not None else team
        # One that was given another machine since has that machine's hook as well.
        if getattr(owner, "_learning", None) not in (None, self._machine) or self._machine.reads_only:
            return
        self._hand_over(
            run_output,
            owner=owner,
            user_id=user_id if user_id is not None else getattr(run_output, "user_id", None),
            session_id=getattr(session, "session_id", None) or getattr(run_output, "session_id", None),
            asker=_asker(owner, run_context),
        )

    def __copy__(self) -> "LearningHook":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "LearningHook":
        # Copies of an agent share its machine.
        return self


def _asker(owner: Any, run_context: Any) -> str | None:
    """Who asked, where it was not the user: the team's leader, or the step of a workflow."""
    if getattr(owner, "_team", None) is not None or getattr(owner, "parent_team_id", None) is not None:
        return "team"
    return "workflow" if getattr(run_context, "workflow_id", None) is not None else None
