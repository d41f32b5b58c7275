"""The tree of errors."""

import inspect
import pickle
from typing import Any
from uuid import UUID

import pytest

from learning_schemas import errors
from learning_schemas.errors import (
    ConfigurationError,
    EventForgotten,
    InvalidArgument,
    InvalidEvent,
    LearningMachineError,
    NotAccepted,
    RecallFailed,
    SettleTimeout,
    TenantRequired,
)

EXAMPLES: list[LearningMachineError] = [
    ConfigurationError("redis_url", "is missing", "Set it"),
    TenantRequired(),
    InvalidEvent("user_id", "is missing", "Give it"),
    InvalidArgument("timeout", "is not a number", "Give seconds"),
    SettleTimeout(1.5, {"user_profile": "pending"}, "OperationalError: gone"),
    EventForgotten(UUID(int=7), 1.5),
    RecallFailed("PoolTimeout"),
]


def test_given_every_error_then_it_is_in_the_tree_and_drawn_there() -> None:
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if kind.__module__ == errors.__name__:
            assert issubclass(kind, LearningMachineError)
            assert name in (errors.__doc__ or "")


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_given_an_error_when_it_passes_between_processes_then_it_says_and_holds_the_same(error: Any) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error)
    assert str(again) == str(error) != ""
    assert again.__dict__ == error.__dict__


def test_given_not_accepted_then_it_carries_the_event_and_names_the_causes() -> None:
    from harness import event

    given = event(producer=UUID(int=7), seq=3)
    error = pickle.loads(pickle.dumps(NotAccepted(given, {"redis": "down", "postgres": "down too"})))

    assert error.event == given
    assert error.causes == {"redis": "down", "postgres": "down too"}
    assert str(given.id) in str(error)
    assert "emit_event" in str(error)


def test_given_the_errors_for_bad_values_then_they_are_value_errors_and_the_time_out_is_one() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(InvalidEvent, ValueError)
    assert issubclass(InvalidArgument, ValueError)
    assert issubclass(SettleTimeout, TimeoutError)
    assert "no delivery has appeared yet" in str(SettleTimeout(2, {}))
