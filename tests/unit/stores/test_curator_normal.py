"""What is only another writing of the same words, and what is not."""

import pytest

from learning_stores.curator.deduplicate import normal


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Likes tea.", "likes  TEA"),
        ("Likes tea, and rye", "Likes tea; and rye!"),
        ("Calls it “home”", "Calls it 'home'"),
        ("Lives in (old) York", "Lives in old York"),
        ("Works at ACME…", "Works at Acme"),
        ("\uff26\uff55ll width", "full width"),
        ('It\'s "green."', "It’s green"),
    ],
)
def test_given_two_writings_of_the_same_words_when_compared_then_they_are_equal(one: str, other: str) -> None:
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Owes -5", "Owes 5"),
        ("Paid 3.5", "Paid 35"),
        ("Paid 1,5", "Paid 15"),
        ("Writes C", "Writes C#"),
        ("Writes C", "Writes C++"),
        ("Is allergic to nuts", "Is allergic to nuts?"),
        ("The shelf is 6' wide", 'The shelf is 6" wide'),
        ("The shelf is 6\u2032 wide", "The shelf is 6\u2033 wide"),
        ("Has 10² shares", "Has 102 shares"),
        ("Drinks H₂0", "Drinks H20"),
        ("Is in no. 5", "Is in no. 5%"),
        ("Likes tea", "Like tea"),
    ],
)
def test_given_other_words_signs_or_numbers_when_compared_then_they_differ(one: str, other: str) -> None:
    assert normal(one) != normal(other)
