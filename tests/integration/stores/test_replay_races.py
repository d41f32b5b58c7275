"""Replay and undo beside extraction, tools, late arrivals and each other: whoever comes first, what always holds still holds."""

import os
import random
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.exc import DBAPIError

from harness import event, rows
from integration.stores.past import at, check
from integration.stores.steps import BOTH_AT_ONCE, citation, extraction, field, put, take_in
from learning_stores import mailbox
from learning_stores.admission import AT_ONCE
from learning_stores.commit import Fenced, commit
from learning_stores.database import Database
from learning_stores.grounding import content_key
from learning_stores.learning_rows import Raced
from learning_stores.mailbox import Claim
from learning_stores.operations import Citation, Operation, Put, Retire
from learning_stores.place import Place
from learning_stores.replay import replay_box
from learning_stores.replay_selection import Choice, boxes
from learning_stores.undo import Period, chosen, undo
from learning_stores.window import Window
from learning_stores.writing import write

ROUNDS = 4 * int(os.environ.get("RACE_ROUNDS", "4"))
"""RACE_ROUNDS=50, of `make races`, makes two hundred."""
LONGEST_PAUSE = 0.003

_CLASHES = (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation)

# Each event states a fact of its own.
_FACTS = """
    SELECT d.event_id, d.state, d.reason, d.generation, count(DISTINCT l.id) AS facts
    FROM learning.delivery d
    LEFT JOIN learning.learning l ON l.tenant = d.tenant AND l.content = 'Fact of ' || d.event_id AND l.status = 'active'
    WHERE d.store = 'user_profile' GROUP BY d.tenant, d.event_id, d.state, d.reason, d.generation"""

_UNSETTLED = "SELECT FROM learning.delivery WHERE state NOT IN ('extracted', 'nothing_found', 'skipped')"
_CONTEXTS = """
    SELECT d.tenant, d.scope FROM learning.delivery d WHERE d.store = 'session_context' GROUP BY 1, 2
    HAVING bool_or(d.state = 'extracted') <> EXISTS (
        SELECT FROM learning.learning l
        WHERE l.tenant = d.tenant AND l.store = 'session_context' AND l.scope = d.scope AND l.status = 'active')"""


class Round:
    """One tenant with a past, and those who change it at the same time."""

    def __init__(self, number: int, app_db: Database, dispatcher_db: Database, everything_db: Database) -> None:
        self.tenant = uuid.uuid4().hex
        self.random = random.Random(number)
        self.app_db, self.dispatcher_db, self.everything_db = app_db, dispatcher_db, everything_db
        self.turns = 0

    def prepare(self) -> None:
        """Two events, extracted one by one, and perhaps one that waits."""
        for minute in range(2):
            self.arrive(minute)
            self.work_off()
        if self.random.random() < 0.5:
            self.arrive(5)

    def arrive(self, minute: int) -> None:
        """An event is taken in; a lesser minute is a late one."""
        told = event(tenant=self.tenant, session_id="s1", occurred_at=at(minute))
        take_in(self.dispatcher_db, told, spec=BOTH_AT_ONCE)

    def work_off(self) -> None:
        """As workers do: until there is no mailbox that is not another's."""
        while found := rows(self.everything_db, "SELECT id FROM learning.mailbox WHERE tenant = :t", t=self.tenant):
            if not sum(self.work(row["id"]) for row in found):
                return

    def work(self, number: int) -> bool:
        """Claim a mailbox and extract one window; whether it could be claimed."""
        held = self.app_db.run(self.tenant, mailbox.claim, self.tenant, number, "worker")
        if not isinstance(held, Claim):
            return held.reason == "gone"
        try:
            self.extract(held)
        except Fenced:
            return True
        return True

    def extract(self, held: Claim) -> None:
        window = self.app_db.run(self.tenant, mailbox_window, held)
        if window is None:
            return
        work = extraction(held, window, self.answer(held, window))
        for left in range(4, -1, -1):
            try:
                self.app_db.run(self.tenant, commit, held, work, keep=False)
            except (Raced, DBAPIError) as error:
                if not left or (isinstance(error, DBAPIError) and not isinstance(error.orig, _CLASHES)):
                    raise
            else:
                return

    def answer(self, held: Claim, window: Window) -> list[Operation]:
        """A fact of each event, and a value that takes the place of another's."""
        if held.store == "session_context":
            return [put(window, f"{len(window.deliveries)} events", kind="summary", key="summary")]
        found: list[Operation] = []
        for number, delivery in enumerate(window.deliveries):
            cited = (citation(window, number),)
            found.append(put(window, f"Fact of {delivery.event_id}", citations=cited))
            found.append(field(window, "name", str(delivery.occurred_at), citations=cited))
        return found

    def replay(self) -> None:
        """Of everything, or of one store."""
        choice = Choice(user_id="alice", store=self.random.choice([None, "user_profile", "session_context"]))
        for box in self.app_db.run(self.tenant, boxes, self.tenant, choice):
            self.app_db.run(self.tenant, replay_box, box, choice, by="ops")

    def undo(self) -> None:
        """Of one or two of the last extractions."""
        found = self.app_db.run(self.tenant, chosen, self.tenant, Period())
        for source in found[: self.random.randint(1, 2)]:
            self.app_db.run(self.tenant, undo, self.tenant, source, by="ops")

    def tool(self) -> None:
        """An agent saves something, changes the name, and takes back what it finds."""
        where = Place(tenant=self.tenant, store="user_profile", scope="user/alice", user_id="alice", session_id="s0")
        cited = (Citation(occurred_at=at(self.random.choice([1, 9]))),)
        saved = Put(kind="memory", content="By a tool", content_key=content_key("By a tool"), citations=cited)
        named = Put(kind="field", content="name: tool", content_key="name", data={"name": "name"}, citations=cited)
        self.write(where, [saved, named])
        query = "SELECT id FROM learning.learning WHERE tenant = :t AND kind = 'field' AND status = 'active'"
        for row in rows(self.everything_db, query, t=self.tenant):
            self.write(where, [Retire(learning_id=row["id"], citations=(Citation(occurred_at=at(9)),))])

    def write(self, where: Place, operations: list[Operation]) -> None:
        self.app_db.run(self.tenant, write, where, operations, AT_ONCE, origin="tool", action="tried")

    def late(self) -> None:
        """What was said before everything else."""
        self.arrive(0)

    def run(self, pool: ThreadPoolExecutor) -> None:
        """Everybody at once; then the workers go on until nothing is pending."""
        self.prepare()
        others = self.random.sample([self.replay, self.undo, self.tool, self.late, self.replay, self.undo], 3)
        for done in [pool.submit(each) for each in (self.work_off, *others)]:
            done.result(timeout=60)
        self.expire()
        self.work_off()

    def expire(self) -> None:
        """Leases of workers that found nothing to do run out."""
        with self.everything_db.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE learning.mailbox SET lease_until = NULL, owner = NULL, not_before = NULL, due_at = now() WHERE tenant = %s",
                (self.tenant,),
            )


def mailbox_window(session: Any, held: Claim) -> Window | None:
    """What is next; a mailbox in which nothing is pending is closed."""
    from learning_stores.commit import settle_without_extraction
    from learning_stores.window import load_window

    window = load_window(session, held, 6_000)
    if window is None:
        settle_without_extraction(session, held, [], keep=False, at_once=False)
    return window


@contextmanager
def pauses(database: Database, seed: int) -> Iterator[None]:
    """Before some of the statements the thread stops for a moment, so that another comes between."""
    chance = random.Random(seed)
    lock = threading.Lock()

    def pause(*_: Any) -> None:
        with lock:
            seconds = chance.random() * LONGEST_PAUSE if chance.random() < 0.2 else 0.0
        if seconds and threading.current_thread() is not threading.main_thread():
            time.sleep(seconds)  # the fault that is injected, no waiting for anything

    sqlalchemy_event.listen(database.engine, "before_cursor_execute", pause)
    try:
        yield
    finally:
        sqlalchemy_event.remove(database.engine, "before_cursor_execute", pause)


@pytest.mark.timeout(240)
def test_given_replays_and_undos_beside_all_other_writers_when_they_race_then_every_fact_is_there_exactly_once(
    app_db: Database, dispatcher_db: Database, everything_db: Database
) -> None:
    with ThreadPoolExecutor(4) as pool, pauses(app_db, 5):
        for number in range(ROUNDS):
            one = Round(number, app_db, dispatcher_db, everything_db)
            one.run(pool)
            if number % 20 == 0 or number == ROUNDS - 1:
                _check(everything_db)
    replayed = rows(everything_db, "SELECT count(*) AS n FROM learning.delivery WHERE generation > 1")[0]["n"]
    undone = rows(everything_db, "SELECT count(*) AS n FROM learning.extraction WHERE undone_at IS NOT NULL")[0]["n"]
    assert min(replayed, undone) > ROUNDS / 2  # they did happen


def _check(everything_db: Database) -> None:
    check(everything_db)
    assert rows(everything_db, _UNSETTLED) == []
    assert rows(everything_db, "SELECT FROM learning.mailbox") == []
    for row in rows(everything_db, _FACTS):
        assert row["facts"] == (row["state"] == "extracted"), row
    assert rows(everything_db, _CONTEXTS) == []
