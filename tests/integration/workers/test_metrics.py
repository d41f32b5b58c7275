"""What a worker and a curator count, beyond what tests of real processes show."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from harness import Place
from learning_stores.budgets import Budget, set_budget
from learning_stores.curator import runs
from learning_stores.curator.job import Cursor, Job, JobContext, Step
from learning_stores.database import Database
from learning_stores.registry import installed
from learning_stores.settings import ServiceSettings
from learning_workers.curator import Curator
from learning_workers.metrics import REGISTRY, observe
from scripted_model import Answer, Asked, ScriptedModel, profile

STORE = {"store": "user_profile"}


class Since:
    """How much a metric has grown since this was made."""

    def __init__(self) -> None:
        self._before = self._now()

    def grown(self, name: str, **labels: str) -> float:
        """By so much; 0 where there is no such sample."""
        key = (name, tuple(sorted(labels.items())))
        return self._now().get(key, 0.0) - self._before.get(key, 0.0)

    @staticmethod
    def _now() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in REGISTRY.collect()
            for sample in family.samples
        }


@pytest.fixture
def since() -> Since:
    """What is counted from here on."""
    return Since()


def test_given_operations_that_do_not_hold_when_committed_then_they_count_by_reason_and_the_others_as_changes(
    desk: Any, scripted: ScriptedModel, since: Since
) -> None:
    def answer(asked: Asked) -> Answer:
        told = profile(asked, [("Likes tea", "I like tea very much.")])
        return Answer(
            text=str(told.text).replace("[{", '[{"content": "Is rich", "message": "m99", "quote": "rich"}, {', 1)
        )

    scripted.answer = answer
    desk.say("I like tea very much.")
    assert desk.work().outcome == "extracted"
    assert since.grown("learning_operations_dropped_total", **STORE, reason="unknown message") == 1
    assert since.grown("learning_changes_total", **STORE) == 1
    assert since.grown("learning_model_calls_total", model="offline-rules-1", outcome="ok") == 1


def test_given_a_budget_that_is_spent_when_worked_on_then_the_wait_is_counted_and_no_call(
    desk: Any, since: Since
) -> None:
    budget = Budget(tenant="*", store="*", usd_per_day=Decimal("0.01"), near=Decimal("0.8"))
    desk.dispatcher_db.run(None, set_budget, budget)
    desk.say("I like tea very much.")
    path = desk.limits(input=1000, output=1000)
    assert desk.work(desk.extractor(models_file=path)).reason == "budget"
    assert since.grown("learning_mailbox_waits_total", **STORE, reason="budget") == 1
    assert since.grown("learning_model_call_seconds_count", model="offline-rules-1") == 0


def test_given_a_model_without_prices_or_with_when_called_then_its_cost_is_counted_or_that_it_is_not_known(
    desk: Any, since: Since
) -> None:
    desk.say("I like tea very much.")
    assert desk.work(desk.extractor(models_file=desk.limits())).outcome == "extracted"
    assert since.grown("learning_model_calls_unpriced_total", model="offline-rules-1") == 1
    desk.say("I like cake very much.")
    assert desk.work(desk.extractor(models_file=desk.limits(input=1000, output=1000))).outcome == "extracted"
    assert since.grown("learning_model_calls_unpriced_total", model="offline-rules-1") == 1
    tokens = since.grown("learning_model_input_tokens_total", model="offline-rules-1")
    assert tokens > 0
    assert since.grown("learning_model_cost_usd_total", model="offline-rules-1") > 0


def test_given_a_lease_that_somebody_else_has_by_now_when_committed_then_the_refusal_is_counted(
    desk: Any, scripted: ScriptedModel, since: Since
) -> None:
    def late(asked: Asked) -> Answer:
        desk.change("UPDATE learning.mailbox SET token = nextval('learning.lease_token')")
        return profile(asked, [("Likes tea", "I like tea very much.")])

    scripted.answer = late
    desk.say("I like tea very much.")
    assert desk.work().outcome == "fenced"
    assert since.grown("learning_commits_refused_total", **STORE) == 1
    assert since.grown("learning_changes_total", **STORE) == 0


class Changing(Job):
    """Says that it changed two things in each of its two steps."""

    name = "prune"

    def step(self, context: JobContext, cursor: Cursor | None) -> Step:
        following = {"number": 1} if cursor is None else None
        return context.commit("app", lambda _: Step(cursor=following, looked_at=2, changed=2))


@pytest.fixture
def curator(place: Place) -> Iterator[Curator]:
    """One that counts as that of a worker does."""
    urls = {"database_url": place.app_url, "dispatcher_database_url": place.dispatcher_url}
    settings = ServiceSettings.load(redis_url=place.redis_url, **urls)
    curator = Curator(settings, installed(), "here", {"prune": Changing()}, on_commit=observe)
    yield curator
    curator.close()


def test_given_runs_of_the_curator_when_they_end_then_they_count_by_job_and_state_and_dry_ones_change_nothing(
    curator: Curator, everything_db: Database, since: Since
) -> None:
    assert curator.drive(curator.ask("prune", "acme", "", by="ops", dry_run=False)).state == "done"
    assert since.grown("learning_curator_runs_total", curator_job="prune", state="done") == 1
    assert since.grown("learning_curator_changes_total", curator_job="prune") == 4
    curator.drive(curator.ask("prune", "acme", "", by="ops", dry_run=True))
    assert since.grown("learning_curator_changes_total", curator_job="prune") == 4

    lost = curator.ask("prune", "acme", "", by="ops", dry_run=False)
    for _ in range(runs.MAX_FAILURES):
        with everything_db.engine.begin() as connection:
            connection.execute(text("UPDATE learning.curator_run SET lease_until = now() WHERE state = 'running'"))
        curator.database("app").run("acme", runs.claim, "acme", lost.id, "doomed")
    assert since.grown("learning_curator_run_takeovers_total", curator_job="prune") == runs.MAX_FAILURES
    assert since.grown("learning_curator_runs_total", curator_job="prune", state="failed") == 1
