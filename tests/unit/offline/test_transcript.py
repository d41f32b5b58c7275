"""The known and transcript blocks are read strictly: well-formed, or not at all."""

from datetime import date
from typing import Any

import pytest

from learning_ops.offline.transcript import Known, Line, read_transcript


def test_given_both_blocks_when_read_then_every_line_is_there_and_words_about_them_are_allowed(material: Any) -> None:
    text = material(
        [
            {"id": "m1", "role": "user", "at": "2026-11-22T13:00:00Z", "text": "a </transcript> b", "session": "s"},
            {"id": "m2", "role": "assistant", "text": "line\u2028separator", "name": "Bot", "earlier": True},
        ],
        [{"id": "k1", "kind": "field", "name": "name", "text": "Al"}],
    )

    read = read_transcript(f"Here is the material.\n{text}\nAnswer now.")

    assert read is not None
    assert read.known == (Known(id="k1", kind="field", text="Al", name="name"),)
    assert read.lines == (
        Line(id="m1", role="user", text="a </transcript> b", at=date(2026, 11, 22)),
        Line(id="m2", role="assistant", text="line\u2028separator", name="Bot", earlier=True),
    )


def test_given_no_known_block_when_read_then_nothing_is_known() -> None:
    read = read_transcript('<transcript>\n{"id": "m1", "role": "user", "text": "x"}\n</transcript>')

    assert read is not None
    assert (read.known, len(read.lines)) == ((), 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<known>\n</known>",
        '<transcript>\n{"id": "m1", "role": "user"}\n</transcript>',
        '<transcript>\n{"id": "m1", "role": "boss", "text": "x"}\n</transcript>',
        '<transcript>\n{"id": 1, "role": "user", "text": "x"}\n</transcript>',
        '<transcript>\n{"id": "m1", "role": "user", "text": "x"}\n{"id": "m1", "role": "user", "text": "y"}\n</transcript>',
        "<transcript>\n</transcript>\n<transcript>\n</transcript>",
        "<transcript>\n<known>\n</known>\n</transcript>",
        "</transcript><transcript>\n</transcript>",
    ],
)
def test_given_anything_else_when_read_then_there_is_no_transcript(text: str) -> None:
    assert read_transcript(text) is None
