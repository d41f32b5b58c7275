"""Writers of the same statements at the same moment, each step steered: nobody deadlocks, nothing is lost or lives twice."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from harness import eventually, rows
from learning_schemas.ids import uuid7
from learning_stores import attempts
from learning_stores.admission import AT_ONCE, Admission
from learning_stores.applying import apply
from learning_stores.attempts import attempted
from learning_stores.database import Database
from learning_stores.grounding import content_key
from learning_stores.insight import insight_put
from learning_stores.learning_rows import Raced
from learning_stores.operations import Citation, Operation, Provenance, Put, Retire
from learning_stores.place import Place
from learning_stores.promotion import promote

T = TypeVar("T")

OURS = Place(tenant="default", store="user_profile", scope="user/alice", user_id="alice")


def team(name: str) -> Place:
    """A team's insights."""
    return Place(
        tenant="default", store="learned_knowledge", scope=f"namespace/{name}", user_id="alice", namespace=name
    )


def cited(scene: "Scene") -> tuple[Citation, ...]:
    """The user's words, of now."""
    return (Citation(event_id=uuid7(), message=0, quote="I said so", user_id="alice", occurred_at=scene.now()),)


class Scene:
    """Writers in threads, and what the database says of them."""

    def __init__(self, app_db: Database, everything_db: Database, pool: ThreadPoolExecutor) -> None:
        self.app_db, self.everything_db, self.pool = app_db, everything_db, pool

    def now(self) -> Any:
        return rows(self.everything_db, "SELECT clock_timestamp() AS now")[0]["now"]

    def memory(self, content: str, **values: Any) -> Put:
        return Put(kind="memory", content=content, content_key=content_key(content), citations=cited(self), **values)

    def insight(self) -> Put:
        return insight_put(title="CI", learning="Retry once", context=None, tags=(), fields=None, citations=cited(self))

    def apply(
        self,
        *operations: Operation,
        place: Place = OURS,
        admission: Admission = AT_ONCE,
        session: Session | None = None,
    ) -> dict[str, int]:
        """As one patch, once: what the operations clash with is raised."""
        source = Provenance(place=place, made_by=uuid7())
        if session is not None:
            return dict(apply(session, source, operations, admission).changes)
        return dict(self.app_db.run("default", apply, source, operations, admission).changes)

    def start(self, work: Callable[..., T], *args: Any, **options: Any) -> Future[T]:
        return self.pool.submit(work, *args, **options)

    @contextmanager
    def meanwhile(self) -> Iterator[Session]:
        """Another writer's transaction, which the block ends."""
        with self.app_db.transaction("default") as session:
            yield session

    def until_waiting(self, writers: int, *, or_done: Future[Any] | None = None) -> None:
        waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        eventually(
            lambda: len(rows(self.everything_db, waiting)) >= writers or (or_done is not None and or_done.done()),
            f"{writers} writers that wait",
        )

    def contents(self, status: str) -> list[str]:
        query = "SELECT content FROM learning.learning WHERE status = :status ORDER BY live_from, id"
        return [row["content"] for row in rows(self.everything_db, query, status=status)]

    def id_of(self, content: str) -> Any:
        return rows(self.everything_db, "SELECT id FROM learning.learning WHERE content = :c", c=content)[0]["id"]


@pytest.fixture
def scene(app_db: Database, everything_db: Database) -> Iterator[Scene]:
    with ThreadPoolExecutor(4) as pool:
        yield Scene(app_db, everything_db, pool)


def test_given_two_writers_of_the_same_statements_in_opposite_order_when_both_write_then_neither_has_to_write_again(
    scene: Scene,
) -> None:
    with scene.meanwhile() as other:
        scene.apply(scene.memory("Likes milk"), session=other)
        first = scene.start(scene.apply, *map(scene.memory, ("Likes tea", "Likes milk", "Likes rye")))
        scene.until_waiting(1)
        second = scene.start(scene.apply, *map(scene.memory, ("Likes rye", "Likes tea")))
        scene.until_waiting(2, or_done=second)
        other.rollback()
    assert sum((first.result().get("added", 0), second.result().get("added", 0))) == 3
    assert sorted(scene.contents("active")) == ["Likes milk", "Likes rye", "Likes tea"]


def test_given_a_statement_that_others_made_and_took_back_meanwhile_when_written_then_it_never_lived_twice_at_once(
    scene: Scene,
) -> None:
    def state_and_take_back() -> None:
        scene.apply(scene.memory("Likes tea"))
        scene.apply(Retire(learning_id=scene.id_of("Likes tea"), citations=cited(scene)))

    with scene.meanwhile() as other:
        scene.apply(scene.memory("Likes milk"), session=other)
        late = scene.start(scene.apply, *map(scene.memory, ("Likes milk", "Likes tea")))
        scene.until_waiting(1)
        meanwhile = scene.start(state_and_take_back)
        scene.until_waiting(2, or_done=meanwhile)
        other.rollback()
    late.result()
    meanwhile.result()
    overlapping = """
        SELECT FROM learning.learning a JOIN learning.learning b ON a.content_key = b.content_key AND a.id < b.id
        WHERE tstzrange(a.live_from, a.retired_at) && tstzrange(b.live_from, b.retired_at)"""
    assert rows(scene.everything_db, overlapping) == []


def test_given_a_successor_that_is_replaced_while_it_is_waited_for_when_retracted_then_the_newest_is_retired(
    scene: Scene,
) -> None:
    scene.apply(scene.memory("Likes tea"))
    first = scene.id_of("Likes tea")
    scene.apply(scene.memory("Likes green tea", replaces=first))
    with scene.meanwhile() as other:
        newest = scene.memory("Likes jasmine tea", replaces=scene.id_of("Likes green tea"))
        scene.apply(newest, session=other)
        retraction = scene.start(scene.apply, Retire(learning_id=first, citations=cited(scene)))
        scene.until_waiting(1)
        other.commit()
    assert retraction.result() == {"retired": 1}
    assert scene.contents("active") == []


def test_given_an_insight_that_a_tool_is_saving_when_a_conversation_says_it_too_then_no_proposal_is_left_beside_it(
    scene: Scene,
) -> None:
    with scene.meanwhile() as tool:
        scene.apply(scene.insight(), place=team("x"), session=tool)
        said = scene.start(scene.apply, scene.insight(), place=team("x"), admission=Admission(awaits="corroboration"))
        scene.until_waiting(1, or_done=said)
        tool.commit()
    assert said.result() == {"confirmed": 1}
    assert (len(scene.contents("active")), scene.contents("proposed")) == (1, [])


def test_given_equal_insights_of_two_teams_when_each_is_promoted_to_the_other_at_once_then_neither_waits_for_a_deadlock(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "TRIES", 1)
    for name in ("x", "y"):
        scene.apply(scene.insight(), place=team(name))
    ids = rows(scene.everything_db, "SELECT id FROM learning.learning ORDER BY scope")
    with scene.meanwhile() as other:  # holds both up when they have locked what they promote
        other.execute(text("LOCK TABLE learning.change IN SHARE MODE"))
        promotions = [
            scene.start(scene.app_db.run, "default", promote, "default", row["id"], to, by="ann")
            for row, to in zip(ids, ("y", "x"), strict=True)
        ]
        scene.until_waiting(2)
        other.rollback()
    assert [promotion.result().namespace for promotion in promotions] == ["y", "x"]


def test_given_a_clash_within_an_attempt_when_it_is_repeated_then_the_whole_attempt_is_and_its_locks_are_given_back(
    app_db: Database,
) -> None:
    calls: list[str] = []

    def inner() -> str:
        calls.append("inner")
        if len(calls) < 4:
            raise Raced("memory")
        return "written"

    def outer() -> str:
        calls.append("outer")
        return attempted(session, inner)

    with app_db.transaction("default") as session:
        assert attempted(session, outer) == "written"
    assert calls == ["outer", "inner"] * 2
