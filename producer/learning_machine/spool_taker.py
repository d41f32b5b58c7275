"""Taking spooled events into the Postgres event log, or into their streams where Postgres is away.

Postgres comes first, because what is accepted there is recorded as spooled and its refusal is known at once. It takes several
events in one transaction: what is said meanwhile about the same subjects is spooled too, and must not come faster than it goes.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import psycopg
from pydantic import ValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from learning_machine.failure import REFUSALS, told
from learning_machine.spool_file import Record
from learning_machine.streams import SOCKET_SECONDS, Streams
from learning_schemas.errors import InvalidEvent
from learning_schemas.event import ConversationCompleted
from learning_schemas.scope import shard_of, stream_name, subject_of
from learning_schemas.spec import DEFAULT_SPEC, MachineSpec
from learning_stores.database import Database
from learning_stores.event_log import Incoming, Interference, accept_all_directly
from learning_stores.specs import SpecCache

_REFUSED_BY_SERVER = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
_TRIES = 3
_CONNECT_SECONDS = 2
_ANSWER_SECONDS = 5.0


class Away(Exception):
    """No place takes events now."""


class Refused(Exception):
    """This event is taken nowhere; `verdict` where the event log said so."""

    def __init__(self, reason: str, verdict: str = "") -> None:
        super().__init__(reason)
        self.verdict = verdict


Outcome = bool | Refused
"""Whether an event is accepted now, or was before; or that it is refused."""


@dataclass(frozen=True, slots=True)
class _Event:
    """A record that can be read."""

    record: Record
    event: ConversationCompleted
    spec: MachineSpec

    @classmethod
    def of(cls, found: Record) -> Self:
        try:
            event = ConversationCompleted.from_json(found.event, max_bytes=len(found.event))
            spec = MachineSpec.from_json(found.spec)
            subject_of(event.user_id, event.session_id)
        except (InvalidEvent, ValidationError, ValueError) as error:
            # Of a ValidationError the text would hold what was said.
            raise Refused(str(error) if isinstance(error, InvalidEvent) else "it cannot be read") from None
        if spec.spec_hash() != (event.spec or DEFAULT_SPEC.spec_hash()):
            raise Refused("its spec is not the one that it names")
        return cls(found, event, spec)

    def goes_with(self, others: "Sequence[_Event]") -> bool:
        """Whether one transaction can take it after these: it is of their tenant, and none of them has its id."""
        return self.event.tenant == others[0].event.tenant and all(self.event.id != each.event.id for each in others)


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

    def take(self, found: Sequence[Record]) -> Iterator[Outcome]:
        """Have events accepted, in their order, and say what became of each. Raises `Away` where no place takes the next one."""
        part: list[_Event] = []
        for each in found:
            try:
                event = _Event.of(each)
            except Refused as error:
                yield from self._taken(part)
                part = []
                yield error
                continue
            if part and not event.goes_with(part):
                yield from self._taken(part)
                part = []
            part.append(event)
        yield from self._taken(part)

    def _taken(self, part: Sequence[_Event]) -> Iterator[Outcome]:
        if part and self._away is None:
            try:
                found = self._taken_in_log(part)
            except (SQLAlchemyError, psycopg.Error, OSError, Interference) as error:
                # For the rest of this run: what went into a stream is not to be overtaken by what was said after it.
                self._away = told(error)
            else:
                yield from found
                return
        for each in part:
            self._append(each)
            yield True

    def _append(self, taken: _Event) -> None:
        if self._streams is None:
            raise Away(f"postgres: {self._away}")
        event, found = taken.event, taken.record
        stream = stream_name(shard_of(event.tenant, subject_of(event.user_id, event.session_id), self._shards))
        until = time.monotonic() + SOCKET_SECONDS
        try:
            if event.spec is None:
                self._streams.append(stream, found.event, until)
            else:
                self._streams.append_with_spec(stream, found.event, found.spec, f"{event.tenant}/{event.spec}", until)
        except (RedisError, OSError) as error:
            raise Away(f"postgres: {self._away}; redis: {told(error)}") from error

    def _taken_in_log(self, part: Sequence[_Event]) -> list[Outcome]:
        """In one transaction; where Postgres refuses that, in one for each."""
        batch = [
            (Incoming(event=each.event, via="spool", body_bytes=len(each.record.event)), each.spec) for each in part
        ]
        for left in range(_TRIES - 1, -1, -1):
            try:
                verdicts = self._database.run(
                    part[0].event.tenant, accept_all_directly, batch, self._specs, self._shards
                )
                break
            except Interference:  # the same event, from elsewhere, at the same time
                if not left:
                    raise
            except DBAPIError as error:
                if not isinstance(error.orig, _REFUSED_BY_SERVER):
                    raise
                if len(part) > 1:
                    return [outcome for each in part for outcome in self._taken_in_log([each])]
                return [Refused(f"the database refuses it ({type(error.orig).__name__})")]
        found = [verdicts[incoming.key] for incoming, _ in batch]
        return [Refused(REFUSALS[each], each) if each in REFUSALS else each == "accepted" for each in found]

    def close(self) -> None:
        """Give back the connections."""
        self._database.close()
        if self._streams is not None:
            self._streams.close()
