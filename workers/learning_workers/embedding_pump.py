"""Nudges for embedding: tells a worker which tenant has learnings without vectors, some half a second after they are made.

The dispatcher looks, and not beat: a schedule as fine as this would send a task each time whether or not there is work, and
would end with the one process that beat is. What was nudged is kept in this process's memory only: a nudge that is lost, or
sent twice by two dispatchers, costs a few seconds or an empty task.
"""

import time

from celery import Celery

from learning_stores.database import Database
from learning_stores.embedding_tenants import TENANTS_A_WALK, walk
from learning_workers.queues import EMBED

LOOK_SECONDS = 0.5
LOST_SECONDS = 5.0
"""How long a nudge is waited for before it counts as lost."""
OUTSTANDING = 256
"""Nudges that no worker has taken, at most."""


class EmbeddingPump:
    """Nudges tenants with embedding to do, at most once each until a worker has begun."""

    def __init__(self, app: Celery, database: Database) -> None:
        self._app = app
        self._database = database
        self._nudged: dict[str, float] = {}  # tenant -> when it counts as lost
        self._after = ""
        self._looked_at = -LOOK_SECONDS

    def tick(self) -> int:
        """Look, where it is time to, and nudge. Returns how many tenants. Raises DBAPIError, and kombu's OperationalError."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return 0
        self._looked_at = now
        found = self._database.run(None, walk, self._after, TENANTS_A_WALK)
        self._forget(found[-1].tenant if len(found) == TENANTS_A_WALK else None, {each.tenant for each in found})
        due = []
        for each in found:
            if each.taken:
                self._nudged.pop(
                    each.tenant, None
                )  # a worker has begun; when it ends with more to do, it is nudged again
            elif each.ready and self._nudged.get(each.tenant, 0.0) <= now:
                due.append(each.tenant)
        return self._nudge(due, now) if due else 0

    def _forget(self, last: str | None, found: set[str]) -> None:
        """Forget nudges of tenants that have nothing to do any more; go on behind the last one at the next look."""
        begun, self._after = self._after, last or ""
        for tenant in [each for each in self._nudged if begun < each and (last is None or each <= last)]:
            if tenant not in found:
                del self._nudged[tenant]

    def _nudge(self, tenants: list[str], now: float) -> int:
        with self._app.producer_pool.acquire(block=True, timeout=5) as producer:
            waiting = int(producer.channel.queue_declare(queue=EMBED, durable=True).message_count)
            chosen = tenants[: max(0, OUTSTANDING - waiting)]
            for tenant in chosen:
                self._app.send_task(EMBED, args=(tenant,), queue=EMBED, producer=producer, retry=False)
                self._nudged[tenant] = now + LOST_SECONDS
        return len(chosen)
