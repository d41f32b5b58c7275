"""A curator that is killed before or after any of its steps is written: the next one ends with what one that lived leaves."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy.orm import Session

from harness import Place, rows
from integration.stores.past import Past, at, says
from integration.workers.curating import Curating
from learning_schemas.spec import MachineSpec, Prune, StoreSpec
from learning_stores.curator import deduplicate, prune
from learning_stores.curator.job import JobContext, Role, Step
from learning_stores.database import Database
from learning_stores.ledger import ledger
from learning_stores.undo import of_run
from learning_workers import trim
from learning_workers.intake import GROUP

USERS = ("ann", "ben", "cleo")


class Killed(BaseException):
    """The process is gone: nothing after this runs."""


class Death:
    """Ends the process at its n-th write: before it is written, or once it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writes, self.at, self.written = 0, 0, False
        commit = JobContext.commit

        def dying(context: JobContext, role: Role, work: Callable[[Session], Step]) -> Step:
            self.writes += 1
            if self.writes != self.at:
                return commit(context, role, work)
            if self.written:
                commit(context, role, work)
                raise Killed

            def and_dies(session: Session) -> Step:
                work(session)
                raise Killed

            return commit(context, role, and_dies)

        monkeypatch.setattr(JobContext, "commit", dying)


@pytest.fixture
def curating(place: Place, everything_db: Database) -> Iterator[Curating]:
    curating = Curating(place, everything_db, retention_days=0.5)
    yield curating
    curating.close()


@pytest.fixture
def past(app_db: Database, dispatcher_db: Database, everything_db: Database) -> Past:
    return Past(app_db, dispatcher_db, everything_db)


def remembered(past: Past) -> None:
    """Three users with two wordings of one thing each, and a third thing."""
    spec = MachineSpec(stores={"user_profile": StoreSpec(scope="user", debounce=0, prune=Prune(max_count=1))})
    for user in USERS:
        for minute, words in enumerate(("Likes tea, a lot", "Likes tea a lot", "Likes rye")):
            past.hear(says(words), user_id=user, occurred_at=at(minute), spec=spec)


def killed(curating: Curating, death: Death, job: str, store: str, tenant: str, at_write: int, written: bool) -> Any:
    """Run a job that is killed at a write, and then by another curator to its end; None where it has not so many writes."""
    death.writes, death.at, death.written = 0, at_write, written
    first = curating.curator(owner="first")
    asked = first.ask(job, tenant, store, by="test", dry_run=False)
    try:
        assert first.drive(asked).state == "done"
    except Killed:
        death.at = 0
        curating.change("UPDATE learning.curator_run SET lease_until = now() - interval '1 s' WHERE state = 'running'")
        curating.curator(owner="second").work(tenant, asked.id)
        (row,) = [each for each in curating.runs(job) if each["id"] == asked.id]
        return row
    return None


@pytest.mark.parametrize("written", [False, True], ids=["before it is written", "once it is written"])
@pytest.mark.parametrize("job", ["prune", "deduplicate"])
def test_given_a_curator_that_is_killed_at_each_write_then_the_next_one_changes_the_rest_once_and_undo_takes_all_of_it_back(
    past: Past, curating: Curating, monkeypatch: pytest.MonkeyPatch, job: str, written: bool
) -> None:
    monkeypatch.setattr(prune, "AT_ONCE", 1)
    monkeypatch.setattr(deduplicate, "AT_ONCE", 1)
    remembered(past)
    before = past.live()
    death = Death(monkeypatch)
    each_of_them = 2 if job == "prune" else 1
    at_write = 1
    while (row := killed(curating, death, job, "user_profile", "default", at_write, written)) is not None:
        assert (row["state"], row["looked_at"], row["changed"]) == ("done", 9, 3 * each_of_them), at_write
        assert len(past.live()) == 9 - 3 * each_of_them
        past.check()
        for change in past.app_db.run("default", of_run, "default", row["id"]):
            past.undo(change.id)
        assert past.live() == before
        past.check()
        # What an undo brought back the curator leaves alone: let it be as if it had never ended.
        curating.change("UPDATE learning.learning SET restores = NULL")
        curating.change(
            "DELETE FROM learning.evidence v USING learning.learning l WHERE l.id = v.learning_id AND l.status = 'retired'"
        )
        curating.change("UPDATE learning.learning SET replaced_by = NULL")
        curating.change("DELETE FROM learning.learning WHERE status = 'retired'")
        at_write += 1
    assert at_write > 3  # it was killed at several


@pytest.mark.parametrize("written", [False, True], ids=["before it is written", "once it is written"])
def test_given_a_curator_that_is_killed_at_each_write_when_it_removes_what_is_old_then_the_ledger_adds_up(
    past: Past, curating: Curating, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    death = Death(monkeypatch)
    at_write = 1
    while True:
        remembered(past)
        for row in rows(past.everything_db, "SELECT id FROM learning.conversation_event"):
            moved = {"old": row["id"], "new": UUID(int=row["id"].int - (400 * 86_400_000 << 80))}
            for table in ("delivery", "evidence", "session_message"):
                curating.change(f"UPDATE learning.{table} SET event_id = :new WHERE event_id = :old", **moved)
            curating.change(
                "UPDATE learning.conversation_event SET id = :new, accepted_at = accepted_at - interval '400 days' WHERE id = :old",
                **moved,
            )
        curating.change("UPDATE learning.delivery SET settled_at = settled_at - interval '400 days'")
        run = killed(curating, death, "retain", "", "default", at_write, written)
        with past.dispatcher_db.snapshot() as session:
            found = ledger(session)
        assert found.adds_up, (at_write, found.findings)
        assert (found.events.in_log, found.events.removed) == (0, {"retention": 9 * at_write})
        assert found.deliveries.removed == {"retention": 9 * at_write}
        if run is None:
            break
        assert (run["state"], run["report"]["events"], run["report"]["deliveries"]) == ("done", 9, 9)
        curating.change("DELETE FROM learning.evidence")
        curating.change("DELETE FROM learning.learning")
        at_write += 1
    assert at_write > 7  # one for each part at least


@pytest.mark.parametrize("written", [False, True], ids=["before it is written", "once it is written"])
def test_given_a_curator_that_is_killed_after_it_trimmed_a_stream_then_the_next_one_goes_on_and_nothing_pending_is_lost(
    place: Place, curating: Curating, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    monkeypatch.setattr(trim, "DEAD_MILLISECONDS", 0)
    stream = "learning:events:0"
    with redis.Redis.from_url(place.redis_url, decode_responses=True) as client:
        client.xgroup_create(stream, GROUP, id="0", mkstream=True)
        ids = [client.xadd(stream, {"n": str(number)}) for number in range(4)]
        client.xreadgroup(GROUP, "holding", {stream: ">"}, count=3)
        client.xack(stream, GROUP, ids[0])  # and not deleted
        client.xgroup_createconsumer(stream, GROUP, "dead")

        row = killed(curating, Death(monkeypatch), "trim", "", "", 1, written)

        assert (row["state"], row["looked_at"]) == ("done", 8)
        assert row["changed"] == (2 if written else 0)  # what Redis had done by then is not counted
        assert [each["name"] for each in client.xinfo_consumers(stream, GROUP)] == ["holding"]
        assert [entry for entry, _ in client.xrange(stream)] == ids[1:]
        assert client.xpending(stream, GROUP)["pending"] == 2
