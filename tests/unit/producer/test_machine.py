"""Making a machine, and what it refuses before it asks any server."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from harness import event, turn
from learning_machine import (
    ConfigurationError,
    InvalidArgument,
    InvalidEvent,
    LearningMachine,
    Receipt,
    SessionContextConfig,
    TenantRequired,
)
from learning_schemas.event import ConversationCompleted

Make = Callable[..., LearningMachine]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"user_profile": "yes"}, "user_profile"),
        ({"user_profile": 1}, "user_profile"),
        ({"user_profile": 0}, "user_profile"),
        ({"user_profile": SessionContextConfig()}, "user_profile"),
        ({"user_profile": False}, "stores"),
        ({"name": ""}, "name"),
        ({"model": " m"}, "model"),
        ({"tenant": ""}, "tenant"),
        ({"tenant": 5}, "tenant"),
        ({"tenant": "a\u202eb"}, "tenant"),
        ({"redis_url": "localhost"}, "redis_url"),
        ({"redis_url": "http://localhost"}, "redis_url"),
        ({"redis_url": "redis://:pa/ss@h:1/0"}, "redis_url"),
        ({"redis_url": "redis://h/0?no_such_option=1"}, "redis_url"),
        ({"redis_url": "redis://h/0?db=x"}, "redis_url"),
        ({"redis_url": " "}, "redis_url"),
        ({"database_url": "x"}, "database_url"),
        ({"database_url": "mysql://u:hunter2@h/x"}, "database_url"),
        ({"redaction_hooks": 5}, "redaction_hooks"),
        ({"redaction_hooks": str.lower}, "redaction_hooks"),
        ({"redaction_hooks": ["lower"]}, "redaction_hooks"),
        ({"recall_deadline": 0}, "recall_deadline"),
        ({"recall_deadline": math.nan}, "recall_deadline"),
        ({"recall_tokens": "many"}, "recall_tokens"),
        ({"recall_tokens": 10}, "recall_tokens"),
    ],
)
def test_given_an_argument_that_cannot_be_then_the_machine_is_not_made_and_the_error_names_it(
    machine_of: Make, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        machine_of(**options)

    assert refused.value.field == field
    assert refused.value.remedy
    assert "hunter2" not in str(refused.value)
    assert "'pa'" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["rediss://h:6380/1", "unix:///run/redis.sock?db=2", "redis://u:p@h/0?max_connections=5"]
)
def test_given_any_kind_of_redis_url_then_a_machine_is_made_without_connecting(machine_of: Make, url: str) -> None:
    assert machine_of(redis_url=url).tenant == "default"


def test_given_no_addresses_at_all_then_the_error_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, machine_of: Make
) -> None:
    with pytest.raises(ConfigurationError, match=r"LEARNING_DATABASE_URL .*learning-machine up"):
        LearningMachine()


@pytest.mark.parametrize(
    ("variable", "argument", "seconds"), [(None, None, 0.5), ("2", None, 2.0), ("2", 0.1, 0.1), (None, 3, 3)]
)
def test_given_a_deadline_of_recall_then_the_argument_comes_before_the_variable_and_that_before_the_default(
    machine_of: Make,
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    argument: float | None,
    seconds: float,
) -> None:
    monkeypatch.delenv("LEARNING_RECALL_DEADLINE", raising=False)
    if variable is not None:
        monkeypatch.setenv("LEARNING_RECALL_DEADLINE", variable)

    machine = machine_of(recall_deadline=argument)

    assert machine._request(None, "a", None, None, None, None, "overlay", None, "degrade").deadline == seconds
    assert machine._request(None, "a", None, None, 7, None, "overlay", None, "degrade").deadline == 7


@pytest.mark.parametrize("seconds", ["0", "61", "nan", "soon"])
def test_given_a_variable_that_is_no_deadline_of_recall_then_the_machine_is_not_made_and_the_error_names_it(
    machine_of: Make, monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    monkeypatch.setenv("LEARNING_RECALL_DEADLINE", seconds)

    with pytest.raises(ConfigurationError, match="LEARNING_RECALL_DEADLINE"):
        machine_of()


def test_given_a_machine_that_requires_a_tenant_then_a_call_without_one_is_refused(machine_of: Make) -> None:
    machine = machine_of(require_tenant=True)

    with pytest.raises(TenantRequired, match="for_tenant"):
        machine.emit(turn("hi"), user_id="a", session_id="s")
    with pytest.raises(TenantRequired):
        machine.recall(user_id="a")
    assert machine.for_tenant("acme").tenant == "acme"


def test_given_a_view_of_another_tenant_then_it_shares_everything_else(machine_of: Make) -> None:
    machine = machine_of(tenant="acme")
    view = machine.for_tenant("other")

    assert (machine.tenant, view.tenant) == ("acme", "other")
    assert view.spec is machine.spec
    assert view._emitter is machine._emitter
    assert type(view) is LearningMachine
    with pytest.raises(InvalidArgument, match="tenant: "):
        machine.for_tenant(" x")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": 5}, "user_id"),
        ({"user_id": "a", "session_id": "s\n"}, "session_id"),
        ({"user_id": "a", "max_tokens": 1}, "max_tokens"),
        ({"user_id": "a", "max_tokens": "x"}, "max_tokens"),
        ({"user_id": "a", "max_tokens": 100.5}, "max_tokens"),
        ({"user_id": "a", "max_tokens": True}, "max_tokens"),
        ({"user_id": "a", "deadline": 0}, "deadline"),
        ({"user_id": "a", "deadline": math.nan}, "deadline"),
        ({"user_id": "a", "deadline": math.inf}, "deadline"),
        ({"user_id": "a", "on_error": "ignore"}, "on_error"),
    ],
)
def test_given_an_argument_of_recall_that_cannot_be_then_it_is_named(
    machine_of: Make, arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        machine_of().recall(**arguments)

    assert refused.value.argument == named


@pytest.mark.parametrize("timeout", [-1, math.nan, math.inf, "x", None, True])
def test_given_a_time_out_that_cannot_be_then_settle_refuses(machine_of: Make, timeout: Any) -> None:
    sent = event()
    receipt = Receipt(
        event_id=sent.id, tenant="default", user_id="a", session_id="s", via="stream", producer=sent.id, seq=1
    )

    with pytest.raises(InvalidArgument, match="timeout: "):
        machine_of().settle(receipt, timeout=timeout)


def test_given_what_is_no_receipt_or_no_event_then_it_is_refused(machine_of: Make) -> None:
    no_receipt: Any = "receipt"
    with pytest.raises(InvalidArgument, match="receipt: is str"):
        machine_of().settle(no_receipt)
    with pytest.raises(InvalidArgument, match="event: is str"):
        machine_of().emit_event(no_receipt)


def test_given_an_event_of_another_configuration_then_it_is_not_sent_under_a_wrong_spec(machine_of: Make) -> None:
    other = machine_of(name="other")
    with pytest.raises(InvalidEvent, match="spec: is of a machine that is configured otherwise"):
        machine_of().emit_event(event(spec=other.spec.spec_hash()))


def test_given_an_event_about_nobody_then_it_is_refused(machine_of: Make) -> None:
    about_nobody: ConversationCompleted = event(user_id=None, session_id=None)
    with pytest.raises(InvalidEvent, match="user_id: neither it nor session_id"):
        machine_of().emit_event(about_nobody)


def test_given_the_name_of_a_store_that_the_machine_does_not_have_then_the_error_names_those_that_it_has(
    machine_of: Make,
) -> None:
    machine = machine_of()

    assert machine._store("user_profile").name == "user_profile"
    with pytest.raises(InvalidArgument, match=r"store: .*It has user_profile, session_context"):
        machine._store("entity_memory")


def test_given_no_entity_memory_when_an_entity_is_asked_for_then_the_store_is_named_and_how_to_have_it(
    machine_of: Make,
) -> None:
    for ask in (machine_of().entity, machine_of().search_entities):
        with pytest.raises(
            InvalidArgument, match=r"^entity_memory: is not a store of this machine.*entity_memory=True"
        ):
            ask("Acme")
