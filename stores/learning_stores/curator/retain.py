"""The job `retain`: removes what is over and older than the settings keep it, and says how far back one can then reach.

One part after the other, each a bounded batch a step: events with nothing pending and nothing dead, deliveries whose event is
gone, extractions that no delivery names, model calls, retired learnings, changes that made or ended nothing that is left, runs.
As-of reaches back to the oldest retired learning that is kept, replay to the oldest event, and undo to the oldest extraction, but
not beyond the retired learnings that it would bring back.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from learning_stores.curator import retain_learnings, retain_log
from learning_stores.curator.job import Cursor, Job, JobContext, Role, Step

_PARTS: tuple[tuple[str, Role, str, Any], ...] = (
    ("events", "dispatcher", "retain_events_days", retain_log.remove_events),
    ("deliveries", "dispatcher", "retain_deliveries_days", retain_log.remove_deliveries),
    ("extractions", "dispatcher", "retain_extractions_days", retain_log.remove_extractions),
    ("model_calls", "dispatcher", "retain_model_calls_days", retain_log.remove_model_calls),
    ("retired_learnings", "app", "retain_retired_days", retain_learnings.remove_retired),
    ("changes", "app", "retain_retired_days", retain_learnings.remove_changes),
    ("runs", "dispatcher", "retain_runs_days", retain_log.remove_runs),
)
"""Name, role, setting, and the function that removes a batch: (session, tenant, before, after) -> Batch."""

_FREQUENT_KEPT = timedelta(days=1)
_REACH = {"events": "replay_reaches", "retired_learnings": "as_of_reaches"}
_SPENDING_DAYS = 2.0
"""Budgets are for a day: its calls stay until it is over."""


class Retain(Job):
    """Retention of one tenant's rows; for the deployment, of what was rejected and of its own runs."""

    name = "retain"
    for_deployment = True

    def step(self, context: JobContext, cursor: Cursor | None) -> Step:
        """Remove the next batch of the part that the cursor names."""
        if not context.tenant:
            return self._deployment(context, cursor)
        number, after = (0, None) if cursor is None else (int(cursor["part"]), cursor["after"])
        name, role, setting, remove = _PARTS[number]
        now = _now(context)
        before = now - timedelta(days=retention_days(context.settings, setting))

        def work(session: Session) -> Step:
            batch = remove(session, context.tenant, before, after)
            report: dict[str, int | str] = {name: batch.removed} if batch.removed else {}
            if batch.kept:
                report[f"{name}_kept"] = batch.kept
            if name in _REACH:
                report[_REACH[name]] = before.isoformat(timespec="seconds")
            if name == "retired_learnings":
                extractions = now - timedelta(days=retention_days(context.settings, "retain_extractions_days"))
                report["undo_reaches"] = max(before, extractions).isoformat(timespec="seconds")
            following = {"part": number, "after": batch.after} if batch.after is not None else None
            if following is None and number + 1 < len(_PARTS):
                following = {"part": number + 1, "after": None}
            return Step(cursor=following, looked_at=batch.looked_at, changed=batch.removed, report=report)

        return context.commit(role, work)

    def _deployment(self, context: JobContext, cursor: Cursor | None) -> Step:
        began = _now(context)
        rejected_before = began - timedelta(days=context.settings.retain_rejected_days)
        runs_before = began - timedelta(days=context.settings.retain_runs_days)
        part, after = ("rejected_events", None) if cursor is None else (str(cursor["part"]), cursor["after"])

        def work(session: Session) -> Step:
            if part == "rejected_events":
                batch = retain_log.remove_rejected(session, rejected_before, after)
                following = {"part": "rejected_events" if batch.after is not None else "runs", "after": batch.after}
                report = {"rejected_events": batch.removed}
                return Step(cursor=following, looked_at=batch.looked_at, changed=batch.removed, report=report)
            batch = retain_log.remove_runs(session, "", runs_before, after)
            frequent = retain_log.remove_frequent_runs(session, began - _FREQUENT_KEPT) if batch.after is None else 0
            return Step(
                cursor=None if batch.after is None else {"part": "runs", "after": batch.after},
                looked_at=batch.looked_at + frequent,
                changed=batch.removed + frequent,
                report={"runs": batch.removed + frequent},
            )

        return context.commit("dispatcher", work)


def retention_days(settings: Any, setting: str) -> float:
    """How many days a setting keeps, and never fewer than what else stands on it.

    Events stay as long as one may arrive again; what was taken back, as long as an event that said it may be replayed; calls, as
    long as their day's budget.
    """
    days = float(getattr(settings, setting))
    if setting == "retain_events_days":
        return max(days, float(settings.retention_days) + 1)
    if setting == "retain_retired_days":
        return max(days, retention_days(settings, "retain_events_days"))
    return max(days, _SPENDING_DAYS) if setting == "retain_model_calls_days" else days


def _now(context: JobContext) -> datetime:
    """When the run began, so that all its steps cut at the same place; and not ahead of this clock, should the database's be."""
    here = datetime.now(UTC)
    return min(context.run.began_at or here, here)
