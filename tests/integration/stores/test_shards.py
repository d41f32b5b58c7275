"""Shard leases: one reader a shard, and no late writer."""

from harness import rows
from learning_stores.database import Database
from learning_stores.shards import extend_shards, give_up_shards, holds_shards, take_shards


def test_given_free_shards_when_two_want_them_then_the_first_has_them(dispatcher_db: Database) -> None:
    held = dispatcher_db.run(None, take_shards, "first", range(4))
    assert set(held) == {0, 1, 2, 3}
    assert dispatcher_db.run(None, take_shards, "second", range(6)).keys() == {4, 5}
    assert dispatcher_db.run(None, extend_shards, held) == set(held)
    assert dispatcher_db.run(None, holds_shards, held)


def test_given_a_reader_that_stalled_when_another_took_over_then_it_holds_nothing_any_more(
    dispatcher_db: Database, everything_db: Database
) -> None:
    stalled = dispatcher_db.run(None, take_shards, "first", [0, 1])
    with everything_db.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE learning.shard_lease SET lease_until = now() - interval '1 s' WHERE shard = 0"
        )
    assert dispatcher_db.run(None, extend_shards, stalled) == {1}
    assert dispatcher_db.run(None, holds_shards, stalled)  # nobody took it yet
    taken = dispatcher_db.run(None, take_shards, "second", [0, 1])
    assert taken.keys() == {0}
    assert taken[0] > stalled[0]
    assert not dispatcher_db.run(None, holds_shards, stalled)
    dispatcher_db.run(None, give_up_shards, stalled)  # gives up its own alone
    found = rows(everything_db, "SELECT shard, owner FROM learning.shard_lease ORDER BY shard")
    assert found == [{"shard": 0, "owner": "second"}, {"shard": 1, "owner": None}]


def test_given_shards_that_were_given_up_when_another_wants_them_then_it_has_them_at_once(
    dispatcher_db: Database,
) -> None:
    held = dispatcher_db.run(None, take_shards, "first", [0])
    dispatcher_db.run(None, give_up_shards, held)
    assert dispatcher_db.run(None, take_shards, "second", [0]).keys() == {0}
