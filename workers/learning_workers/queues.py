"""The Celery queues: one a store, one for embedding, one for what is scheduled. They carry nudges, never what was said."""

from kombu.entity import Exchange, Queue

from learning_stores.registry import installed

PREFIX = "learning"

CURATOR = f"{PREFIX}.curator"
EMBED = f"{PREFIX}.embed"
"""Also the name of its task."""


def queue_name(store: str) -> str:
    """The queue of a store."""
    return f"{PREFIX}.{store}"


def task_name(store: str) -> str:
    """The task that works on a store's mailboxes."""
    return f"{PREFIX}.{store}.extract"


_EXCHANGE = Exchange(PREFIX, type="direct", durable=True)

QUEUES = tuple(Queue(name, _EXCHANGE, routing_key=name) for name in (*map(queue_name, installed()), EMBED, CURATOR))
