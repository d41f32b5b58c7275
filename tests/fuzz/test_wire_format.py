"""The wire format under fuzz: an entry is a valid event that survives its round trip, or `InvalidEvent`; nothing else."""

import json
from typing import Any
from uuid import uuid4

from hypothesis import example, given
from hypothesis import strategies as st

from fuzz.json_values import BOUNDED, changed, damaged, dumped, values
from harness import event
from learning_schemas.closing import ProducerClosed
from learning_schemas.errors import InvalidEvent
from learning_schemas.event import ConversationCompleted
from learning_stores.event_log import Incoming
from learning_workers.entry import Entry, rejection

_FULL = event(
    user_id="bob", session_id="s1", agent_id="helper", team_id="crew", history="full", end_of_session=True, spec="a" * 64,
    producer=uuid4(), seq=3, traceparent="00-1", metadata={"a": [1, {"b": None}], "c": 1.5},
    messages=[
        {"role": "user", "content": "I work at Netflix.", "id": "x1", "name": "Bob", "metadata": {"k": []}},
        {"role": "assistant", "content": [{"type": "text", "text": "Noted."}, {"type": "image_url"}]},
        {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "content": "ok", "tool_call_id": "c1"},
        {"type": "function_call_output", "output": {"x": 1}, "call_id": "c2"},
    ],
)  # fmt: skip
VALID = (json.loads(_FULL.to_json()), json.loads(event().to_json()))


def read(body: bytes) -> ConversationCompleted | None:
    """The event, checked; None where it is none. Any other error than `InvalidEvent` fails the test."""
    try:
        found = ConversationCompleted.from_json(body)
    except InvalidEvent as error:
        told = str(error)
        assert told.isprintable()
        assert len(told) < 1_000
        return None
    sent = found.to_json()
    again = ConversationCompleted.from_json(sent, max_bytes=10 * len(sent))
    assert again.to_json() == sent
    assert again.body_hash() == found.body_hash()
    Incoming(event=found, via="stream", body_bytes=len(body)) if found.user_id or found.session_id else None
    return found


def rejected(body: bytes) -> None:
    """What is kept of an entry that is no event can be stored."""
    kept = rejection(Entry(0, b"1-1", {b"event": body}), None, "event", "is none")
    for told in (kept.tenant, kept.event_id, kept.subject):
        assert told is None or (len(told.encode()) < 4_000 and "\x00" not in told)
    assert type(kept.seq) in (int, type(None))
    assert (kept.producer is None) == (kept.seq is None)


@BOUNDED
@given(changed(VALID))
@example({**VALID[0], "id": "\x1f"})
@example({**VALID[0], "producer": "\x00" + VALID[0]["producer"]})
@example({**VALID[0], "session_id": "", "seq": True})
def test_given_a_valid_event_with_changes_then_it_is_an_event_or_refused(value: Any) -> None:
    body = dumped(value)
    if read(body) is None:
        rejected(body)


@BOUNDED
@given(st.one_of(values.map(dumped), st.binary(max_size=200), damaged(_FULL.to_json())))
def test_given_any_json_or_bytes_then_it_is_an_event_or_refused(body: bytes) -> None:
    if read(body) is None:
        rejected(body)


@BOUNDED
@given(
    st.one_of(changed({"producer": str(uuid4()), "last": 7}).map(dumped), values.map(dumped), st.binary(max_size=80))
)
def test_given_any_closing_then_it_is_one_or_refused(body: bytes) -> None:
    try:
        closed = ProducerClosed.from_json(body)
    except InvalidEvent:
        return
    assert ProducerClosed.from_json(closed.to_json()) == closed


@BOUNDED
@given(changed(VALID[1]), st.sampled_from(["tenant", "user_id", "session_id"]), st.text(max_size=12))
def test_given_python_values_then_an_event_is_made_of_them_or_they_are_refused(
    base: Any, name: str, given_id: str
) -> None:
    given_values = {**base, name: given_id} if isinstance(base, dict) else {name: given_id}
    try:
        made = ConversationCompleted.make(given_values)
    except InvalidEvent:
        return
    assert ConversationCompleted.from_json(made.to_json()).body_hash() == made.body_hash()
