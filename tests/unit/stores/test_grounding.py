"""Quotes that hold and quotes that do not; equal statements; text that Postgres takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning_stores.grounding import content_key, fold, quote_holds, storable


@pytest.mark.parametrize(
    ("quote", "message"),
    [
        ("I work at Netflix", "Hi! I work at Netflix now."),
        ("i WORK at netflix", "I work at Netflix"),
        ("I’m a “night owl” person", 'I\'m a "night owl" person, really'),
        ("works\n at   home", "She works at home"),
        ("\uff2eetflix is my employer", "Netflix is my employer"),
        ("Yes", "yes"),
        ("Tea please", " tea  please "),
    ],
)
def test_given_words_that_are_in_the_message_when_quoted_then_they_hold(quote: str, message: str) -> None:
    assert quote_holds(quote, message)


@pytest.mark.parametrize(
    ("quote", "message"),
    [
        ("", ""),
        ("   ", "anything at all"),
        ("Netflix", "I work at Netflix"),
        ("at Netflix", "I work at Netflix"),
        ("I work at Disney", "I work at Netflix"),
        ("I work Netflix", "I work at Netflix"),
        ("\x00\x00\x00", "I work at Netflix"),
    ],
)
def test_given_words_that_are_not_or_too_few_when_quoted_then_they_do_not_hold(quote: str, message: str) -> None:
    assert not quote_holds(quote, message)


def test_given_statements_that_say_the_same_when_keyed_then_the_keys_are_equal() -> None:
    assert len({content_key(said) for said in ("Likes tea", "likes  tea.", "Likes tea!", "LIKES TEA")}) == 1
    assert content_key("Likes tea") != content_key("Likes coffee")
    assert fold("Straße") == fold("STRASSE")


def test_given_a_model_answer_with_what_postgres_refuses_when_made_storable_then_the_rest_of_it_stays() -> None:
    answer = {"na\x00me": ["a\x00b", {"deep": "c\ud800d"}, 1, None, True], "plain": "é 😀"}
    assert storable(answer) == {"name": ["ab", {"deep": "cd"}, 1, None, True], "plain": "é 😀"}


@given(st.text(st.characters(max_codepoint=0x7F)))
def test_given_any_plain_text_when_folded_then_the_short_way_gives_what_the_long_one_does(said: str) -> None:
    assert f"{fold(said)} é".strip() == fold(f"{said} é")
