"""The pump: tells workers which mailboxes have work. The backlog itself stays in Postgres, ordered, visible and cheap."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import structlog
from celery import Celery
from sqlalchemy.orm import Session

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

    def tick(self) -> bool:
        """Nudge what is due, once. Whether workers may run short before the next tick.

        Raises DBAPIError, and kombu's OperationalError.
        """
        if not self._begun:
            # What a deployment of before lacked may be here now.
            self._database.run(None, mailbox.resume_known, self._stores)
            self._begun = True
        mail = self._database.run(None, mailbox.mail)
        if {each.store for each in mail} - self._stores:
            self._database.run(None, mailbox.postpone_unknown, self._stores, WAIT_FOR_STORE_SECONDS)
        room = {each.store: self._bound - each.nudged for each in mail if each.due and each.store in self._stores}
        sent = self._nudge({store: most for store, most in room.items() if most > 0})
        enough = self._bound * 3 // 4
        return any(many >= mailbox.EACH_TENANT and room[store] - many > enough for store, many in sent.items())

    def _nudge(self, room: Mapping[str, int]) -> Counter[str]:
        """Mark what is due, and after that commit send the nudges; one that is lost falls due again when it has run out."""
        sent: Counter[str] = Counter()
        if not room:
            return sent
        with self._app.producer_pool.acquire(block=True, timeout=5) as producer:
            # With no worker, nudges would pile up in the queue while their mailboxes fall due again and again.
            waiting = {store: _waiting(producer, queue_name(store)) for store in room}
            most = {store: min(free, self._bound - waiting[store]) for store, free in room.items()}
            for nudge in self._database.run(None, _take_due, most):
                self._app.send_task(
                    task_name(nudge.store),
                    args=(nudge.mailbox_id, nudge.tenant),
                    queue=queue_name(nudge.store),
                    producer=producer,
                    retry=False,
                )
                sent[nudge.store] += 1
                NUDGES.labels(nudge.store).inc()
        return sent


def _take_due(session: Session, room: Mapping[str, int]) -> list[mailbox.Nudge]:
    return [nudge for store, most in room.items() if most > 0 for nudge in mailbox.take_due(session, store, most)]


def _waiting(producer: Any, queue: str) -> int:
    """Messages in a queue that no worker has taken."""
    return int(producer.channel.queue_declare(queue=queue, durable=True).message_count)
