"""The last number of a producer, as it travels."""

from uuid import UUID

import pytest

from learning_machine import InvalidEvent
from learning_schemas.closing import ProducerClosed


def test_given_a_closing_then_its_wire_form_reads_back() -> None:
    closed = ProducerClosed(producer=UUID(int=7), last=3)

    assert closed.to_json() == b'{"producer":"00000000-0000-0000-0000-000000000007","last":3}'
    assert ProducerClosed.from_json(closed.to_json()) == closed


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "closed"),
        (b"[]", "closed"),
        (b"{" * 2_000, "closed"),
        (b'{"producer":"x","last":1}', "closed.producer"),
        (b'{"producer":"00000000-0000-0000-0000-000000000007","last":0}', "closed.last"),
        (b'{"producer":"00000000-0000-0000-0000-000000000007","last":"1"}', "closed.last"),
        (b'{"producer":"00000000-0000-0000-0000-000000000007","last":9223372036854775808}', "closed.last"),
        (b'{"producer":"00000000-0000-0000-0000-000000000007","last":1,"more":1}', "closed.more"),
    ],
)
def test_given_anything_else_then_it_is_refused_by_the_field_at_fault(body: bytes, field: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        ProducerClosed.from_json(body)

    assert refused.value.field == field
