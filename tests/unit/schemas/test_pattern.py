"""Patterns of users' schemas: linear time, pydantic's dialect."""

import pytest

from learning_schemas.pattern import UnusablePattern, check_pattern, matches


@pytest.mark.timeout(10)
def test_given_a_pattern_that_backtracks_without_end_elsewhere_then_it_answers() -> None:
    assert not matches("^(a+)+$", "a" * 10_000 + "!")


def test_given_pydantics_dialect_then_it_is_understood_and_found_anywhere() -> None:
    assert matches(r"^\p{L}+$", "Zoë")
    assert not matches(r"^\p{L}+$", "Zoë 1")
    assert matches("b", "abc")


@pytest.mark.parametrize("pattern", ["(", "(?=a)", r"(a)\1", "(?:a{1000}){1000}{1000}", 5, None])
def test_given_what_the_engine_does_not_take_then_it_is_unusable(pattern: object) -> None:
    with pytest.raises(UnusablePattern):
        check_pattern(pattern)
