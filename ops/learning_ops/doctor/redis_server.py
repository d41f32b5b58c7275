"""Whether Redis keeps what it acknowledged, and throws nothing away: persistence and eviction.

What a managed server lets nobody see or set (`CONFIG`) is read from `INFO` as far as it is there.
"""

from collections.abc import Iterator
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from learning_ops.doctor.deployment import Deployment, Server
from learning_ops.doctor.finding import Finding, error, note, ok, warning

FULL = 0.8
"""Of `maxmemory`: from here on it is time to act."""


def persistence(deployment: Deployment) -> Iterator[Finding]:
    """The append-only file, and how often it is brought to the disk."""
    with deployment.redis() as client:
        info = client.info("persistence")
        appendfsync = _setting(client, "appendfsync")
    if not int(info.get("aof_enabled", 0)):
        yield error(
            "Redis keeps no append-only file: events that were accepted are lost when it ends",
            "CONFIG SET appendonly yes, and `appendonly yes` in its configuration",
        )
        return
    if info.get("aof_last_write_status", "ok") != "ok":
        yield error("Redis could not write its append-only file", "give its disk room, and look at its log")
    if appendfsync is None:
        yield note(
            "whether Redis brings each entry to the disk could not be read (CONFIG GET is not allowed)",
            "see to `appendfsync always`, or give the user +config|get",
        )
    elif appendfsync == "everysec":
        yield warning(
            "Redis brings its append-only file to the disk once a second: up to 2 s of accepted events can be lost when it "
            "is killed",
            "CONFIG SET appendfsync always, and `appendfsync always` in its configuration",
        )
    elif appendfsync == "no":
        yield error(
            "Redis leaves it to the system when its append-only file goes to the disk",
            "CONFIG SET appendfsync always, and `appendfsync always` in its configuration",
        )
    else:
        yield ok("Redis brings each entry to the disk before it acknowledges it")


def eviction(deployment: Deployment) -> Iterator[Finding]:
    """What happens when its memory is full, on the streams' server and on the broker's."""
    servers: tuple[Server, ...] = ("streams",) if deployment.one_redis() else ("streams", "broker")
    for server in servers:
        with deployment.redis(server) as client:
            memory, stats = client.info("memory"), client.info("stats")
        yield from _evicting(server, memory, stats)


def _evicting(server: str, memory: dict[str, Any], stats: dict[str, Any]) -> Iterator[Finding]:
    policy, most, used = (
        str(memory.get("maxmemory_policy")),
        int(memory.get("maxmemory", 0)),
        int(memory["used_memory"]),
    )
    if policy != "noeviction":
        yield error(
            f"Redis ({server}) deletes keys when its memory is full (maxmemory-policy {policy}): events would go unread",
            "CONFIG SET maxmemory-policy noeviction, and `maxmemory-policy noeviction` in its configuration",
        )
    if evicted := int(stats.get("evicted_keys", 0)):
        yield warning(
            f"Redis ({server}) has evicted {evicted:,} keys since it was started; `status --ledger` says what is missing",
            "CONFIG SET maxmemory-policy noeviction",
        )
    if most and used > FULL * most:
        yield warning(
            f"Redis ({server}) uses {used / most:.0%} of its maxmemory; full, it takes no event, and emit goes to Postgres",
            f"CONFIG SET maxmemory {2 * most}, or start more dispatchers where the streams grow",
        )
    if policy == "noeviction":
        yield ok(f"Redis ({server}) evicts nothing")


def _setting(client: Redis, name: str) -> str | None:
    """A setting; None where this user may not read it, or the server has no such command."""
    try:
        return client.config_get(name).get(name)
    except ResponseError:
        return None
