"""Asking a judge: what jobs ask where rules cannot decide, and what comes back. Who answers is the worker's matter.

Nothing that is in a database is held while a judge answers. An answer is only a verdict: what it changes is written in a later
transaction, and only as far as the rows are still what the judge was shown.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from pydantic import BaseModel

from learning_stores.prompts import Prompt

NO_MODEL = "no model"
"""Why nobody was asked: `skipped` in a report."""


def nothing_wrong(answer: BaseModel) -> str | None:
    """The check of an answer whose form says all."""
    return None


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """One call's question about so many `cases`. `data` is lines of `json_line`, in blocks; `name` is that of the answer's form.

    `subject` and `user_id` are whose learnings it is about, where they are one person's: what is kept of the call goes when they
    are forgotten. `check` says what is wrong with an answer that has the right form, without repeating its text; None: nothing.
    `tries`: calls at most; a second one tells what was wrong with the first one's answer.
    """

    tenant: str
    store: str
    run_id: UUID
    job: str
    prompt: Prompt
    name: str
    answer: type[BaseModel]
    data: str
    cases: int
    subject: str = ""
    user_id: str | None = None
    check: Callable[[BaseModel], str | None] = nothing_wrong
    tries: int = 2


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """An answer of the form that was asked for, how many calls it took, and US dollars (None: a price is not known)."""

    answer: BaseModel
    calls: int
    cost_usd: Decimal | None


class _Unanswered(Exception):
    def __init__(self, note: str, calls: int = 0, cost_usd: Decimal | None = Decimal(0)) -> None:
        super().__init__(note)
        self.note, self.calls, self.cost_usd = note, calls, cost_usd


class JudgeWaits(_Unanswered):
    """Nobody answers for `seconds`, because of `note`: no budget has room, or the provider does not answer.

    A job lets it through: its run is handed back and due again by then, without counting as a failure.
    """

    def __init__(self, note: str, seconds: float, calls: int = 0, cost_usd: Decimal | None = Decimal(0)) -> None:
        super().__init__(note, calls, cost_usd)
        self.seconds = seconds


class JudgeFailed(_Unanswered):
    """The answer was of no use. A job leaves these cases as they are, and counts them as `unanswered`."""


class Judge(Protocol):
    """Whoever answers."""

    def ask(self, inquiry: Inquiry) -> Verdicts:
        """The answer. Raises `JudgeWaits` and `JudgeFailed`. No connection is held by the caller."""
        ...
