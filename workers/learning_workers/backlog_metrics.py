"""What waits, as gauges: read from Postgres and Redis when Prometheus asks, by the dispatchers alone, bounded in time.

Where a server does not answer, its `…_up` is 0, its gauges are left out, and the scrape goes on. Every dispatcher tells the same:
take the maximum over them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import psycopg
import redis
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from learning_stores.backlog import Backlog, Waiting, backlog
from learning_stores.database import Database
from learning_stores.registry import installed
from learning_stores.settings import ServiceSettings
from learning_workers.metrics import OTHER, store_label
from learning_workers.queues import CURATOR, EMBED, queue_name
from learning_workers.reading import Reading
from learning_workers.streams import Head, brief_client, heads, nudges

READ_SECONDS = 3.0
"""What one statement may take; a backlog that takes longer to count is not counted."""
ANSWER_SECONDS = 4.0
"""How long a scrape waits for each of the two. Prometheus gives up after ten."""
FRESH_SECONDS = 5.0
"""How long an answer is kept, so that several who scrape cost Postgres no more than one."""

REASONS = (
    "due",
    "debounce",
    "in work",
    "retry",
    "provider",
    "budget",
    "unknown model",
    "waiting for spec",
    "waiting for store",
    "no mailbox",
    "paused",
)
"""Why deliveries wait."""
EVENT_REASONS = ("not prepared", "waiting for spec", "set aside")
"""Why events have no deliveries."""

InRedis = tuple[dict[int, Head], dict[str, int]]


class BacklogCollector(Collector):
    """The gauges. `close` gives the connections back."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._database = Database(
            settings.dispatcher_database(),
            pool_size=1,
            field="dispatcher_database_url",
            connect_seconds=2,
            answer_seconds=READ_SECONDS + 1,
        )
        self._streams = brief_client(settings.redis())
        self._broker = brief_client(settings.broker())
        self._shards = settings.shards
        stores = list(installed())
        self._queues = {queue_name(store): store for store in stores} | {EMBED: "embedding", CURATOR: "curator"}
        self._postgres: Reading[Backlog] = Reading(self._backlog, seconds=ANSWER_SECONDS, fresh=FRESH_SECONDS)
        self._redis: Reading[InRedis] = Reading(self._in_redis, seconds=ANSWER_SECONDS, fresh=FRESH_SECONDS)

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()
        self._streams.close()
        self._broker.close()

    def describe(self) -> Iterable[Metric]:
        """The gauges without values, so that registering them asks no server."""
        return _Families().all()

    def collect(self) -> Iterator[Metric]:
        """What the servers say, as far as they say it in time."""
        families = _Families()
        families.shards.add_metric([], self._shards)
        self._of_postgres(families)
        self._of_redis(families)
        yield from families.all()

    def _backlog(self) -> Backlog:
        return self._database.run(None, backlog, READ_SECONDS)

    def _in_redis(self) -> InRedis:
        return heads(self._streams, range(self._shards)), nudges(self._broker, list(self._queues))

    def _of_postgres(self, families: "_Families") -> None:
        try:
            found = self._postgres()
        except DBAPIError as error:
            # It answers, and has more to count than there is time for.
            families.postgres_up.add_metric([], float(isinstance(error.orig, psycopg.errors.QueryCanceled)))
            families.backlog_known.add_metric([], 0)
            return
        except (TimeoutError, SQLAlchemyError, psycopg.Error, OSError):
            families.postgres_up.add_metric([], 0)
            families.backlog_known.add_metric([], 0)
            return
        families.postgres_up.add_metric([], 1)
        families.backlog_known.add_metric([], 1)
        families.shards_read.add_metric([], found.shards)
        if found.reconciled is not None:
            families.reconciled.add_metric([], found.reconciled)
        stores = list(installed())
        waiting = _by_label(found.deliveries, lambda each: (store_label(each.store), _known(each.reason, REASONS)))
        empty = {(store, reason): (0, 0.0) for store in stores for reason in REASONS}
        for labels, (number, seconds) in (empty | waiting).items():
            families.backlog.add_metric(labels, number)
            families.backlog_oldest.add_metric(labels, seconds)
        waiting = _by_label(found.events, lambda each: (_known(each.reason, EVENT_REASONS),))
        for labels, (number, seconds) in ({(reason,): (0, 0.0) for reason in EVENT_REASONS} | waiting).items():
            families.unprepared.add_metric(labels, number)
            families.unprepared_oldest.add_metric(labels, seconds)
        dead = defaultdict(int, dict.fromkeys(stores, 0))
        for store, number in found.dead.items():
            dead[store_label(store)] += number
        for store, number in dead.items():
            families.dead.add_metric([store], number)
        for name, number in found.findings.items():
            families.findings.add_metric([name], number)
        families.embedding.add_metric([], found.embeddings.number)
        families.embedding_oldest.add_metric([], found.embeddings.seconds)

    def _of_redis(self, families: "_Families") -> None:
        try:
            streams, queues = self._redis()
        except (TimeoutError, redis.exceptions.RedisError, OSError):
            families.redis_up.add_metric([], 0)
            return
        families.redis_up.add_metric([], 1)
        families.entries.add_metric([], sum(head.entries for head in streams.values()))
        families.entries_oldest.add_metric([], max((head.seconds for head in streams.values()), default=0.0))
        for queue, number in queues.items():
            families.nudges.add_metric([self._queues[queue]], number)


class _Families:
    """The gauges of one scrape."""

    def __init__(self) -> None:
        def gauge(name: str, told: str, *labels: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(name, told, labels=labels)

        self.postgres_up = gauge("learning_postgres_up", "Whether Postgres answered in time")
        self.redis_up = gauge("learning_redis_up", "Whether the Redis of streams and queues answered in time")
        self.backlog_known = gauge("learning_backlog_known", "Whether the backlog could be counted in time")
        self.backlog = gauge("learning_backlog_deliveries", "Deliveries that wait", "store", "reason")
        self.backlog_oldest = gauge(
            "learning_backlog_oldest_seconds", "Since when the oldest of them was accepted", "store", "reason"
        )
        self.unprepared = gauge("learning_unprepared_events", "Accepted events without deliveries", "reason")
        self.unprepared_oldest = gauge(
            "learning_unprepared_oldest_seconds", "Since when the oldest of them was accepted", "reason"
        )
        self.dead = gauge("learning_dead_deliveries", "Deliveries that are dead at this moment", "store")
        self.findings = gauge("learning_findings", "What did not add up at the last reconciliation", "reason")
        self.embedding = gauge("learning_embedding_backlog", "Learnings that wait for a vector")
        self.embedding_oldest = gauge("learning_embedding_oldest_seconds", "Since when the oldest of them waits")
        self.reconciled = gauge("learning_reconciled_age_seconds", "Since when the ledger was looked through last")
        self.shards = gauge("learning_shards", "Shards that there are")
        self.shards_read = gauge("learning_shards_read", "Shards that some dispatcher reads")
        self.entries = gauge("learning_stream_entries", "Entries of the streams that are not taken in")
        self.entries_oldest = gauge("learning_stream_oldest_seconds", "Since when the oldest of them is there")
        self.nudges = gauge("learning_queue_nudges", "Nudges that no worker has taken", "store")

    def all(self) -> Iterator[Metric]:
        yield from self.__dict__.values()


def _known(reason: str, reasons: Iterable[str]) -> str:
    return reason if reason in reasons else OTHER


def _by_label(
    several: Iterable[Waiting], label: Callable[[Waiting], tuple[str, ...]]
) -> dict[tuple[str, ...], tuple[int, float]]:
    """Numbers added up, and the greatest age, by labels."""
    found: dict[tuple[str, ...], tuple[int, float]] = {}
    for each in several:
        number, seconds = found.get(label(each), (0, 0.0))
        found[label(each)] = number + each.number, max(seconds, each.seconds)
    return found
