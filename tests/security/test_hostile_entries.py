"""Entries of the streams that somebody forged: each is accepted, or rejected with its reason, and none holds up the next.

Who can write to the streams can write events of any tenant (docs/security.md): what such an entry cannot do is stop intake,
lose another's event, or be kept without a trace.
"""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis

from harness import Place, event, rows
from integration.stores.steps import SHARDS
from learning_schemas.ids import uuid7
from learning_schemas.scope import shard_of, stream_name, subject_of
from learning_stores.database import Database
from learning_stores.settings import ServiceSettings
from learning_stores.shards import take_shards
from learning_stores.specs import SpecCache
from learning_workers.intake import GROUP, Intake

VALID = json.loads(event(user_id="bob", session_id="s1").to_json())


def but(**values: Any) -> bytes:
    """A valid event's JSON with some values changed."""
    return json.dumps({**VALID, "id": str(uuid7()), **values}).encode()


def numbered(seq: Any, producer: Any = None) -> bytes:
    """An invalid event with this number."""
    return but(producer=str(uuid4()) if producer is None else producer, seq=seq, session_id="")


HOSTILE: dict[str, dict[str, bytes]] = {
    "no field": {"other": b"x"},
    "nothing": {"event": b""},
    "no JSON": {"event": b"{" * 50},
    "no text": {"event": b"\xff\xfe\x00\x80"},
    "a number": {"event": b"7"},
    "a list": {"event": b"[]"},
    "nested a hundred thousand deep": {"event": b"[" * 100_000},
    "metadata nested deeply": {"event": b'{"metadata":' * 300 + b"1" + b"}" * 300},
    "more than a megabyte": {"event": but(messages=[{"role": "user", "content": "x" * 1_100_000}])},
    "one line of almost a megabyte": {"event": but(messages=[{"role": "user", "content": "x " * 500_000}])},
    "2,001 messages": {"event": but(messages=[{"role": "user", "content": "x"}] * 2_001)},
    "not a number": {"event": but().replace(b'"v": 1', b'"v": 1, "metadata": {"x": NaN}')},
    "a number without end": {"event": but().replace(b'"v": 1', b'"v": 1, "metadata": {"x": 1e999}')},
    "a number of 5,000 digits": {
        "event": but().replace(b'"v": 1', b'"v": 1, "metadata": {"x": ' + b"9" * 5_000 + b"}")
    },
    "a lone surrogate": {"event": but(user_id="bob\ud800")},
    "a NUL in a text": {"event": but(messages=[{"role": "user", "content": "a\0b"}])},
    "a NUL in an id": {"event": but(user_id="bob\0")},
    "a NUL in the tenant": {"event": but(tenant="a\0b")},
    "an id that is no UUID": {"event": but(id="x" * 10_000)},
    "an id of version 4": {"event": but(id=str(uuid4()))},
    "an id of the year 9999": {"event": but(id="e677d21f-e000-7000-8000-000000000000")},
    "nobody": {"event": but(user_id=None, session_id=None)},
    "the wrong shard": {"event": but(user_id="somebody-else-entirely")},
    "a key of the user that fills a page": {"event": but(user_id="%" * 255, session_id="%" * 255, tenant="/" * 255)},
    "a number that is true": {"event": numbered(True)},
    "a number that is a text": {"event": numbered("1")},
    "a number beyond bigint": {"event": numbered(2**63)},
    "a number below one": {"event": numbered(-1)},
    "a number with a fraction": {"event": numbered(1.5)},
    "a producer that is none": {"event": numbered(1, "x")},
    "a producer that is a list": {"event": numbered(1, ["x"])},
    "a tenant that is an object": {"event": but(tenant={"a": 1})},
    "a user that is a number": {"event": but(user_id=7)},
    "a field that does not exist": {"event": but(admin=True)},
    "a name with escapes of a terminal": {"event": but(**{"\x1b[2J\0": 1})},
    "a spec that is no JSON": {"event": but(spec="a" * 64), "spec": b"{"},
    "a spec of another hash": {"event": but(spec="a" * 64), "spec": b'{"v":1,"stores":{}}'},
    "a spec nested deeply": {"event": but(spec="a" * 64), "spec": b'{"stores":' * 150 + b"1" + b"}" * 150},
    "a spec of ten megabytes": {"event": but(spec="a" * 64), "spec": b" " * 10_000_000},
    "a closing that is no JSON": {"closed": b"{"},
    "a closing with a number that is true": {"closed": json.dumps({"producer": str(uuid4()), "last": True}).encode()},
    "a closing of a megabyte": {"closed": b" " * 1_000_000},
}
ACCEPTED = {"one line of almost a megabyte"}


@pytest.fixture
def intake(place: Place) -> Iterator[Intake]:
    settings = ServiceSettings.load(dispatcher_database_url=place.dispatcher_url, redis_url=place.redis_url)
    with redis.Redis.from_url(place.redis_url) as client, Database(place.dispatcher_url) as database:
        yield Intake(client, database, SpecCache(), settings, "test")


def test_given_hostile_entries_among_valid_ones_when_they_are_taken_in_then_each_has_its_verdict_and_none_stays(
    place: Place, dispatcher_db: Database, everything_db: Database, intake: Intake
) -> None:
    shard = shard_of("default", subject_of("bob", None), SHARDS)
    stream = stream_name(shard)
    tokens = dispatcher_db.run(None, take_shards, "test", [shard])
    intake.take_over(shard)
    names: dict[str, str] = {}
    with redis.Redis.from_url(place.redis_url) as client:
        for name, fields in HOSTILE.items():
            names[client.xadd(stream, fields).decode()] = name  # type: ignore[arg-type]  # redis takes bytes
            client.xadd(stream, {"event": but()})
        while entries := intake.read([shard], block=1):
            intake.take_in(entries, tokens)
        assert client.xlen(stream) == 0
        assert client.xpending(stream, GROUP)["pending"] == 0
    rejected = rows(everything_db, "SELECT entry_id, field, reason, tenant FROM learning.rejected_event")
    assert {names[row["entry_id"]] for row in rejected} == HOSTILE.keys() - ACCEPTED
    for row in rejected:
        assert row["reason"].isprintable(), names[row["entry_id"]]
        assert len(row["reason"]) < 1_000, names[row["entry_id"]]
    [accepted] = rows(everything_db, "SELECT count(*) AS number FROM learning.conversation_event")
    assert accepted["number"] == len(HOSTILE) + len(ACCEPTED)


@pytest.mark.parametrize("name", ["a number that is true", "a key of the user that fills a page"])
def test_given_one_hostile_entry_alone_then_it_is_rejected_and_not_read_again(
    place: Place, dispatcher_db: Database, everything_db: Database, intake: Intake, name: str
) -> None:
    shard = shard_of("default", subject_of("bob", None), SHARDS)
    tokens = dispatcher_db.run(None, take_shards, "test", [shard])
    intake.take_over(shard)
    with redis.Redis.from_url(place.redis_url) as client:
        client.xadd(stream_name(shard), HOSTILE[name])  # type: ignore[arg-type]  # redis takes bytes
        intake.take_in(intake.read([shard], block=1), tokens)
        assert client.xpending(stream_name(shard), GROUP)["pending"] == 0
    assert len(rows(everything_db, "SELECT FROM learning.rejected_event")) == 1
