"""Forgetting beside everything that writes, with pauses where each may lose the race; and forgetting that is killed."""

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import event as database_events
from sqlalchemy.exc import DBAPIError

from harness import Place, event, eventually, rows, turn
from integration.stores.forgetting_scene import ALL, Scene, cited, entity, insight, later, memory
from integration.stores.steps import claim, extraction, incoming, window_of
from learning_schemas.errors import StaleLearning, UnknownLearning
from learning_stores import proposals
from learning_stores.admission import AT_ONCE, Admission
from learning_stores.commit import Fenced, commit
from learning_stores.correction import retract
from learning_stores.database import Database
from learning_stores.event_log import accept, accept_directly
from learning_stores.forgetting import forget
from learning_stores.forgetting_begin import target_of
from learning_stores.grounding import content_key
from learning_stores.learning_rows import Raced
from learning_stores.operations import Citation, Put
from learning_stores.place import Place as Where
from learning_stores.promotion import promote
from learning_stores.specs import SpecCache
from learning_stores.unprepared import prepare
from learning_stores.writing import write
from warm_python import warm_run

CORROBORATED = Admission(awaits="corroboration")
ROUNDS = int(os.environ.get("RACE_ROUNDS", "4"))
"""Of each seed: every order at least once. RACE_ROUNDS=50, of `make races`, makes two hundred in all."""
_CLASHES = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


@pytest.fixture
def scene(place: Place, dispatcher_db: Database, everything_db: Database) -> Iterator[Scene]:
    with Database(place.app_url, pool_size=12) as app:
        yield Scene(place, app, dispatcher_db, everything_db)


class Pauses:
    """Before some statements of some transactions, a moment in which others go on."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def pause(self, *_: Any) -> None:
        with self._lock:
            wait = self._random.random() < 0.04
            seconds = self._random.random() * 0.01
        if wait:
            threading.Event().wait(seconds)  # what is tested is what happens meanwhile

    def before(self, *_: Any) -> None:
        with self._lock:
            seconds = self._random.random() * 0.04
        threading.Event().wait(seconds)  # as above


@pytest.mark.parametrize("seed", [11, 12, 13, 14])
def test_given_all_kinds_of_writers_when_a_user_is_forgotten_beside_them_then_nothing_of_before_is_left_and_the_rest_lives(
    scene: Scene, seed: int
) -> None:
    pauses = Pauses(seed)
    for database in (scene.app, scene.dispatcher):
        database_events.listen(database.engine, "before_cursor_execute", pauses.pause)
    survived = 0
    with ThreadPoolExecutor(max_workers=12) as threads:
        for number in range(ROUNDS):
            survived += _Round(scene, f"{seed}x{number}", pauses, _ORDERS[number % 3]).run(threads)
    assert scene.traces(f"zq{seed}x") == {}
    assert 0 < survived < ROUNDS  # of the writes beside it some were before the forgetting, and some after


_ORDERS = ("free", "the tool writes after the beginning", "the tool writes before the beginning")


class _Round:
    def __init__(self, scene: Scene, name: str, pauses: Pauses, order: str = "free") -> None:
        self.order = order
        self.scene = scene
        self.user, self.other, self.word = f"gone-{name}", f"kim-{name}", f"zq{name}q"
        self.rule = f"Rule {name} pins the dependencies"
        self.pauses = pauses

    def run(self, threads: ThreadPoolExecutor) -> int:
        """One round; 1 where the tool's write was after the forgetting."""
        scene, user, word = self.scene, self.user, self.word
        scene.say(user, f"First {word} is here.")
        scene.learn("user_profile", user, memory(f"Knows {word}"))
        scene.learn("learned_knowledge", user, insight(word, self.rule), admission=CORROBORATED)
        scene.learn("entity_memory", user, entity(f"Thing {self.rule}", f"Has {word}", "Is shared"))
        scene.learn("session_context", user, lambda _: [])
        scene.say(self.other, f"{self.rule}. Thing {self.rule} is shared.")
        [proposal] = self._ids(self.rule)
        own = self._own_insight()
        scene.say(user, f"Second {word} is here.")
        works = [self._claimed(store) for store in ("user_profile", "learned_knowledge")]
        jobs: list[Callable[[], Any]] = [
            lambda: self._forget(),
            *(lambda work=work: self._committed(*work) for work in works),
            lambda: self._others("learned_knowledge", insight("Mine", self.rule), CORROBORATED),
            lambda: self._others("entity_memory", entity(f"Thing {self.rule}", "Is shared"), AT_ONCE),
            lambda: self._decided(lambda session: proposals.approve(session, "default", proposal, by="boss")),
            lambda: self._decided(lambda session: promote(session, "default", own, f"team-{self.rule}", by="boss")),
            lambda: self._late(),
            lambda: self._fallback(),
            lambda: self._written("tool"),
            lambda: self._written("import"),
            lambda: self._decided(lambda session: self._retracted(session)),
        ]
        futures = [threads.submit(self._later, job) for job in jobs]
        for future in futures:
            future.result(timeout=60)
        scene.dispatcher.run(None, prepare, SpecCache(), range(8))
        return self._check()

    def _later(self, job: Callable[[], Any]) -> None:
        self.pauses.before()
        job()

    def _repeated(self, work: Callable[[], Any]) -> None:
        """As workers do: a deadlock runs the same patch again."""
        for _ in range(20):
            try:
                work()
            except Raced:
                continue
            except DBAPIError as error:
                if not isinstance(error.orig, _CLASHES):
                    raise
            else:
                return
        raise AssertionError("deadlocks without end")

    def _wait_for(self, order: str, query: str) -> None:
        if self.order == order:
            eventually(lambda: rows(self.scene.everything, query, subject=f"user/{self.user}"), order)

    def _forget(self) -> None:
        query = "SELECT FROM learning.change WHERE subject = :subject AND action = 'said' AND origin = 'tool'"
        self._wait_for("the tool writes before the beginning", query)
        target = self.scene.app.run("default", target_of, "default", self.user, None, None)
        receipt = forget(self.scene.app, target)
        assert not any(receipt.found.values())

    def _claimed(self, store: str) -> tuple[str, Any, Any]:
        number = self.scene.mailbox(store, self.user)
        assert number is not None
        held = claim(self.scene.app, number)
        return store, held, window_of(self.scene.app, held)

    def _committed(self, store: str, held: Any, window: Any) -> None:
        """A model that answered slowly."""
        build = memory(f"Also {self.word}") if store == "user_profile" else insight(f"More {self.word}", self.rule)
        place = (
            Where(tenant="default", store=store, scope=held.scope, user_id=self.user)
            if store == "user_profile"
            else self._shared(store, self.user)
        )
        done = extraction(
            held, window, build(cited(window)), place=place, admission=CORROBORATED if place.namespace else AT_ONCE
        )
        with suppress(Fenced):
            self._repeated(lambda: self.scene.app.run("default", commit, held, done, keep=False))

    def _shared(self, store: str, user_id: str) -> Where:
        return Where(
            tenant="default",
            store=store,
            scope="namespace/global",
            namespace="global",
            user_id=user_id,
            session_id="s1",
        )

    def _others(self, store: str, build: Any, admission: Admission) -> None:
        self._repeated(lambda: self.scene.learn(store, self.other, build, admission=admission))

    def _decided(self, work: Callable[[Any], Any]) -> None:
        with suppress(UnknownLearning, StaleLearning):
            self._repeated(lambda: self.scene.app.run("default", work))

    def _retracted(self, session: Any) -> None:
        from sqlalchemy import text

        found = session.scalars(
            text("SELECT id FROM learning.learning WHERE user_id = :user AND status = 'active'"), {"user": self.user}
        ).first()
        if found is not None:
            retract(session, "default", found, by="boss")

    def _late(self) -> None:
        said = event(
            user_id=self.user, session_id="s1", messages=turn(f"Late {self.word}.", "Yes."), spec=ALL.spec_hash()
        )
        carried = {("default", ALL.spec_hash()): ALL}
        self._repeated(lambda: self.scene.dispatcher.run(None, accept, incoming(said), carried, SpecCache(), 8))

    def _fallback(self) -> None:
        said = event(
            user_id=self.user, session_id="s2", messages=turn(f"By another way {self.word}."), spec=ALL.spec_hash()
        )
        self._repeated(lambda: self.scene.app.run("default", accept_directly, incoming(said)[0], ALL, SpecCache(), 8))
        self._repeated(lambda: self.scene.dispatcher.run(None, prepare, SpecCache(), range(8)))

    def _written(self, origin: Any) -> None:
        if origin == "tool":
            query = "SELECT FROM learning.subject WHERE subject = :subject AND generation > 0"
            self._wait_for("the tool writes after the beginning", query)
        content = f"By {origin} for {self.user}"
        place = Where(tenant="default", store="user_profile", scope=f"user/{self.user}", user_id=self.user)
        said = Put(
            kind="memory",
            content=content,
            content_key=content_key(content),
            citations=(Citation(occurred_at=datetime.now(UTC)),),
        )
        self._repeated(
            lambda: self.scene.app.run("default", write, place, [said], AT_ONCE, origin=origin, action="said")
        )

    def _own_insight(self) -> UUID:
        """An insight in the user's own namespace."""
        scope = f"namespace/user/{self.user}"
        place = Where(tenant="default", store="learned_knowledge", scope=scope, namespace="user", user_id=self.user)
        said = insight(self.word, f"Own {self.word}")(Citation(occurred_at=datetime.now(UTC)))
        written = self.scene.app.run("default", write, place, said, AT_ONCE, origin="tool", action="save_learning")
        assert written.learning_ids[0] is not None
        return written.learning_ids[0]

    def _ids(self, content: str) -> list[UUID]:
        query = "SELECT id FROM learning.learning WHERE kind = 'insight' AND data ->> 'learning' = :content"
        return [row["id"] for row in rows(self.scene.everything, query, content=content)]

    def _check(self) -> int:
        scene, user = self.scene, self.user
        assert scene.tables_with(self.word) == set()
        [subject] = rows(
            scene.everything, "SELECT forgotten_at FROM learning.subject WHERE subject = :s", s=f"user/{user}"
        )
        at = subject["forgotten_at"]
        kept = rows(
            scene.everything,
            "SELECT v.added_at, v.event_id, l.content FROM learning.evidence v JOIN learning.learning l ON l.id = v.learning_id "
            "WHERE v.subject = :subject",
            subject=f"user/{user}",
        )
        assert all(each["added_at"] > at and each["event_id"] is None for each in kept), kept
        # What was written after it is there, and what was written before is not.
        written = rows(
            scene.everything,
            "SELECT id, changed_at FROM learning.change WHERE subject = :subject AND origin IN ('tool', 'import')",
            subject=f"user/{user}",
        )
        assert all(each["changed_at"] > at for each in written)
        assert {each["content"] for each in kept if each["content"].startswith("By ")} <= {
            f"By tool for {user}",
            f"By import for {user}",
        }
        assert sum(each["content"].startswith("By ") for each in kept) == len(written)
        unfounded = rows(
            scene.everything,
            "SELECT content FROM learning.learning l WHERE user_id = :user AND NOT EXISTS (SELECT FROM learning.evidence v "
            "WHERE v.learning_id = l.id AND v.added_at > :at)",
            user=user,
            at=at,
        )
        assert unfounded == []
        for table in ("conversation_event", "delivery", "mailbox", "extraction"):
            assert rows(scene.everything, f"SELECT * FROM learning.{table} WHERE subject = :s", s=f"user/{user}") == []
        # Somebody else's words are where they were.
        others = rows(
            scene.everything,
            "SELECT DISTINCT l.kind, l.content FROM learning.learning l JOIN learning.evidence v ON v.learning_id = l.id "
            "WHERE v.subject = :subject AND l.status <> 'retired' AND v.withdrawn_at IS NULL AND l.kind <> 'alias'",
            subject=f"user/{self.other}",
        )
        assert {each["kind"] for each in others} == {"insight", "fact"}, others
        named = rows(scene.everything, "SELECT name FROM learning.entity WHERE name = :name", name=f"Thing {self.rule}")
        assert len(named) == 1
        return int(any(each["content"].startswith("By tool") for each in kept))


def test_given_what_is_said_after_a_race_when_it_is_dated_beyond_the_tolerance_then_it_is_learned(scene: Scene) -> None:
    _Round(scene, "last", Pauses(1)).run(ThreadPoolExecutor(max_workers=12))
    scene.say("gone-last", "Now I like Rome.", id=later())
    scene.learn("user_profile", "gone-last", memory("Likes Rome"))
    assert "Likes Rome" in scene.contents()


_KILLED = """
import os, random, signal, sys
from sqlalchemy import event
from learning_stores.database import Database
from learning_stores.forgetting import forget
from learning_stores.forgetting_begin import target_of
import learning_stores.forgetting_learnings as learnings, learning_stores.forgetting_log as log
learnings.LEARNINGS_AT_ONCE = log.EVENTS_AT_ONCE = log.ROWS_AT_ONCE = 2
left = int(sys.argv[2])
def count(*_):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
with Database(sys.argv[1], pool_size=1) as database:
    event.listen(database.engine, "before_cursor_execute", count)
    target = database.run("default", target_of, "default", "gonzalo", None, None)
    forget(database, target)
"""


def test_given_a_forgetting_that_is_killed_again_and_again_when_it_is_asked_for_again_then_it_ends_with_the_same(
    scene: Scene,
) -> None:
    for number in range(12):
        scene.say("gonzalo", f"zorblax {number}", session_id=f"s{number % 3}")
        scene.learn("user_profile", "gonzalo", memory(f"Is at zorblax {number}"))
        scene.learn(
            "entity_memory",
            "gonzalo",
            entity(f"Zorblax {number % 4}", f"Has {number}", "Is shared"),
            session_id=f"s{number % 3}",
        )
    scene.say("kim", "Acme is shared.")
    scene.learn("entity_memory", "kim", entity("Acme", "Is shared"))
    choose = random.Random(5)
    killed = 0
    for _ in range(7):
        argv = ["-c", _KILLED, scene.place.app_url, str(choose.randrange(5, 120))]
        ended = warm_run(argv, env=scene.place.env, cwd=scene.place.directory, timeout=60)
        assert ended.returncode in (0, -signal.SIGKILL)
        killed += ended.returncode == -signal.SIGKILL
    assert killed >= 3

    scene.forget("gonzalo")

    assert scene.traces("gonzalo", "zorblax") == {}
    assert scene.contents() == {"Acme", "Is shared"}
    assert rows(scene.everything, "SELECT id FROM learning.forgetting WHERE finished_at IS NULL") == []
    [removed] = rows(scene.everything, "SELECT events, deliveries FROM learning.removed_count")
    assert removed == {"events": 12, "deliveries": 48}
    jobs = rows(scene.everything, "SELECT counts FROM learning.forgetting")
    assert sum(job["counts"].get("conversation_event", 0) for job in jobs) == 12
