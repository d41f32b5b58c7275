"""Entries as they are sent; the rest of emitting is tested against real servers."""

from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from harness import event
from learning_machine import ConversationCompleted, InvalidEvent, LearningMachine
from learning_machine.emitter import told
from learning_schemas.scope import shard_of, stream_name


def test_given_an_event_without_a_number_then_its_body_is_the_numbered_event(
    machine_of: Callable[..., LearningMachine],
) -> None:
    given = event(metadata={"a": "}"})

    emitter = machine_of()._emitter
    entry = emitter._entry(given)

    assert ConversationCompleted.from_json(entry.body) == entry.numbered()
    assert entry.producer == emitter.numbering.producer
    assert entry.stream == stream_name(shard_of("default", "user/alice"))


def test_given_an_event_with_a_number_then_it_keeps_it(machine_of: Callable[..., LearningMachine]) -> None:
    given = event(producer=UUID(int=7), seq=3)

    entry = machine_of()._emitter._entry(given)

    assert (entry.producer, entry.seq, entry.body) == (UUID(int=7), 3, given.to_json())


def test_given_an_event_over_the_configured_limit_then_it_is_refused(
    machine_of: Callable[..., LearningMachine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARNING_MAX_EVENT_BYTES", "1024")
    monkeypatch.setenv("LEARNING_SHARDS", "1")
    machine = machine_of()

    assert machine._emitter._entry(event()).stream == "learning:events:0"
    with pytest.raises(InvalidEvent, match="over the limit of 1,024"):
        machine._emitter._entry(event(metadata={"a": "x" * 1024}))


def test_given_a_failure_then_it_is_told_in_one_short_line_of_the_driver() -> None:
    error = OperationalError("SELECT secret", {}, psycopg.OperationalError("gone\nDETAIL: private"))

    assert told(error) == "OperationalError: gone"
    assert told(TimeoutError()) == "TimeoutError: no detail"
    assert len(told(OSError("x" * 1_000))) == 200
