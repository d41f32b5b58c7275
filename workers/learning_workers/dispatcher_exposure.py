"""A dispatcher's metrics and probes: counts, what waits, whether both loops turn, whether its servers answer."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import redis

from learning_stores.registry import installed
from learning_stores.settings import ServiceSettings
from learning_workers.backlog_metrics import BacklogCollector
from learning_workers.exposure import Exposure
from learning_workers.look import looking
from learning_workers.metrics import REGISTRY, SHARDS_HELD, dispatcher_from_zero
from learning_workers.pulse import DispatcherPulse, Verdict
from learning_workers.readiness import Servers, redis_urls
from learning_workers.streams import brief_client, heads


@contextmanager
def exposed(
    pulse: DispatcherPulse, held: Callable[[], Sequence[int]], settings: ServiceSettings
) -> Iterator[Exposure | None]:
    """Serve them while the block runs, where a port is set. `held` gives the shards that it reads. Raises `ConfigurationError`."""
    if settings.metrics_port is None:
        yield None
        return
    servers = Servers(
        settings.dispatcher_database(), "dispatcher_database_url", redis_urls(settings.redis(), settings.broker())
    )
    streams = brief_client(settings.redis())

    def look() -> None:
        if not servers.answer().ok:
            pulse.looked(None)
            return
        try:
            found = heads(streams, held())
        except (redis.exceptions.RedisError, OSError):
            pulse.looked(None)
        else:
            pulse.looked({str(shard): head.first for shard, head in found.items() if head.entries})

    def ready() -> Verdict:
        answer = servers.answer()
        if not answer.ok:
            return answer
        return Verdict(ok=True, told=f"{answer.told}; {len(held())} of {settings.shards} shards are read here")

    with ExitStack() as stack:
        stack.callback(servers.close)
        stack.callback(streams.close)
        collector = BacklogCollector(settings)
        stack.callback(collector.close)
        dispatcher_from_zero(installed())
        for each in (collector, SHARDS_HELD):
            REGISTRY.register(each)
            stack.callback(REGISTRY.unregister, each)
        exposure = Exposure(settings.metrics_host, settings.metrics_port, REGISTRY, live=pulse.live, ready=ready)
        stack.callback(exposure.close)
        stack.enter_context(looking(look))
        yield exposure.start()
