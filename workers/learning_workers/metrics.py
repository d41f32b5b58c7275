"""What a dispatcher or worker counts, for Prometheus; docs/metrics.md says what each means and what to do when it grows.

Names begin with `learning_` and end in their unit. Labels are what a deployment has few of: stores, models, reasons, states,
jobs; never a tenant, a user or a session. A value that is not known here counts as `other`, so that no stranger's words and no
number of them get into a registry. What a transaction did is counted once it has committed (`learning_stores.tally`).
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import id_time
from learning_stores.registry import installed
from learning_stores.tally import Tally

if TYPE_CHECKING:
    from learning_workers.calls import CallRecord

OTHER = "other"
REASONS_AT_MOST = 50
"""Different reasons, or models, that one process keeps apart."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # as many series again, and nobody asks for them

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_LAG = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 900, 3600, 21600)
_CALL = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)


def _counter(name: str, told: str, *labels: str) -> Counter:
    return Counter(name, told, labels, registry=REGISTRY)


EVENTS_ACCEPTED = _counter("learning_events_accepted_total", "Events written to the log, by the way they came", "via")
EVENTS_REJECTED = _counter(
    "learning_events_rejected_total", "Events that intake refused, by the field at fault", "reason"
)
REDACTIONS = _counter("learning_redactions_total", "Secrets that had been taken out of accepted messages", "reason")
DELIVERIES_SETTLED = _counter("learning_deliveries_settled_total", "Deliveries settled, by state", "store", "state")
DELIVERIES_DIED = _counter("learning_deliveries_died_total", "Deliveries given up for dead", "store", "reason")
RECALLABLE = Histogram(
    "learning_event_to_recallable_seconds",
    "From an event's making to the commit of what was learned from it",
    ["store"],
    buckets=_LAG,
    registry=REGISTRY,
)
CHANGES = _counter("learning_changes_total", "Changes of memory that extractions committed", "store")
DROPPED = _counter("learning_operations_dropped_total", "Operations that did not hold, by reason", "store", "reason")
WAITS = _counter("learning_mailbox_waits_total", "Times that a mailbox was put off, by reason", "store", "reason")
FENCED = _counter("learning_commits_refused_total", "Commits refused because the lease was another's", "store")
MAILBOXES_TAKEN_OVER = _counter("learning_mailbox_takeovers_total", "Mailboxes taken over from a lost worker", "store")
SHARDS_TAKEN_OVER = _counter("learning_shard_takeovers_total", "Shards taken over from a lost dispatcher")
RUNS_TAKEN_OVER = _counter("learning_curator_run_takeovers_total", "Runs taken over from a lost curator", "curator_job")
MODEL_CALLS = _counter("learning_model_calls_total", "Calls of models, by what became of them", "model", "outcome")
MODEL_SECONDS = Histogram(
    "learning_model_call_seconds", "How long calls of models took", ["model"], buckets=_CALL, registry=REGISTRY
)
TOKENS_INPUT = _counter("learning_model_input_tokens_total", "Tokens sent to models, cached ones too", "model")
TOKENS_CACHED = _counter("learning_model_cached_tokens_total", "Tokens sent to models that they had cached", "model")
TOKENS_OUTPUT = _counter("learning_model_output_tokens_total", "Tokens that models wrote", "model")
COST = _counter("learning_model_cost_usd_total", "US dollars that calls cost, as far as prices are known", "model")
UNPRICED = _counter("learning_model_calls_unpriced_total", "Calls answered whose cost is not known", "model")
PAUSES = _counter("learning_model_pauses_total", "Times that a model was to be left alone for a while", "model")
NUDGES = _counter("learning_nudges_sent_total", "Nudges that the pump sent", "store")
LOOP_FAILURES = _counter("learning_dispatcher_failures_total", "Turns of a dispatcher's loop that failed", "reason")
# Each registered by whoever has it.
SHARDS_HELD = Gauge("learning_dispatcher_shards_held", "Shards that this dispatcher reads", registry=None)
TASKS = Gauge("learning_worker_tasks_running", "Tasks that this worker is at", registry=None)
THREADS = Gauge("learning_worker_threads", "Tasks that this worker can be at", registry=None)
CURATOR_RUNS = _counter("learning_curator_runs_total", "Curator runs that ended, by state", "curator_job", "state")
CURATOR_CHANGES = _counter("learning_curator_changes_total", "What the curator's jobs changed", "curator_job")

REJECTED_FIELDS = frozenset({*ConversationCompleted.model_fields, "event"})
SETTLED = ("extracted", "nothing_found", "skipped", "dead")
VIAS = ("stream", "postgres", "spool")


class Bounded:
    """Label values of one kind: the first so many, and `other`. Safe in threads."""

    def __init__(self, at_most: int = REASONS_AT_MOST) -> None:
        self._at_most = at_most
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, value: str) -> str:
        """The value itself, or `other` where there are too many by now, or where it is no plain word."""
        with self._lock:
            if value not in self._seen:
                if len(self._seen) >= self._at_most or not value or len(value) > 100:
                    return OTHER
                self._seen.add(value)
        return value


model_label = Bounded()
reason_label = Bounded()
job_label = Bounded()


def store_label(store: str) -> str:
    """A store by its name where it is installed here; producers in other languages can name any."""
    return store if store in installed() or store == "embedding" else OTHER


def dispatcher_from_zero(stores: Iterable[str]) -> None:
    """Export what a dispatcher has counted so far: nothing. A rate needs a beginning."""
    for via in VIAS:
        EVENTS_ACCEPTED.labels(via)
    for reason in (*sorted(REJECTED_FIELDS), OTHER):
        EVENTS_REJECTED.labels(reason)
    for reason in ("server", "fault"):
        LOOP_FAILURES.labels(reason)
    for store in stores:
        DELIVERIES_SETTLED.labels(store, "skipped")
        NUDGES.labels(store)


def worker_from_zero(stores: Iterable[str]) -> None:
    """The same of a worker of these stores."""
    for store in stores:
        for state in SETTLED:
            DELIVERIES_SETTLED.labels(store, state)
        for by_store in (RECALLABLE, CHANGES, FENCED, MAILBOXES_TAKEN_OVER):
            by_store.labels(store)


def curator_from_zero(jobs: Iterable[str]) -> None:
    """The same of a worker of the curator."""
    for job in jobs:
        CURATOR_CHANGES.labels(job_label(job))
        for state in ("done", "failed"):
            CURATOR_RUNS.labels(job_label(job), state)


def observe(tally: Tally | None) -> None:
    """Count what a transaction did that has just been committed."""
    if tally is None:
        return
    for (what, *labels), number in tally.counts.items():
        _COUNTED[what](labels, number)
    now = datetime.now(UTC)
    for store, event_id in tally.recallable:
        # By two clocks, the producer's and this one's.
        RECALLABLE.labels(store_label(store)).observe(max(0.0, (now - id_time(event_id)).total_seconds()))


def observe_call(record: "CallRecord") -> None:
    """Count a call of a model that has returned."""
    model = model_label(record.model_asked)
    MODEL_CALLS.labels(model, reason_label(record.outcome)).inc()
    MODEL_SECONDS.labels(model).observe(record.seconds)
    TOKENS_INPUT.labels(model).inc(record.tokens_input or 0)
    TOKENS_CACHED.labels(model).inc(record.tokens_cached or 0)
    TOKENS_OUTPUT.labels(model).inc(record.tokens_output or 0)
    COST.labels(model).inc(float(record.cost_usd or 0))
    if record.cost_usd is None and record.tokens_input is not None:
        UNPRICED.labels(model).inc()


def observe_extraction(store: str, changes: int, dropped: Collection[tuple[str, int]]) -> None:
    """Count what an extraction that was committed changed, and what it left out."""
    CHANGES.labels(store_label(store)).inc(changes)
    for reason, number in dropped:
        DROPPED.labels(store_label(store), reason_label(reason)).inc(number)


def _rejected(labels: list[str], number: int) -> None:
    # The field's first word: what follows can be a stranger's.
    field = labels[0].partition(".")[0]
    EVENTS_REJECTED.labels(field if field in REJECTED_FIELDS else OTHER).inc(number)


_COUNTED: Mapping[str, Callable[[list[str], int], None]] = {
    "accepted": lambda labels, number: EVENTS_ACCEPTED.labels(*labels).inc(number),
    "rejected": _rejected,
    "redacted": lambda labels, number: REDACTIONS.labels(*labels).inc(number),
    "settled": lambda labels, number: DELIVERIES_SETTLED.labels(store_label(labels[0]), labels[1]).inc(number),
    "dead": lambda labels, number: DELIVERIES_DIED.labels(store_label(labels[0]), reason_label(labels[1])).inc(number),
    "mailbox taken over": lambda labels, number: MAILBOXES_TAKEN_OVER.labels(store_label(labels[0])).inc(number),
    "shard taken over": lambda labels, number: SHARDS_TAKEN_OVER.inc(number),
    "run taken over": lambda labels, number: RUNS_TAKEN_OVER.labels(job_label(labels[0])).inc(number),
    "run failed": lambda labels, number: CURATOR_RUNS.labels(job_label(labels[0]), "failed").inc(number),
}
