"""Jobs that ask a judge before they rewrite: how many cases go into a call, how many calls into a run, what is left.

Cases of several units, and so of several scopes, go into one call; each unit is then rewritten in a transaction of its own. What
was answered and not written yet is lost with the process, and asked again.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, ClassVar

from pydantic import BaseModel
from sqlalchemy.orm import Session

from learning_stores.curator.job import JobContext, Step
from learning_stores.curator.judging import Inquiry, Judge, JudgeFailed
from learning_stores.curator.scopes import ScopeJob, Unit

_ANSWERED, _SPENT = "answered", "spent"  # in the memo: verdicts on the first of the units, and what they cost


@dataclass(frozen=True, kw_only=True)
class _Spent:
    """Calls that no step has counted yet. US dollars; None: not known."""

    calls: int = 0
    usd: Decimal | None = Decimal(0)


class JudgedJob(ScopeJob):
    """A job whose units may have cases; `rewrite` finds the answer in the unit's `verdict`. One without cases asks nobody.

    The report counts cases: `asked`; `unanswered`, where the answer was of no use; `left` for the next run, where the calls of
    this one are used up; and of a dry run, which asks nobody, `candidates`. Where there is no judge, `look` gives no cases.
    """

    asks = True
    cases_a_call: ClassVar[int] = 40
    characters_a_call: ClassVar[int] = 24_000

    def inquiry(self, context: JobContext, units: Sequence[Unit]) -> Inquiry:
        """The question about all cases of these units, in order."""
        raise NotImplementedError

    def verdicts(self, answer: BaseModel, units: Sequence[Unit]) -> Sequence[Any]:
        """What the answer says of each unit. Not None: that is a unit without an answer."""
        raise NotImplementedError

    def characters(self, unit: Unit) -> int:
        """About how much a unit's cases add to the question."""
        raise NotImplementedError

    def take(self, context: JobContext, units: Sequence[Unit]) -> Step:
        """Do the first of these units; ask about it first, and about as many of those behind it as go into one call."""
        unit = units[0]
        if not unit.cases:
            return super().take(context, units)
        passed_over = Step(cursor=unit.after, looked_at=unit.looked_at)
        if context.dry_run or context.judge is None:
            return context.commit("app", lambda _: replace(passed_over, report={"candidates": len(unit.cases)}))
        answered: deque[Any] = context.memo.setdefault(_ANSWERED, deque())
        if not answered:
            if not context.calls_left:
                return context.commit("app", lambda _: replace(passed_over, report={"left": len(unit.cases)}))
            answered.extend(self._ask(context, context.judge, self._together(units)))
        verdict = answered[0]
        spent: _Spent = context.memo.get(_SPENT, _Spent())

        def work(session: Session) -> Step:
            if verdict is None:
                done = replace(passed_over, report={"unanswered": len(unit.cases)})
            else:
                done = self.do(session, context, replace(unit, verdict=verdict))
            report = {**done.report, "asked": len(unit.cases)}
            return replace(done, report=report, model_calls=spent.calls, cost_usd=spent.usd)

        step = context.commit("app", work)
        answered.popleft()
        context.memo.pop(_SPENT, None)
        return step

    def _together(self, units: Sequence[Unit]) -> list[Unit]:
        """The first of these units, and those behind it that have room in the same call."""
        chosen: list[Unit] = []
        cases = characters = 0
        for unit in units:
            cases += len(unit.cases)
            characters += self.characters(unit)
            if chosen and (not unit.cases or cases > self.cases_a_call or characters > self.characters_a_call):
                break
            chosen.append(unit)
        return chosen

    def _ask(self, context: JobContext, judge: Judge, units: Sequence[Unit]) -> Sequence[Any]:
        """A verdict on each of these units; None where the answer was of no use. Nothing of the database is held."""
        inquiry = replace(self.inquiry(context, units), tries=min(2, context.calls_left))
        try:
            given = judge.ask(inquiry)
        except JudgeFailed as failed:
            context.memo[_SPENT] = _Spent(calls=failed.calls, usd=failed.cost_usd)
            return [None] * len(units)
        context.memo[_SPENT] = _Spent(calls=given.calls, usd=given.cost_usd)
        return self.verdicts(given.answer, units)
