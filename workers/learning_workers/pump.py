"""The pump: tells workers which mailboxes have work. The backlog itself stays in Postgres, ordered, visible and cheap."""

from typing import Any

import structlog
from celery import Celery

from learning_stores import mailbox
from learning_stores.database import Database
from learning_workers.metrics import NUDGES
from learning_workers.queues import queue_name, task_name

logger = structlog.get_logger("learning.pump")

WAIT_FOR_STORE_SECONDS = 60.0


class Pump:
    """Nudges due mailboxes, at most so many of one store at a time."""

    def __init__(self, app: Celery, database: Database, stores: set[str], outstanding: int) -> None:
        self._app = app
        self._database = database
        self._stores = stores
        self._bound = outstanding
        self._begun = False

    def tick(self) -> int:
        """Nudge what is due, once. Returns how many mailboxes. Raises DBAPIError, and kombu's OperationalError."""
        sent = 0
        if not self._begun:
            # What a deployment of before lacked may be here now.
            self._database.run(None, mailbox.resume_known, self._stores)
            self._begun = True
        with_mail = set(self._database.run(None, mailbox.stores_with_mail))
        if with_mail - self._stores:
            self._database.run(None, mailbox.postpone_unknown, self._stores, WAIT_FOR_STORE_SECONDS)
        for store in sorted(with_mail & self._stores):
            sent += self._nudge(store)
        return sent

    def _nudge(self, store: str) -> int:
        """Mark what is due, and after that commit send the nudges; one that is lost falls due again when it has run out."""
        room = self._bound - self._database.run(None, mailbox.outstanding, store)
        if room <= 0:
            return 0
        with self._app.producer_pool.acquire(block=True, timeout=5) as producer:
            # With no worker, nudges would pile up in the queue while their mailboxes fall due again and again.
            room = min(room, self._bound - _waiting(producer, queue_name(store)))
            nudges = self._database.run(None, mailbox.take_due, store, room) if room > 0 else []
            for nudge in nudges:
                self._app.send_task(
                    task_name(store),
                    args=(nudge.mailbox_id, nudge.tenant),
                    queue=queue_name(store),
                    producer=producer,
                    retry=False,
                )
        NUDGES.labels(store).inc(len(nudges))
        return len(nudges)


def _waiting(producer: Any, queue: str) -> int:
    """Messages in a queue that no worker has taken."""
    return int(producer.channel.queue_declare(queue=queue, durable=True).message_count)
