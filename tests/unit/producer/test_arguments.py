"""Arguments, checked."""

from typing import Any

import pytest

from learning_machine import ConfigurationError, InvalidArgument
from learning_machine.arguments import (
    checked_choice,
    checked_deadline,
    checked_hooks,
    checked_id,
    checked_number,
    checked_tokens,
)


def test_given_what_can_be_then_it_comes_back() -> None:
    assert checked_id("user_id", "alex@example.com") == "alex@example.com"
    assert checked_number("n", 0, 0, 1, "Give less") == 0
    assert checked_tokens("max_tokens", 50) == 50
    assert checked_deadline("deadline", 60) == 60
    assert checked_hooks([str.lower]) == (str.lower,)
    checked_choice("on_error", "raise", "degrade", "raise")


@pytest.mark.parametrize("refusal", [InvalidArgument, ConfigurationError])
def test_given_what_cannot_be_then_the_error_is_the_one_asked_for_and_never_holds_the_value(refusal: Any) -> None:
    with pytest.raises(refusal) as refused:
        checked_id("tenant", "private\n", refusal)
    assert str(refused.value).startswith("tenant: has a control character")
    assert "private" not in str(refused.value)
    with pytest.raises(refusal, match=r"seconds: is not between 0 and 1\. Give less"):
        checked_number("seconds", 731, 0, 1, "Give less", refusal)
    with pytest.raises(refusal, match="seconds: is str, not a number"):
        checked_number("seconds", "private", 0, 1, "Give less", refusal)


def test_given_an_unknown_word_then_the_known_ones_are_named() -> None:
    with pytest.raises(InvalidArgument, match=r"on_error: .*Use one of degrade, raise"):
        checked_choice("on_error", ["degrade"], "degrade", "raise")
