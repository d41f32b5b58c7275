"""What a transaction counted is told once it has committed, and never where it was rolled back."""

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from harness import Place, event, turn
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores import mailbox
from learning_stores.database import Database
from learning_stores.deliveries import Settlement, settle_deliveries
from learning_stores.event_log import Incoming, accept, accept_directly
from learning_stores.shards import take_shards
from learning_stores.specs import SpecCache
from learning_stores.tally import Tally, count
from learning_stores.unprepared import prepare

SPEC = MachineSpec(stores={"user_profile": StoreSpec(scope="user", debounce=0)})


class Ear:
    """Hears what is committed."""

    def __init__(self) -> None:
        self.heard: list[Tally | None] = []

    def __call__(self, tally: Tally | None) -> None:
        self.heard.append(tally)

    @property
    def counts(self) -> Counter[tuple[str, ...]]:
        """All of it."""
        return sum((each.counts for each in self.heard if each is not None), Counter())


def arrived(**values: Any) -> Incoming:
    return Incoming(event=event(spec=SPEC.spec_hash(), **values), via=values.pop("via", "stream"), body_bytes=1)


def take_in(database: Database, *batch: Incoming) -> None:
    carried = {each.spec_key: SPEC for each in batch}
    database.run(None, accept, list(batch), carried, SpecCache(), 8)


def test_given_a_transaction_when_it_commits_then_its_counts_are_told_and_when_it_fails_they_are_not(
    place: Place,
) -> None:
    ear = Ear()
    with Database(place.dispatcher_url, on_commit=ear) as database:

        def fail(session: Session) -> None:
            count(session, "accepted", "stream")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            database.run(None, fail)
        assert ear.heard == []
        with database.transaction():
            pass
        assert ear.heard == [None]
        with database.transaction() as session:
            count(session, "accepted", "stream", number=2)
            count(session, "accepted", "stream")
    assert ear.counts == {("accepted", "stream"): 3}


def test_given_events_when_taken_in_then_new_ones_are_counted_once_with_what_is_skipped_and_was_redacted(
    place: Place,
) -> None:
    ear = Ear()
    with Database(place.dispatcher_url, on_commit=ear) as database:
        secret = turn("My key is [redacted: api key] and [redacted: password], not [redacted: my own].")
        first = arrived(messages=secret)
        take_in(database, first)
        take_in(database, first)  # a duplicate
        take_in(database, arrived(messages=secret, history="full"))  # nothing new in it
        take_in(database, arrived(messages=turn("Hello there."), user_id=None))  # no user, whom the store needs
    assert ear.counts == {
        ("accepted", "stream"): 3,
        ("redacted", "api key"): 1,
        ("redacted", "password"): 1,
        ("settled", "user_profile", "skipped"): 2,
    }


def test_given_an_event_that_came_by_the_fallback_when_its_deliveries_are_made_then_it_counts_by_its_way(
    place: Place, app_db: Database
) -> None:
    ear = Ear()
    incoming = Incoming(event=event(spec=SPEC.spec_hash()), via="spool", body_bytes=1)
    app_db.run("default", accept_directly, incoming, SPEC, SpecCache(), 8)
    with Database(place.dispatcher_url, on_commit=ear) as database:
        for _ in range(2):
            database.run(None, prepare, SpecCache(), list(range(8)))
    assert ear.counts == {("accepted", "spool"): 1}


def test_given_a_lost_workers_mailbox_and_a_lost_dispatchers_shards_when_taken_over_then_each_is_counted(
    place: Place, everything_db: Database
) -> None:
    ear = Ear()
    with (
        Database(place.dispatcher_url, on_commit=ear) as dispatcher,
        Database(place.app_url, on_commit=ear) as worker,
    ):
        dispatcher.run(None, take_shards, "first", range(8))
        take_in(dispatcher, arrived())
        with everything_db.engine.connect() as connection:
            box = connection.execute(text("SELECT id FROM learning.mailbox")).scalar_one()
        worker.run("default", mailbox.claim, "default", box, "first")
        assert ("mailbox taken over", "user_profile") not in ear.counts
        assert ("shard taken over",) not in ear.counts
        with everything_db.engine.begin() as connection:
            connection.execute(text("UPDATE learning.mailbox SET lease_until = now() - interval '1 s'"))
            connection.execute(
                text("UPDATE learning.shard_lease SET lease_until = now() - interval '1 s' WHERE shard < 3")
            )
        worker.run("default", mailbox.claim, "default", box, "second")
        dispatcher.run(None, take_shards, "second", range(8))
    assert ear.counts["mailbox taken over", "user_profile"] == 1
    assert ear.counts["shard taken over",] == 3


def test_given_deliveries_that_are_settled_when_counted_then_the_dead_have_their_reason_and_replays_no_lag(
    place: Place, everything_db: Database
) -> None:
    ear = Ear()
    with Database(place.dispatcher_url) as dispatcher, Database(place.app_url, on_commit=ear) as worker:
        events = [arrived() for _ in range(3)]
        take_in(dispatcher, *events)
        ids = [each.event.id for each in events]
        with everything_db.engine.begin() as connection:
            connection.execute(text("UPDATE learning.delivery SET generation = 2 WHERE event_id = :id"), {"id": ids[2]})
        settlements = [
            Settlement(event_id=ids[0], generation=1, state="nothing_found"),
            Settlement(event_id=ids[1], generation=1, state="dead", reason="crashes"),
            Settlement(event_id=ids[2], generation=2, state="nothing_found"),
        ]
        assert worker.run("default", settle_deliveries, "default", "user_profile", None, settlements)
    assert ear.counts == {
        ("settled", "user_profile", "nothing_found"): 2,
        ("settled", "user_profile", "dead"): 1,
        ("dead", "user_profile", "crashes"): 1,
    }
    [told] = ear.heard
    assert told is not None
    assert told.recallable == [("user_profile", ids[0])]
