"""What a producer says when it closes, taken in by a real dispatcher."""

from uuid import UUID

import redis

from harness import Place, Processes, eventually, rows, turn
from learning_schemas.closing import ProducerClosed
from learning_schemas.scope import DEFAULT_SHARDS, stream_name
from learning_stores.database import Database


def test_given_closings_then_the_greatest_number_is_kept_and_one_that_cannot_be_read_is_rejected_and_all_leave_the_stream(
    place: Place, processes: Processes, everything_db: Database
) -> None:
    processes.dispatcher()
    with place.machine() as machine:
        receipts = [machine.emit(turn("hi"), user_id=f"user-{number}", session_id="s1") for number in range(5)]
    late, lost = receipts[0].producer, UUID(int=7)
    with redis.Redis.from_url(place.redis_url) as client:
        for closed in (ProducerClosed(producer=late, last=2), ProducerClosed(producer=lost, last=9)):
            client.xadd(stream_name(1), {"closed": closed.to_json()})
        client.xadd(stream_name(1), {"closed": '{"producer": "x"}'})

        def is_taken_in() -> bool:
            left = sum(client.xlen(stream_name(shard)) for shard in range(DEFAULT_SHARDS))
            return left == 0 and len(rows(everything_db, "SELECT id FROM learning.conversation_event")) == 5

        eventually(is_taken_in, "every entry is taken in")

    found = rows(everything_db, "SELECT producer, highest, received, last_reported FROM learning.producer_seq")
    assert {(row["producer"], row["highest"], row["received"], row["last_reported"]) for row in found} == {
        (late, receipts[-1].seq, 5, receipts[-1].seq),
        (lost, 0, 0, 9),
    }
    [rejected] = rows(everything_db, "SELECT stream, field FROM learning.rejected_event")
    assert (rejected["stream"], rejected["field"]) == (stream_name(1), "closed.producer")
