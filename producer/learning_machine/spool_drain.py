"""Draining a spool: each record into the Postgres event log, or into its stream where Postgres is away.

Postgres comes first, because what is accepted there is recorded as spooled and its refusal is known at once. A record is
blanked once it is accepted, or set aside beside its file with the reason; what a crash leaves unblanked is drained again,
which the event's key absorbs. Where both places are away, the rest stays for the next time.
"""

import base64
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
from pydantic import ValidationError
from pydantic_core import from_json, to_json
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from learning_machine.failure import REFUSALS, WITHOUT_BODY, told
from learning_machine.spool_file import (
    REFUSED,
    Record,
    blank,
    destination_of,
    is_locked,
    opened,
    records,
    set_aside,
    spooled,
)
from learning_machine.streams import SOCKET_SECONDS, Streams
from learning_schemas.errors import InvalidEvent
from learning_schemas.event import ConversationCompleted
from learning_schemas.scope import shard_of, stream_name, subject_of
from learning_schemas.spec import DEFAULT_SPEC, MachineSpec
from learning_stores.database import Database
from learning_stores.event_log import Incoming, Interference, accept_directly
from learning_stores.specs import SpecCache

_REFUSED_BY_SERVER = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
_TRIES = 3
_CONNECT_SECONDS = 2
_ANSWER_SECONDS = 5.0


class Away(Exception):
    """No place takes events now."""


class _Refused(Exception):
    """This event is taken nowhere; `verdict` where the event log said so."""

    def __init__(self, reason: str, verdict: str = "") -> None:
        super().__init__(reason)
        self.verdict = verdict


@dataclass(kw_only=True)
class Drained:
    """What became of records: `accepted` in Postgres or a stream, `known` there before, `refused` and `damaged` set aside.

    A `torn` one was cut off by the end of its process before emit returned: it was never accepted. `left` counts files with
    records that no place takes now, because of `cause`.
    """

    files: int = 0
    accepted: int = 0
    known: int = 0
    refused: int = 0
    damaged: int = 0
    torn: int = 0
    left: int = 0
    in_use: int = 0
    elsewhere: list[str] = field(default_factory=list)
    cause: str | None = None


class Taker:
    """Takes events for one database. Has one connection of its own to each server; close it."""

    def __init__(self, database_url: str, redis_url: str | None, shards: int) -> None:
        self._database = Database(
            database_url, pool_size=1, connect_seconds=_CONNECT_SECONDS, answer_seconds=_ANSWER_SECONDS
        )
        self._streams = None if redis_url is None else Streams(redis_url)
        self._specs = SpecCache()
        self._shards = shards
        self._away: str | None = None

    def take(self, body: bytes, spec_body: bytes) -> bool:
        """Have an event accepted; False where it was before. Raises `Away`, and `_Refused` for what is taken nowhere."""
        try:
            event = ConversationCompleted.from_json(body, max_bytes=len(body))
            spec = MachineSpec.from_json(spec_body)
            subject = subject_of(event.user_id, event.session_id)
        except (InvalidEvent, ValidationError, ValueError) as error:
            # Of a ValidationError the text would hold what was said.
            raise _Refused(str(error) if isinstance(error, InvalidEvent) else "it cannot be read") from None
        if spec.spec_hash() != (event.spec or DEFAULT_SPEC.spec_hash()):
            raise _Refused("its spec is not the one that it names")
        if self._away is None:
            try:
                return self._take_in_log(event, spec, len(body))
            except (SQLAlchemyError, psycopg.Error, OSError, Interference) as error:
                # For the rest of this run: what went into a stream is not to be overtaken by what was said after it.
                self._away = told(error)
        if self._streams is None:
            raise Away(f"postgres: {self._away}")
        stream = stream_name(shard_of(event.tenant, subject, self._shards))
        until = time.monotonic() + SOCKET_SECONDS
        try:
            if event.spec is None:
                self._streams.append(stream, body, until)
            else:
                self._streams.append_with_spec(stream, body, spec_body, f"{event.tenant}/{event.spec}", until)
        except (RedisError, OSError) as error:
            raise Away(f"postgres: {self._away}; redis: {told(error)}") from error
        return True

    def _take_in_log(self, event: ConversationCompleted, spec: MachineSpec, size: int) -> bool:
        incoming = Incoming(event=event, via="spool", body_bytes=size)
        for left in range(_TRIES - 1, -1, -1):
            try:
                verdict = self._database.run(event.tenant, accept_directly, incoming, spec, self._specs, self._shards)
                break
            except Interference:  # the same event, from elsewhere, at the same time
                if not left:
                    raise
            except DBAPIError as error:
                if isinstance(error.orig, _REFUSED_BY_SERVER):
                    raise _Refused(f"the database refuses it ({type(error.orig).__name__})") from None
                raise
        if verdict in REFUSALS:
            raise _Refused(REFUSALS[verdict], verdict)
        return verdict == "accepted"

    def close(self) -> None:
        """Give back the connections."""
        self._database.close()
        if self._streams is not None:
            self._streams.close()


def drain(
    path: Path, file: BinaryIO, start: int, until: int | None, taker: Taker, result: Drained, stop: Callable[[], bool]
) -> int:
    """Drain a file's records from one offset to another one, in their order. Returns the offset that was reached.

    The caller holds the file's lock, or is the process that writes it. Where no place takes one, it stops, and
    `result.cause` says why.
    """
    offset, destination = start, destination_of(file)
    for found in records(file, start, until):
        if stop():
            break
        try:
            if found.state == "whole":
                _take(path, found, taker, result, destination)
                blank(file.fileno(), found)
            elif found.state == "damaged":
                raw = base64.b64encode(found.line).decode()
                set_aside(path, _aside(reason="the record is damaged", destination=destination, raw=raw))
                blank(file.fileno(), found)
                result.damaged += 1
            elif found.state == "torn":
                result.torn += 1
        except Away as error:
            result.cause = str(error)
            break
        offset = found.offset + len(found.line)
    return offset


def drain_directory(
    directory: Path, destination: str | None, taker: Taker, result: Drained, stop: Callable[[], bool]
) -> None:
    """Drain the files that no process holds, oldest first, and remove those that are empty then.

    Files for another database than `destination` (None: whatever they are for) are left alone.
    """
    for path in spooled(directory):
        if (file := opened(path)) is None:
            continue
        with file:
            if is_locked(file):
                result.in_use += 1
                continue
            theirs = destination_of(file)
            if theirs is None or (destination is not None and theirs != destination):
                result.elsewhere.append(f"{path.name}: {theirs or 'not a spool file of this version'}")
                continue
            result.files += 1
            end = file.seek(0, 2)
            destination_of(file)
            if drain(path, file, file.tell(), None, taker, result, stop) >= end:
                path.unlink(missing_ok=True)
            else:
                result.left += 1
        if result.cause is not None or stop():
            return


def blank_matching(directory: Path, destination: str, matches: Callable[[ConversationCompleted], bool]) -> int:
    """Overwrite the events for that database that match, in files in use and those set aside too. Returns how many.

    A record that is being drained meanwhile may be accepted: the event log has to refuse it.
    """
    count = 0
    for path in spooled(directory):
        if (file := opened(path)) is None:
            continue
        with file:
            if destination_of(file) != destination:
                continue
            for found in records(file, file.tell()):
                if found.state == "whole" and _matches(found.event, matches):
                    blank(file.fileno(), found)
                    count += 1
    for path in spooled(directory, REFUSED):
        with path.open("r+b") as file:
            count += _forget_refused(file, destination, matches)
    return count


def _forget_refused(file: BinaryIO, destination: str, matches: Callable[[ConversationCompleted], bool]) -> int:
    """Take the words out of what was set aside; that it was, and why, stays. A line may not say for which database it is."""
    count = offset = 0
    for line in file.readlines():
        told = from_json(line) if line.endswith(b"}\n") else {}
        body = str(told.pop("event", "")).encode()
        told.pop("spec", None)
        if body and told.get("destination", destination) == destination and _matches(body, matches):
            os.pwrite(file.fileno(), to_json(told).ljust(len(line) - 1) + b"\n", offset)
            count += 1
        offset += len(line)
    return count


def _matches(body: bytes, matches: Callable[[ConversationCompleted], bool]) -> bool:
    try:
        return matches(ConversationCompleted.from_json(body, max_bytes=len(body)))
    except InvalidEvent:
        return False


def _take(path: Path, found: Record, taker: Taker, result: Drained, destination: str | None) -> None:
    try:
        if taker.take(found.event, found.spec):
            result.accepted += 1
        else:
            result.known += 1
    except _Refused as error:
        set_aside(path, _refusal(found, error, destination))
        result.refused += 1


def _refusal(found: Record, error: _Refused, destination: str | None) -> bytes:
    told: dict[str, Any] = {"reason": str(error), "destination": destination}
    try:
        event = ConversationCompleted.from_json(found.event, max_bytes=len(found.event))
        told |= {"tenant": event.tenant, "event_id": str(event.id)}
    except InvalidEvent:
        pass
    if error.verdict not in WITHOUT_BODY:
        told |= {"event": found.event.decode(errors="replace"), "spec": found.spec.decode(errors="replace")}
    return _aside(**told)


def _aside(**told: Any) -> bytes:
    return to_json({"at": datetime.now(UTC).isoformat(), **told}) + b"\n"
