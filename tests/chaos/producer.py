"""`python -m chaos.producer LOAD NUMBER JOURNAL`: an agent process that emits its share of the load and journals it.

An event that no place takes is sent again, with the same id, until one does; the session's next one waits for it. Producers
of odd numbers are asyncio programs.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos.journal import Broke, Journal, Said
from chaos.load import Load, said
from learning_machine import (
    LearningMachine,
    NotAccepted,
    Receipt,
    SessionContextConfig,
    UserProfile,
    UserProfileConfig,
)
from learning_schemas.event import ConversationCompleted

AGAIN_SECONDS = 0.2


@dataclass
class Employed(UserProfile):
    """One field of which only the last word counts."""

    employer: str | None = field(default=None, metadata={"description": "Where the user works"})


def machine_of_run() -> LearningMachine:
    """The machine that every producer has: two stores, extracted at once."""
    return LearningMachine(
        name="chaos",
        user_profile=UserProfileConfig(debounce=0, schema=Employed),
        session_context=SessionContextConfig(debounce=0),
    )


class _Attempt:
    """The tries of one event."""

    def __init__(self, load: Load, session: int, position: int) -> None:
        self.load, self.session, self.position = load, session, position
        self.word = load.word(session, position)
        self.work = load.speaks_of_work(session)
        self.event: ConversationCompleted | None = None  # once refused, with its id and number
        self.refused = 0
        self.slowest = 0.0
        self.began = self.tried = time.time()

    @property
    def arguments(self) -> dict[str, str]:
        return {"user_id": self.load.user(self.session), "session_id": f"s{self.session}"}

    def begin(self) -> None:
        self.tried = time.time()

    def fail(self, error: Exception) -> Broke | None:
        """Note what emit raised; something to journal where it is no refusal."""
        self.slowest = max(self.slowest, time.time() - self.tried)
        if isinstance(error, NotAccepted):
            self.event, self.refused = error.event, self.refused + 1
            return None
        told = f"{type(error).__name__}: {error}"[:300]
        return Broke(session=self.session, position=self.position, error=told)

    def done(self, receipt: Receipt) -> Said:
        """What to journal."""
        now = time.time()
        return Said(
            id=str(receipt.event_id),
            producer=str(receipt.producer),
            seq=receipt.seq,
            via=receipt.via,
            user=self.load.user(self.session),
            session=self.session,
            position=self.position,
            word=self.word,
            work=self.work,
            refused=self.refused,
            began=self.began,
            ended=now,
            slowest=max(self.slowest, now - self.tried),
        )


def _paced(load: Load, producer: int, lane: int) -> Iterator[tuple[float, _Attempt]]:
    """The lane's events, each with how many seconds to wait for its turn."""
    every = load.producers * load.lanes / load.rate
    due = time.monotonic() + every * (producer * load.lanes + lane) / (load.producers * load.lanes)
    for session, position in load.lane(producer, lane):
        yield max(0.0, due - time.monotonic()), _Attempt(load, session, position)
        due = max(due + every, time.monotonic() - 5 * every)  # what an outage held up is not all made up for at once


def _emit_lane(machine: LearningMachine, journal: Journal, load: Load, producer: int, lane: int) -> None:
    for wait, attempt in _paced(load, producer, lane):
        time.sleep(wait)
        while True:
            attempt.begin()
            try:
                if attempt.event is not None:
                    receipt = machine.emit_event(attempt.event)
                else:
                    receipt = machine.emit(said(attempt.word, work=attempt.work), **attempt.arguments)
            except Exception as error:  # whatever it is, it is journaled and fails the run
                if (broke := attempt.fail(error)) is not None:
                    journal.write(broke)
                time.sleep(AGAIN_SECONDS)
            else:
                journal.write(attempt.done(receipt))
                break


async def _aemit_lane(machine: LearningMachine, journal: Journal, load: Load, producer: int, lane: int) -> None:
    for wait, attempt in _paced(load, producer, lane):
        await asyncio.sleep(wait)
        while True:
            attempt.begin()
            try:
                if attempt.event is not None:
                    receipt = await machine.aemit_event(attempt.event)
                else:
                    receipt = await machine.aemit(said(attempt.word, work=attempt.work), **attempt.arguments)
            except Exception as error:  # as above
                if (broke := attempt.fail(error)) is not None:
                    journal.write(broke)
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                journal.write(attempt.done(receipt))
                break


async def _emit_all(journal: Journal, load: Load, producer: int) -> None:
    async with machine_of_run() as machine, asyncio.TaskGroup() as lanes:
        for lane in range(load.lanes):
            lanes.create_task(_aemit_lane(machine, journal, load, producer, lane))


def main(load: Load, producer: int, path: Path) -> None:
    """Emit until everything is acknowledged."""
    with Journal(path) as journal:
        if producer % 2:
            asyncio.run(_emit_all(journal, load, producer))
            return
        with machine_of_run() as machine:
            lanes = [
                threading.Thread(target=_emit_lane, args=(machine, journal, load, producer, lane), name=f"lane {lane}")
                for lane in range(load.lanes)
            ]
            for each in lanes:
                each.start()
            for each in lanes:
                each.join()


if __name__ == "__main__":
    main(Load.from_json(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
