"""The dispatcher: intake and pump, each a loop in a thread of its own, until it is told to stop.

Any number of dispatchers may run. Each shard has one reader among them; every one of them pumps. Servers that are away are
waited for; nothing is given up but the time.
"""

import os
import signal
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from uuid import UUID

import psycopg
import redis
import structlog
from celery import Celery
from kombu.exceptions import KombuError, OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from learning_schemas.errors import ConfigurationError
from learning_stores.database import Database
from learning_stores.event_log import Interference
from learning_stores.registry import installed
from learning_stores.settings import ServiceSettings
from learning_stores.shards import LEASE_SECONDS, extend_shards, give_up_shards, holds_shards, take_shards
from learning_stores.specs import SpecCache
from learning_stores.unprepared import PREPARED_AT_ONCE, Waiting, prepare, set_first_aside, take_up_again
from learning_stores.unprepared import waiting as waiting_events
from learning_workers.celery_app import app
from learning_workers.dispatcher_exposure import exposed
from learning_workers.embedding_pump import EmbeddingPump
from learning_workers.entry import Entry
from learning_workers.intake import BLOCK_MILLISECONDS, REFUSED, Intake, ShardLost, batches
from learning_workers.log import configure_logging
from learning_workers.metrics import LOOP_FAILURES, SHARDS_HELD, observe
from learning_workers.pulse import FRESH_SECONDS as FRESH_SECONDS
from learning_workers.pulse import DispatcherPulse
from learning_workers.pump import Pump
from learning_workers.tracer import sending_traces

logger = structlog.get_logger("learning.dispatcher")

LEASE_EVERY = LEASE_SECONDS / 3
WAITING_AT_ONCE = 200
PUMP_EVERY = 0.05
MAX_PAUSE = 5.0

_BEAT = text("""
    INSERT INTO learning.dispatcher AS d (owner, host) VALUES (:owner, :host)
    ON CONFLICT (owner) DO UPDATE SET
        intake_at = CASE WHEN :loop = 'intake' THEN clock_timestamp() ELSE d.intake_at END,
        pump_at = CASE WHEN :loop = 'pump' THEN clock_timestamp() ELSE d.pump_at END
""")
_GONE = text(
    "DELETE FROM learning.dispatcher WHERE owner = :owner OR least(intake_at, pump_at) < now() - interval '1 day'"
)
_FRESH = text("""
    SELECT count(*) FROM learning.dispatcher
    WHERE host = :host AND least(intake_at, pump_at) > clock_timestamp() - :seconds * interval '1 s'
""")

_TROUBLE = (
    SQLAlchemyError,
    psycopg.Error,
    redis.exceptions.RedisError,
    KombuError,
    OperationalError,
    OSError,
    Interference,
)


def is_alive(session: Session, host: str) -> bool:
    """Whether a dispatcher on this host has turned both its loops lately."""
    return bool(session.scalar(_FRESH, {"host": host, "seconds": FRESH_SECONDS}))


class Dispatcher:
    """One dispatcher process."""

    def __init__(self, celery: Celery, settings: ServiceSettings) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(3).hex()}"
        self._settings = settings
        self._database = Database(
            settings.dispatcher_database(), pool_size=3, field="dispatcher_database_url", on_commit=observe
        )
        self.pulse = DispatcherPulse()
        self._specs = SpecCache()
        self._intake = Intake(_client(settings.redis()), self._database, self._specs, settings, self.owner)
        self._pump = Pump(celery, self._database, set(installed()), settings.nudges_outstanding)
        # Where nothing is embedded, nobody would take the nudges.
        self._embedding = EmbeddingPump(celery, self._database) if settings.embedding_endpoint() is not None else None
        self._stop = threading.Event()
        self._new_mail = threading.Event()
        self._held: dict[int, int] = {}
        self._given_up: dict[int, int] = {}  # leases to give back, where they are still ours
        self._inherited: set[int] = set()  # held, with what is pending there still to be taken over
        self._waited: set[UUID] = set()  # of events in the log without deliveries, those seen before the next read
        self._unfinished: list[Entry] = []  # read, and not written yet
        self._prepare_limit = PREPARED_AT_ONCE
        self._leased_at = -LEASE_EVERY

    @property
    def held(self) -> list[int]:
        """The shards that it reads at this moment."""
        return sorted(self._held)

    def stop(self) -> None:
        """Finish what is being written, give the shards back, and return from `run`."""
        self._stop.set()
        self._new_mail.set()

    def run(self) -> None:
        """Work until `stop`."""
        pump = threading.Thread(target=self._loop, args=("pump", self._pump_turn), name="pump")
        pump.start()
        try:
            self._loop("intake", self._intake_turn)
        finally:
            self.stop()
            pump.join()
            self._leave()

    def _loop(self, name: str, turn: Callable[[], None]) -> None:
        pause, beaten = 0.1, -MAX_PAUSE
        self.pulse.turned(name, well=True)
        while not self._stop.is_set():
            try:
                if time.monotonic() - beaten >= LEASE_EVERY:
                    self._database.run(None, _beat, self.owner, name)
                    beaten = time.monotonic()
                turn()
                pause = 0.1
                self.pulse.turned(name, well=True)
            except ShardLost as error:
                self.pulse.turned(name, well=False)
                logger.warning("shard lost", shards=str(error))
                self._given_up, self._held = self._held, {}
                SHARDS_HELD.set(0)
                self._unfinished, self._inherited, self._leased_at = [], set(), -LEASE_EVERY
            except Exception as error:
                # No process dies of one row, and no error's text, which may be somebody's words, goes into a log.
                cause = type(getattr(error, "orig", None) or error).__name__
                self.pulse.turned(name, well=False)
                LOOP_FAILURES.labels("server" if isinstance(error, _TROUBLE) else "fault").inc()
                if isinstance(error, _TROUBLE):
                    logger.warning("waiting for a server", loop=name, cause=cause, seconds=pause)
                else:
                    where = traceback.extract_tb(error.__traceback__)[-1]
                    logger.error("fault", loop=name, cause=cause, at=f"{where.filename}:{where.lineno}", seconds=pause)
                if name == "intake":
                    # An answer can have been lost on its way: what Redis gave us and is not acknowledged is read again.
                    self._unfinished, self._inherited = [], set(self._held)
                self._stop.wait(pause)
                pause = min(pause * 2, MAX_PAUSE)

    def _intake_turn(self) -> None:
        if time.monotonic() - self._leased_at >= LEASE_EVERY:
            self._lease_shards()
        if not self._held:
            self._stop.wait(LEASE_EVERY / 5)
            self._leased_at = -LEASE_EVERY
            return
        while self._inherited:
            shard = min(self._inherited)
            self._unfinished += self._intake.take_over(shard)
            self._inherited.discard(shard)
        at_end: Collection[int] = ()
        if not self._unfinished:
            self._unfinished = self._intake.read(list(self._held), 1 if self._waited else BLOCK_MILLISECONDS)
            at_end = self._intake.at_end
        waiting = self._database.run(None, waiting_events, list(self._held), WAITING_AT_ONCE, self._whose)
        later: list[Entry] = []
        for shard, entries, ready in steps(self._unfinished, waiting, at_end, self._waited, later):
            for batch in batches(entries):
                if time.monotonic() - self._leased_at >= LEASE_EVERY:
                    self._lease_shards()
                if self._intake.take_in(batch, self._held):
                    self._new_mail.set()
                self.pulse.turned("intake", well=True)  # a turn of many batches moves, however long it is
            if ready:
                self._prepare_waiting(shard, ready)
        self._unfinished = later
        self._waited = {each.id for several in waiting.values() for each in several}

    def _whose(self, shard: int) -> set[tuple[str, str]]:
        """Whom the entries of a shard in hand are about."""
        return {entry.about[1] for entry in self._unfinished if entry.shard == shard and entry.about is not None}

    def _prepare_waiting(self, shard: int, ready: Sequence[UUID]) -> None:
        """Make the deliveries of a shard's events that are in the log without; one that Postgres refuses is set aside."""
        looked_at = limit = self._prepare_limit
        held = {shard: self._held[shard]}
        while looked_at == limit:
            limit = self._prepare_limit
            try:
                looked_at = self._database.run(None, _prepare, self._specs, held, limit, ready)
            except DBAPIError as error:
                if not isinstance(error.orig, REFUSED):
                    raise
                cause = type(error.orig).__name__
                if limit == 1:
                    self._database.run(None, set_first_aside, [shard], f"the database refuses it ({cause})", ready)
                self._prepare_limit = looked_at = 1
                continue
            self._prepare_limit = min(self._prepare_limit * 2, PREPARED_AT_ONCE)
            if looked_at:
                self._new_mail.set()

    def _lease_shards(self) -> None:
        began = time.monotonic()
        if self._given_up:
            self._database.run(None, give_up_shards, self._given_up)
            self._given_up = {}
        kept = self._database.run(None, extend_shards, self._held) if self._held else set()
        if lost := set(self._held) - kept:
            raise ShardLost(str(sorted(lost)))
        free = set(range(self._settings.shards)) - kept
        taken = self._database.run(None, take_shards, self.owner, sorted(free)) if free else {}
        self._leased_at = began
        self._held |= taken
        SHARDS_HELD.set(len(self._held))
        self._inherited |= set(taken)
        if taken:
            self._database.run(None, take_up_again, sorted(taken))
            logger.info("shards taken", shards=sorted(taken))

    def _pump_turn(self) -> None:
        at_once = self._pump.tick()
        if self._embedding is not None:
            self._embedding.tick()
        if not at_once:  # also where there is a backlog: nudges together cost less than one by one
            self._new_mail.wait(PUMP_EVERY)
        self._new_mail.clear()

    def _leave(self) -> None:
        try:
            self._database.run(None, give_up_shards, self._held)
            self._database.run(None, _goodbye, self.owner)
        except _TROUBLE as error:
            logger.warning("leases run out by themselves", cause=type(error).__name__)
        self._database.close()
        logger.info("dispatcher stopped")


def _beat(session: Session, owner: str, loop: str) -> None:
    session.execute(_BEAT, {"owner": owner, "host": socket.gethostname(), "loop": loop})


def _prepare(session: Session, specs: SpecCache, held: Mapping[int, int], limit: int, only: Sequence[UUID]) -> int:
    if not holds_shards(session, held):
        raise ShardLost(str(sorted(held)))
    return prepare(session, specs, list(held), limit, only)


def steps(
    entries: Sequence[Entry],
    waiting: Mapping[int, Sequence[Waiting]],
    at_end: Collection[int],
    waited: Collection[UUID],
    later: list[Entry],
) -> Iterator[tuple[int, list[Entry], list[UUID]]]:
    """The order of work: a shard's entries to take in, and then which of its waiting events come.

    A waiting event comes before the first entry of its subject that is younger. Where there is none, it comes once its
    stream was read to its end after it was seen: else one that was emitted before it may still be in there. Where a subject
    has `WAITING_AT_ONCE` waiting events and all are older than an entry, there may be more: `later` gets that entry and what
    follows it of its subject.
    """
    if not waiting:
        yield 0, list(entries), []
        return
    for shard in sorted({entry.shard for entry in entries} | set(waiting)):
        left: dict[tuple[str, str], deque[UUID]] = {}
        for each in waiting.get(shard, ()):
            left.setdefault(each.whose, deque()).append(each.id)
        many = {whose for whose, ids in left.items() if len(ids) >= WAITING_AT_ONCE}
        taken: list[Entry] = []
        for entry in entries:
            if entry.shard != shard:
                continue
            if left and entry.about is not None:
                event_id, whose = entry.about
                theirs = left.get(whose, deque())
                before = [theirs.popleft() for _ in range(sum(each < event_id for each in theirs))]
                if before:
                    yield shard, taken, before
                    taken = []
                if whose in many and not theirs:
                    later.append(entry)
                    continue
            taken.append(entry)
        ready = (each for each in waiting.get(shard, ()) if each.id in waited and each.id in left[each.whose])
        yield shard, taken, [each.id for each in ready] if shard in at_end else []


def _goodbye(session: Session, owner: str) -> None:
    session.execute(_GONE, {"owner": owner})


def _client(url: str) -> redis.Redis:
    """Waits a little longer than the server may block, and never for ever."""
    seconds = BLOCK_MILLISECONDS / 1000 + 5
    try:
        return redis.Redis.from_url(
            url, socket_timeout=seconds, socket_connect_timeout=2, socket_keepalive=True, retry=Retry(NoBackoff(), 0)
        )
    except ValueError as error:
        raise ConfigurationError("redis_url", str(error), "Write it as redis://:password@host:6379/0") from None


def main() -> None:
    """Run a dispatcher until SIGTERM or SIGINT."""
    configure_logging()
    settings = ServiceSettings.load()
    dispatcher = Dispatcher(app, settings)
    # Waited for in a thread: a handler would run in the middle of a loop, which may hold the very lock that `stop` takes.
    numbers = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)

    def stop_on_signal() -> None:
        signal.sigwait(numbers)
        dispatcher.stop()

    threading.Thread(target=stop_on_signal, name="signals", daemon=True).start()
    with exposed(dispatcher.pulse, lambda: dispatcher.held, settings), sending_traces("learning-dispatcher"):
        logger.info("dispatcher started", owner=dispatcher.owner)
        dispatcher.run()
