"""What intake writes in one transaction: bounded in entries and in bytes, in order, nothing left out."""

from hypothesis import given
from hypothesis import strategies as st

from learning_workers.entry import Entry
from learning_workers.intake import BATCH, BATCH_BYTES, batches


def _entries(sizes: list[int]) -> list[Entry]:
    return [Entry(0, f"{place}-0".encode(), {b"event": b"x" * size}) for place, size in enumerate(sizes)]


@given(st.lists(st.sampled_from([10, 1_000_000, BATCH_BYTES // 3, BATCH_BYTES + 1]), max_size=12))
def test_given_entries_of_any_size_when_batched_then_all_are_there_in_order_and_no_batch_is_too_large(
    sizes: list[int],
) -> None:
    entries = _entries(sizes)

    found = list(batches(entries))

    assert [entry for batch in found for entry in batch] == entries
    assert all(len(batch) == 1 or sum(entry.size for entry in batch) <= BATCH_BYTES for batch in found)


def test_given_many_small_entries_when_batched_then_each_batch_has_so_many_at_most() -> None:
    assert [len(batch) for batch in batches(_entries([10] * (2 * BATCH + 1)))] == [BATCH, BATCH, 1]
