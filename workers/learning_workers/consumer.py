"""Celery's consumer, but for how often it sends what tasks tell of themselves: together, ten times a second."""

import time

from celery.worker.consumer import Consumer as CeleryConsumer

EVENTS_EVERY = 0.1
"""Seconds."""


class Consumer(CeleryConsumer):  # type: ignore[misc]  # celery has no types
    """What a worker takes its tasks with."""

    _sends_at = 0.0

    def _flush_events(self) -> None:
        """In the loop, soon after each event: celery would send it now."""
        now = time.monotonic()
        if now >= self._sends_at:  # not a flag: a timer is gone with the connection that it was set beside
            self._sends_at = now + EVENTS_EVERY
            self.hub.call_later(EVENTS_EVERY, super()._flush_events)

    def stop(self) -> None:
        """What is told so far is sent before the connection goes."""
        super()._flush_events()
        super().stop()
