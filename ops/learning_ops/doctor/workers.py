"""Whether somebody does each kind of work: a dispatcher, a worker for every queue, and beat.

Workers are asked over the broker, as `celery inspect` does. One that does not answer may be in the middle of a task, as the
curator's is with the pool `solo`; a live lease in Postgres is as good an answer.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery

from learning_ops.doctor.deployment import CONNECT_SECONDS, Deployment, rows
from learning_ops.doctor.finding import Finding, counted, error, note, ok, warning
from learning_stores.registry import installed
from learning_workers.broker_tls import tls_of
from learning_workers.queues import CURATOR, EMBED, queue_name

ASK_SECONDS = 2.0
ASKED = 3
"""How often workers are asked before one counts as silent."""
MISSED_MINUTES = 5
"""Ticks that were missed for so long are no restart any more."""

_DISPATCHERS = """
    SELECT count(*) FROM learning.dispatcher WHERE least(intake_at, pump_at) > clock_timestamp() - :seconds * interval '1 s'
"""
_SHARDS = (
    "SELECT shard, coalesce(lease_until > clock_timestamp(), false) AS live FROM learning.shard_lease ORDER BY shard"
)
_LEASES = """
    SELECT store FROM learning.mailbox WHERE lease_until > clock_timestamp()
    UNION SELECT :curator WHERE EXISTS (SELECT FROM learning.curator_run WHERE lease_until > clock_timestamp())
    UNION SELECT :embed WHERE EXISTS (SELECT FROM learning.embedding_due WHERE taken_until > clock_timestamp())
"""
_MAIL = "SELECT store, count(*) AS mailboxes FROM learning.mailbox WHERE due_at <= clock_timestamp() GROUP BY 1"
_LAST_TICK = "SELECT max(tick) FROM learning.curator_run WHERE job = 'reconcile'"


def dispatchers(deployment: Deployment) -> Iterator[Finding]:
    """One that turned both its loops lately, and a reader for each shard."""
    from learning_workers.dispatcher import FRESH_SECONDS

    with deployment.postgres() as session:
        [[alive]] = rows(session, _DISPATCHERS, seconds=FRESH_SECONDS)
        shards = {row.shard: row.live for row in rows(session, _SHARDS)}
    if not alive:
        yield error(
            f"no dispatcher has turned both its loops within {FRESH_SECONDS} s: events wait in Redis",
            "learning-machine dispatcher",
        )
        return
    wanted = deployment.settings.shards
    if unread := [number for number in range(wanted) if not shards.get(number)]:
        told = ", ".join(map(str, unread))
        yield error(
            f"nobody reads {'shard' if len(unread) == 1 else 'the shards'} {told} of {wanted}",
            f"set LEARNING_SHARDS={wanted} for every dispatcher and agent alike, and start the dispatchers again",
        )
    if more := [number for number, live in shards.items() if number >= wanted and live]:
        yield warning(
            f"a dispatcher reads {max(more) + 1} shards, and this place is set to {wanted}: events may go where nobody looks",
            f"set LEARNING_SHARDS={max(more) + 1} here and for every agent",
        )
    if not unread:
        yield ok(f"{counted(alive, 'dispatcher')} alive, and each of {wanted} shards is read")


def workers(deployment: Deployment) -> Iterator[Finding]:
    """One for the queue of each installed store, for embedding where something embeds, and for the curator."""
    wanted = {**{queue_name(store): store for store in installed()}, CURATOR: "the curator"}
    embeds = deployment.settings.embedding_endpoint() is not None
    if embeds:
        wanted[EMBED] = "embedding"
    served = _served(deployment, set(wanted))
    missing = [queue for queue in wanted if queue not in served]
    busy, mail = _in_work(deployment) if missing else (set(), {})
    missing = [queue for queue in missing if queue not in busy]
    for queue in missing:
        waits = mail.get(wanted[queue], 0)
        told = f"no worker takes work from {queue}" + (f", where {counted(waits, 'mailbox')} wait" if waits else "")
        # Of a store that nobody uses it is no fault, unless nobody works at all.
        grave = waits or not served or queue in (CURATOR, EMBED)
        yield (error if grave else warning)(told, _start(queue))
    if not embeds and EMBED not in served:
        yield note(
            "no worker embeds, and no embedding model is set here",
            f"set LEARNING_EMBEDDING_MODEL, and start one, if recall is to go by meaning too: {_start(EMBED)}",
        )
    if not missing:
        yield ok(f"every queue has a worker: {', '.join(sorted(set(wanted) & (served | busy)))}")


def schedule(deployment: Deployment) -> Iterator[Finding]:
    """Whether beat still makes the runs of the job that is due most often."""
    planned = deployment.settings.schedule("reconcile")
    if planned is None:
        yield note("the job reconcile is off: what does not add up is not noticed", "unset LEARNING_CURATOR_RECONCILE")
        return
    due = planned.newest(datetime.now(UTC) - timedelta(minutes=MISSED_MINUTES))
    with deployment.postgres() as session:
        [[last]] = rows(session, _LAST_TICK)
    if due is not None and (last is None or last < due):
        since = "ever" if last is None else f"since {last:%Y-%m-%d %H:%M} UTC"
        yield error(
            f"no run of the curator's job reconcile was made {since}: beat, or the curator's worker, does not run",
            f"celery -A learning_workers.app beat, and {_start(CURATOR)}",
        )
        return
    yield ok(f"the curator's schedule is kept, the last time at {last:%H:%M} UTC" if last else "no run is due yet")


def _served(deployment: Deployment, wanted: set[str]) -> set[str]:
    """The queues that workers say they take work from."""
    with deployment.redis("broker") as client:  # a server that is away is told as such; kombu would try for long
        client.ping()
    found: set[str] = set()
    options = {"socket_timeout": 5, "socket_connect_timeout": CONNECT_SECONDS, "max_retries": 1}
    with Celery("doctor", broker=deployment.settings.broker(), set_as_current=False) as app:
        app.conf.update(broker_transport_options=options, broker_use_ssl=tls_of(deployment.settings.broker()))
        with app.connection_for_write() as connection:
            for _ in range(ASKED):
                answers: list[dict[str, Any]] = app.control.broadcast(
                    "active_queues", reply=True, timeout=ASK_SECONDS, connection=connection
                )
                found |= {str(queue["name"]) for each in answers or () for queues in each.values() for queue in queues}
                if wanted <= found:
                    break
    return found


def _in_work(deployment: Deployment) -> tuple[set[str], dict[str, int]]:
    """Queues of which something is in work now, by its lease; and how many mailboxes are due, by store."""
    with deployment.postgres() as session:
        leased = {row.store for row in rows(session, _LEASES, curator=CURATOR, embed=EMBED)}
        mail = {row.store: row.mailboxes for row in rows(session, _MAIL)}
    return {name if name in (CURATOR, EMBED) else queue_name(name) for name in leased}, mail


def _start(queue: str) -> str:
    threads = {CURATOR: 1, EMBED: 4}.get(queue, 16)
    return f"celery -A learning_workers.app worker -Q {queue} -P threads -c {threads} -E"
