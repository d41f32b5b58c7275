"""The Celery app without its tasks: what nudges loads no more than this."""

from typing import Any

from celery import Celery
from kombu.transport import redis, virtual


class _Hints(virtual.QoS):
    """Messages are hints, sent again where they are lost: nobody writes down which are under way, and none is given back."""

    restore_at_shutdown = False


class _Channel(redis.Channel):
    """One client for all that a channel sends; kombu makes one for each command, which costs more than the command."""

    _kept: Any = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.QoS: Any = _Hints

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous)
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()
        return self._kept


redis.Transport.Channel = _Channel

app = Celery("learning", set_as_current=True)
app.config_from_object("learning_workers.celery_config")
