"""What is on its way into the database when somebody is forgotten: stream entries, this host's spool, this process's overlay."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_machine.failure import told
from learning_machine.recent import RecentEvents
from learning_schemas.errors import InvalidEvent
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import id_time
from learning_schemas.scope import shard_of, stream_name, subject_of
from learning_stores.database import Database
from learning_stores.forgetting import Outside
from learning_stores.forgetting_target import Scope
from learning_stores.subjects import TOLERANCE

ENTRIES_AT_ONCE = 200
_SOCKET_SECONDS = 5.0

_REFUSE = text("SELECT learning.refuse_forgotten(:stream, :entry_id, :event_id, :producer, cast(:seq AS bigint))")


@dataclass(frozen=True, kw_only=True)
class WaysIn:
    """Where a machine's events may be before the database has them."""

    redis_url: str | None
    shards: int
    spool_dir: Path | None
    recent: RecentEvents | None = None


def remove_outside(database: Database, ways: WaysIn, scope: Scope) -> Outside:
    """Refuse what is on its way in, without keeping what it says; and say what could not be reached."""
    counts, unreached = Counter[str](), []
    matches = _matching(scope)
    if ways.recent is not None:
        _forget_overlay(ways.recent, scope)
    if ways.redis_url is None:
        unreached.append("the stream of events: no Redis is named; the dispatcher refuses what is in it")
    else:
        try:
            counts["stream"] = _sweep_stream(database, ways.redis_url, ways.shards, scope, matches)
        except (RedisError, OSError) as error:
            unreached.append(f"the stream of events ({told(error)}); the dispatcher refuses what is in it")
    if ways.spool_dir is None:
        unreached.append("the spool of this host: no directory is named; what is in one is refused when it is drained")
    else:
        try:
            counts["spool"] = _sweep_spool(database, ways.spool_dir, scope, matches)
        except OSError as error:
            unreached.append(f"the spool of this host ({told(error)}); what is in it is refused when it is drained")
    return Outside(counts=+counts, unreached=tuple(unreached))


def _matching(scope: Scope) -> Callable[[ConversationCompleted], bool]:
    target, until = scope.target, scope.at + TOLERANCE

    def matches(event: ConversationCompleted) -> bool:
        if event.tenant != target.tenant or not (event.user_id or event.session_id):
            return False
        if target.kind == "event":
            return event.id == target.event_id
        if subject_of(event.user_id, event.session_id) != target.subject or id_time(event.id) >= until:
            return False
        return target.kind == "subject" or event.session_id == target.session_id

    return matches


def _sweep_stream(
    database: Database, url: str, shards: int, scope: Scope, matches: Callable[[ConversationCompleted], bool]
) -> int:
    """Refuse the entries of the subject's shard, up to the last one that is there now."""
    stream = stream_name(shard_of(scope.target.tenant, scope.target.subject, shards))
    client: Any = redis.Redis.from_url(
        url,
        socket_timeout=_SOCKET_SECONDS,
        socket_connect_timeout=_SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )
    removed = 0
    with client:
        newest = client.xrevrange(stream, count=1)
        if not newest:
            return 0
        start, last = b"-", newest[0][0]
        while entries := client.xrange(stream, min=start, max=last, count=ENTRIES_AT_ONCE):
            for entry_id, fields in entries:
                event = _read(fields.get(b"event"))
                if event is not None and matches(event):
                    database.run(scope.target.tenant, _refuse, stream, entry_id.decode(), event)
                    client.xdel(stream, entry_id)  # a dispatcher that has read it refuses it too, once
                    removed += 1
            start = b"(" + entries[-1][0]
    return removed


def _sweep_spool(
    database: Database, directory: Path, scope: Scope, matches: Callable[[ConversationCompleted], bool]
) -> int:
    from learning_machine.spool import destination_name
    from learning_machine.spool_drain import blank_matching  # Unix alone has its locks

    def refused(event: ConversationCompleted) -> bool:
        if not matches(event):
            return False
        database.run(scope.target.tenant, _refuse, "spool", str(event.id), event)
        return True

    return blank_matching(directory, destination_name(database.url), refused)


def _read(body: bytes | None) -> ConversationCompleted | None:
    """The event of an entry; None for what intake rejects anyway."""
    if body is None:
        return None
    try:
        return ConversationCompleted.from_json(body, max_bytes=len(body))
    except InvalidEvent:
        return None


def _refuse(session: Session, stream: str, entry_id: str, event: ConversationCompleted) -> None:
    numbered: dict[str, UUID | int | None] = {"producer": event.producer, "seq": event.seq}
    session.execute(_REFUSE, {"stream": stream, "entry_id": entry_id, "event_id": event.id, **numbered})


def _forget_overlay(recent: RecentEvents, scope: Scope) -> None:
    target = scope.target
    if target.kind == "event":
        assert target.event_id is not None
        recent.forget({target.event_id})
        return
    # All of a user's, of a session too: what is not in the log yet would have been shown a moment longer.
    while found := {each.event_id for each in recent.of(target.tenant, target.user_id, target.session_id)}:
        recent.forget(found)
