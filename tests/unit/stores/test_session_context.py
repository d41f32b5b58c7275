"""The session's parts from a patch: whole messages cited, null kept, steps cleaned."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from learning_schemas.ids import uuid7
from learning_schemas.spec import StoreSpec
from learning_stores.operations import Operations, Put
from learning_stores.session_context import MAX_STEPS, SessionContextStore
from learning_stores.store import MAX_EXCERPT
from learning_stores.window import Window, WindowDelivery, WindowMessage

NOW = datetime(2026, 11, 22, tzinfo=UTC)
EVENT = uuid7()
STORE = SessionContextStore()


def _operations(planning: bool = True, **patch: Any) -> Operations:
    messages = tuple(
        WindowMessage(
            label=f"m{number}",
            event_id=EVENT,
            index=number,
            role=role,
            name=None,
            text=text,
            at=NOW,
            session_id="s1",
            earlier=False,
        )
        for number, (role, text) in enumerate([("user", "Find me a flight to Rome"), ("assistant", "Sure. " * 100)], 1)
    )
    delivery = WindowDelivery(event_id=EVENT, generation=1, attempts=0, accepted_no=1, occurred_at=NOW)
    window = Window(user_id="alice", spec_hash="x", deliveries=(delivery,), messages=messages, more=False)
    spec = StoreSpec(scope="session", options={"planning": planning})
    parts = dict.fromkeys(STORE.patch_model(spec).model_fields) | patch
    return STORE.operations(STORE.patch_model(spec).model_validate(parts), window, {}, spec)


def _puts(found: Operations) -> list[Put]:
    return [operation for operation in found.kept if isinstance(operation, Put)]


def test_given_a_summary_alone_when_grounded_then_the_other_parts_are_left_as_they_are() -> None:
    found = _operations(summary={"content": "Wants  a flight.", "messages": ["m1", "m2", "m1", "m9"]})
    (summary,) = _puts(found)
    assert (summary.kind, summary.content, summary.content_key, summary.data) == (
        "summary",
        "Wants a flight.",
        "summary",
        {},
    )
    assert [(citation.message, citation.user_id) for citation in summary.citations] == [(1, "alice"), (2, None)]
    assert [len(citation.quote) <= MAX_EXCERPT for citation in summary.citations] == [True, True]
    assert summary.citations[1].quote.endswith("…")


def test_given_plan_and_progress_when_grounded_then_steps_are_kept_typed_and_as_text() -> None:
    found = _operations(
        goal={"content": "Fly to Rome", "messages": ["m1"]},
        plan={"steps": [" search ", "", "bo\x00ok\n it"], "messages": ["m1"]},
        progress={"steps": [f"step {number}" for number in range(MAX_STEPS + 9)], "messages": ["m1"]},
    )
    by_kind = {put.kind: put for put in _puts(found)}
    assert by_kind["plan"].data == {"steps": ["search", "book it"]}
    assert by_kind["plan"].content == "1. search; 2. book it"
    assert len(by_kind["progress"].data["steps"]) == MAX_STEPS
    assert by_kind["goal"].data == {}


def test_given_parts_that_cite_nothing_or_say_nothing_when_grounded_then_they_are_dropped_and_counted() -> None:
    found = _operations(
        summary={"content": "Made up.", "messages": ["m7"]},
        goal={"content": " ", "messages": ["m1"]},
        plan={"steps": [], "messages": ["m1"]},
    )
    assert found.kept == ()
    assert found.dropped == Counter({"cites no message": 1, "empty": 2})


def test_given_planning_off_when_grounded_then_there_is_only_a_summary() -> None:
    found = _operations(planning=False, summary={"content": "Wants a flight.", "messages": ["m1"]})
    assert [put.kind for put in _puts(found)] == ["summary"]
