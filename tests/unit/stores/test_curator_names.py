"""Which names are near, and which particulars a statement must keep."""

from uuid import UUID

import pytest

from learning_stores.curator.name_pairs import Named, name_pairs, normal_name
from learning_stores.curator.particulars import has_capitals, is_negated, keeps_particulars


def near(*entities: tuple[str, ...], kinds: tuple[str, ...] = ()) -> set[tuple[str, str, str]]:
    """The pairs among these, by their own names, and why."""
    made = [
        Named(id=UUID(int=number), type=kinds[number] if kinds else "company", names=names)
        for number, names in enumerate(entities)
    ]
    return {(entities[a.a.int][0], entities[a.b.int][0], a.why) for a in name_pairs(made)}


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (("Coca-Cola, Inc.",), ("Coca Cola Inc",), "equal"),
        (("Node.js",), ("NodeJS",), "equal"),
        (("Acme",), ("Acme Corporation",), "words"),
        (("Acme Corp",), ("Acme Inc.",), "words"),
        (("Acme S.A.",), ("Acme AG",), "words"),
        (("Tiffany & Co.",), ("Tiffany, LLC",), "words"),
        (("Henkel GmbH & Co. KG",), ("Henkel Ltd",), "words"),
        (("Acme Corp",), ("Acme Holding Inc",), "words"),
        (("International Business Machines Corp.",), ("IBM",), "initials"),
        (("International Business Machines",), ("IBM",), "initials"),
        (("Jonathan Lee",), ("Johnathan Lee",), "letters"),
        (("Robert", "Bobby"), ("Bob", "Bobby"), "alias"),
    ],
)
def test_given_two_near_names_when_compared_then_they_are_a_pair_for_the_strongest_reason(
    one: tuple[str, ...], other: tuple[str, ...], why: str
) -> None:
    assert near(one, other) == {(one[0], other[0], why)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Server 1", "Server 2"),
        ("GPT-4", "GPT-4.1"),
        ("C", "C++"),
        ("Acme", "Globex"),
        ("Python 3.1", "Python 31"),
        ("Acme Corporation", "Apex Corporation"),  # what they share is their form
        ("Area 51 Ltd", "Area 52 Ltd"),
        ("AG", "SA"),
    ],
)
def test_given_names_of_two_things_when_compared_then_they_are_no_pair(one: str, other: str) -> None:
    assert near((one,), (other,)) == set()


def test_given_two_types_when_compared_then_equal_names_are_no_pair() -> None:
    assert near(("Apple",), ("Apple",), kinds=("company", "fruit")) == set()


def test_given_a_word_that_many_names_have_when_compared_then_it_makes_no_pair_and_each_has_a_bounded_number() -> None:
    many = [(f"Team {chr(97 + number // 26)}{chr(97 + number % 26)}x",) for number in range(400)]
    found = near(*many, ("Team",))
    assert not any(why == "words" for _, _, why in found)
    assert len(found) <= 10 * 401


def test_given_nothing_but_punctuation_when_normalised_then_the_name_stays() -> None:
    assert normal_name("...") == "..."


SOURCES = ["Works at Netflix since 2021", 'Calls his cat "Mimi the Great"', "Has two sisters"]


@pytest.mark.parametrize(
    ("statement", "keeps"),
    [
        ('Works at Netflix since 2021, has two sisters, and calls his cat "Mimi the Great"', True),
        ('works at netflix since 2021, has two sisters and calls his cat "mimi the great"', True),
        ('Works at Netflix since 2022, has two sisters, and calls his cat "Mimi the Great"', False),
        ('Works at Netflix, has two sisters, and calls his cat "Mimi the Great"', False),
        ('Works at Hulu since 2021, has two sisters, and calls his cat "Mimi the Great"', False),
        ('Works at Netflix in Zurich since 2021, has two sisters, and calls his cat "Mimi the Great"', False),
        ("Works at Netflix since 2021, has two sisters, and calls his cat Mimi", False),
        ('Works at Netflix since 2021, has three sisters, and calls his cat "Mimi the Great"', False),
        ('Does not work at Netflix since 2021, has two sisters, and calls his cat "Mimi the Great"', False),
    ],
)
def test_given_a_statement_of_several_when_looked_at_then_it_keeps_every_particular_and_adds_none(
    statement: str, keeps: bool
) -> None:
    assert keeps_particulars(statement, SOURCES) is keeps


def test_given_writing_without_capitals_or_a_denial_when_looked_at_then_it_is_known() -> None:
    assert has_capitals("Mag Tee")
    assert not has_capitals("\u6771\u4eac\u304c\u597d\u304d")
    assert is_negated("Doesn't eat meat")
    assert is_negated("Doesn\u2019t eat meat")
    assert not is_negated("Eats meat")
