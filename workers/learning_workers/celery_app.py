"""The Celery app without its tasks: what nudges loads no more than this."""

import kombu.transport.redis
from celery import Celery


class _Hints(kombu.transport.redis.QoS):
    """Messages are hints, sent again where they are lost: one whose connection is gone is neither acknowledged nor given back.

    kombu tries both on a channel without a connection, and the AttributeError that comes of it ends the worker.
    """

    restore_at_shutdown = False

    def ack(self, delivery_tag: str) -> None:
        if self.channel.connection is not None:
            super().ack(delivery_tag)


kombu.transport.redis.Channel.QoS = _Hints

app = Celery("learning", set_as_current=True)
app.config_from_object("learning_workers.celery_config")
