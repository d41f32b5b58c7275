"""What is counted, under which labels: few of them, and nothing that strangers say."""

from datetime import UTC, datetime
from typing import Any

import pytest

from learning_schemas.ids import uuid7
from learning_stores.tally import Tally
from learning_workers.metrics import OTHER, REGISTRY, Bounded, observe, store_label


def value(name: str, **labels: str) -> float:
    """A sample's value; 0 where there is none."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("counted", "sample", "labels"),
    [
        (("accepted", "spool"), "learning_events_accepted_total", {"via": "spool"}),
        (("rejected", "user_id"), "learning_events_rejected_total", {"reason": "user_id"}),
        (("rejected", "messages.0.content"), "learning_events_rejected_total", {"reason": "messages"}),
        (("rejected", "my secret"), "learning_events_rejected_total", {"reason": OTHER}),
        (("redacted", "api key"), "learning_redactions_total", {"reason": "api key"}),
        (
            ("settled", "user_profile", "extracted"),
            "learning_deliveries_settled_total",
            {"store": "user_profile", "state": "extracted"},
        ),
        (
            ("settled", "a-strangers-store", "skipped"),
            "learning_deliveries_settled_total",
            {"store": OTHER, "state": "skipped"},
        ),
        (
            ("dead", "user_profile", "crashes"),
            "learning_deliveries_died_total",
            {"store": "user_profile", "reason": "crashes"},
        ),
        (("mailbox taken over", "user_profile"), "learning_mailbox_takeovers_total", {"store": "user_profile"}),
        (("shard taken over",), "learning_shard_takeovers_total", {}),
        (("run taken over", "prune"), "learning_curator_run_takeovers_total", {"curator_job": "prune"}),
        (("run failed", "prune"), "learning_curator_runs_total", {"curator_job": "prune", "state": "failed"}),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_given_a_tally_when_observed_then_its_counts_are_in_their_metric(
    counted: tuple[str, ...], sample: str, labels: dict[str, str]
) -> None:
    before = value(sample, **labels)
    tally = Tally()
    tally.counts[counted] += 3
    observe(tally)
    assert value(sample, **labels) == before + 3


def test_given_an_event_of_just_now_when_it_is_recallable_then_the_lag_is_small_and_never_negative() -> None:
    name, store = "learning_event_to_recallable_seconds", {"store": "user_profile"}
    before = value(f"{name}_count", **store), value(f"{name}_sum", **store)
    observe(Tally(recallable=[("user_profile", uuid7()), ("user_profile", late_clock())]))
    count, seconds = value(f"{name}_count", **store), value(f"{name}_sum", **store)
    assert count == before[0] + 2
    assert 0 <= seconds - before[1] < 60


def late_clock() -> Any:
    """An event of a producer whose clock is an hour ahead."""
    milliseconds = int((datetime.now(UTC).timestamp() + 3600) * 1000)
    return type(uuid7())(int=(milliseconds << 80) | (7 << 76) | (2 << 62))


def test_given_more_values_than_fit_when_labelled_then_the_rest_is_other_and_the_first_keep_their_names() -> None:
    label = Bounded(at_most=2)
    assert [label(each) for each in ("a", "b", "c", "a", "", "x" * 101)] == ["a", "b", OTHER, "a", OTHER, OTHER]


def test_given_a_store_that_is_not_installed_when_labelled_then_it_is_other() -> None:
    assert [store_label(each) for each in ("user_profile", "embedding", "mine")] == ["user_profile", "embedding", OTHER]
