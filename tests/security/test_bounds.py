"""Every bound: one more than may be is refused or dropped, is said, and takes no longer than what may be."""

import json
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from harness import Place, event, linear, rows, turn
from integration.stores.steps import PROFILE_ONLY, claim, mailbox_id, put, take_in, window_of, work
from integration.workers.conftest import Desk
from learning_machine import InvalidArgument, InvalidEvent, LearnedKnowledgeConfig, LearningMachine, UserProfileConfig
from learning_machine.recalling import MAX_QUERY, MAX_RESULTS
from learning_machine.tool_arguments import MAX_ARGUMENT_BYTES
from learning_schemas.limits import (
    MAX_DEPTH,
    MAX_EVENT_BYTES,
    MAX_ID_LENGTH,
    MAX_JSON_VALUES,
    MAX_KEY_BYTES,
    MAX_MESSAGES,
)
from learning_schemas.patch import MAX_OPERATIONS
from learning_schemas.spec import MAX_SPEC_BYTES, MAX_STORES, MachineSpec, StoreSpec
from learning_stores import room as room_module
from learning_stores.database import Database
from learning_stores.entity_names import MAX_NAME
from learning_stores.entity_tools import MAX_LISTED
from learning_stores.mailbox import mail, take_due
from learning_stores.operations import MAX_CONTENT
from learning_stores.place import Place as Where
from learning_stores.registry import installed
from scripted_model import Answer, ScriptedModel, patch


def nested(levels: int) -> Any:
    """An object that deep."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def test_given_an_event_beyond_a_bound_then_emit_refuses_it_and_names_the_field() -> None:
    for field, values in {
        "messages": {"messages": [{"role": "user", "content": "x"}] * (MAX_MESSAGES + 1)},
        "metadata": {"metadata": nested(MAX_DEPTH + 1)},
        "metadata ": {"metadata": {"a": [1] * MAX_JSON_VALUES}},
        "messages[0].tool_calls": {"messages": [{"role": "assistant", "tool_calls": nested(MAX_DEPTH + 1)}]},
        "user_id": {"user_id": "u" * (MAX_ID_LENGTH + 1)},
        "user_id ": {"user_id": "\u6f22" * 255, "session_id": "\u6f22" * 255, "tenant": "\u6f22" * 255},
    }.items():
        with pytest.raises(InvalidEvent) as refused:
            event(**values)
        assert refused.value.field == field.strip()
    assert MAX_KEY_BYTES < 3 * 255 * 3
    assert event(metadata=nested(MAX_DEPTH)).metadata == nested(MAX_DEPTH)


def test_given_an_event_of_too_many_bytes_then_emit_refuses_it_before_it_is_sent(place: Place) -> None:
    with place.machine(user_profile=True) as machine, pytest.raises(InvalidEvent, match="over the limit"):
        machine.emit(turn("x" * (MAX_EVENT_BYTES + 1)), user_id="bob")


def test_given_a_spec_beyond_a_bound_then_it_is_refused() -> None:
    store = StoreSpec(scope="user")
    with pytest.raises(ValueError, match="stores"):
        MachineSpec(stores={f"s{number}": store for number in range(MAX_STORES + 1)})
    with pytest.raises(ValueError, match="bytes"):
        MachineSpec.from_json(b" " * (2 * MAX_SPEC_BYTES + 1))
    with pytest.raises(ValueError, match="instructions"):
        StoreSpec(scope="user", instructions="x" * 20_001)


MANY = 10_000
_CITE = {"message": "m1", "quote": "I like tea and biscuits"}
PATCHES: dict[str, Mapping[str, Any]] = {
    "user_profile": {
        "fields": {"name": None, "preferred_name": None},
        "add": [{"content": f"Likes tea number {n}", **_CITE} for n in range(MANY)],
        "update": [{"content": "x", "learning": "k1", **_CITE}] * MANY,
        "retract": [{"learning": f"k{n}", **_CITE} for n in range(MANY)],
    },
    "entity_memory": {
        "entities": [{"name": "tea", "type": "drink", "aliases": ["biscuits"] * 20, "description": None, **_CITE}] * (MANY // 10),
        "facts": [{"entity": "tea", "type": "drink", "content": f"Is good, {n}", "replaces": None, **_CITE} for n in range(MANY)],
        "properties": [], "events": [], "relationships": [], "retract": [],
    },
    "learned_knowledge": {
        "insights": [
            {"title": f"Tea {n}", "learning": f"Drink {n} cups of tea", "context": None, "tags": ["t"] * 50, **_CITE}
            for n in range(MANY)
        ],
        "confirm": [], "retract": [{"learning": "k1", **_CITE}] * MANY,
    },
    "session_context": {"summary": {"content": "About tea", "messages": ["m1"] * MANY}},
}  # fmt: skip
_OF_SCOPE = {"user_profile": "user"}


@pytest.mark.parametrize("store", PATCHES)
def test_given_an_answer_of_ten_thousand_operations_then_200_are_applied_and_the_rest_is_counted(
    desk: Desk, scripted: ScriptedModel, everything_db: Database, store: str
) -> None:
    spec = MachineSpec(stores={store: StoreSpec(scope=_OF_SCOPE.get(store, "session"), debounce=0)})
    scripted.answer = lambda _: patch(**PATCHES[store])
    desk.take_in(event(messages=turn("I like tea and biscuits.")), spec=spec)

    report = desk.work(desk.extractor(store))

    [count] = rows(everything_db, "SELECT count(*) AS number FROM learning.learning")
    if store == "session_context":
        assert count["number"] == 1
    else:
        assert count["number"] == MAX_OPERATIONS
        assert report.dropped["too many operations"] >= MANY - MAX_OPERATIONS
    [delivery] = desk.deliveries().values()
    assert delivery[0] == "extracted"


def test_given_floods_of_combining_marks_and_expanding_letters_when_a_patch_cites_them_then_grounding_stays_fast() -> (
    None
):
    from fuzz.test_patches import WINDOW

    flood = "a" + "\u0301\u0327" * 6_000 + "\u0f73\u0344" * 2_000 + "\ufdfa" * 4_000
    said = WINDOW.messages[0].__class__(**{**WINDOW.messages[0].__dict__, "text": flood})
    window = WINDOW.__class__(**{**WINDOW.__dict__, "messages": (said,), "by_label": {}})
    quotes = [flood[at : at + 300] for at in range(0, 3_000, 3)]
    store, spec = installed()["user_profile"], StoreSpec(scope="user")
    answer = {
        "fields": {"name": None, "preferred_name": None}, "update": [], "retract": [],
        "add": [{"content": quote, "message": "m1", "quote": quote} for quote in quotes],
    }  # fmt: skip
    made = store.patch_model(spec).model_validate(answer)
    with linear():
        store.operations(made, window, {}, spec)


def test_given_a_scope_that_is_full_then_tools_and_extraction_add_nothing_more_and_say_so(
    place: Place, app_db: Database, dispatcher_db: Database, everything_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_module, "MAX_SCOPE", 3)
    with place.machine(user_profile=UserProfileConfig(mode="AGENTIC")) as machine:
        tools = {tool.name: tool for tool in machine.tools(user_id="bob")}
        saved = [tools["save_memory"](content=f"Has cat number {number}") for number in range(5)]
        assert (
            saved
            == ["Saved."] * 3 + ["Not saved: this memory is full. What is no longer so has to be forgotten first."] * 2
        )
        assert tools["save_memory"](content="Has cat number 1").startswith("Already known")
        assert tools["update_memory"](memory="Has cat number 1", content="Has no cat") == "Updated."
        assert (
            machine.add("Is a friend of the house", user_id="bob", by="ann").status == "active"
        )  # a person always may
        take_in(dispatcher_db, event(user_id="bob"), spec=PROFILE_ONLY)
        held = claim(app_db, mailbox_id(everything_db))
        window = window_of(app_db, held)
        done = work(app_db, held, put(window, "Works at Netflix"), put(window, "Has no cat"), window=window)
        assert dict(done.changes) == {"scope full": 1, "confirmed": 1}
        for memory in ("Has no cat", "Has cat number 2"):
            assert tools["forget_memory"](memory=memory) == "Forgotten."
        assert tools["save_memory"](content="Has a parrot") == "Saved."
        assert tools["save_memory"](content="Has two parrots").startswith("Not saved: this memory is full")


def test_given_a_full_queue_of_proposals_then_no_more_are_written(
    place: Place, everything_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_module, "MAX_NAMESPACE", 2)
    with place.machine(learned_knowledge=LearnedKnowledgeConfig(mode="PROPOSE")) as machine:
        (propose,) = [tool for tool in machine.tools(user_id="bob") if tool.name == "propose_learning"]
        told = [propose(title=f"Rule {n}", learning=f"Always do number {n} first") for n in range(3)]
    assert [each.split(":")[0] for each in told] == ["Proposed", "Proposed", "Not saved"]
    assert rows(everything_db, "SELECT count(*) AS number FROM learning.learning") == [{"number": 2}]


def test_given_a_full_namespace_when_an_entity_is_told_of_then_the_answer_says_what_was_not_added(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_module, "MAX_NAMESPACE", 2)
    from learning_machine import EntityMemoryConfig

    with place.machine(entity_memory=EntityMemoryConfig(mode="AGENTIC")) as machine:
        tools = {tool.name: tool for tool in machine.tools(user_id="bob")}
        assert "Added: Digs quartz" in tools["add_fact"](entity="Orion", type="company", fact="Digs quartz")
        assert "Not added; this memory is full: Digs gold" in tools["add_fact"](
            entity="Orion", type="company", fact="Digs gold"
        )


def test_given_plenty_of_room_when_more_is_written_then_it_is_not_counted_for_a_while_and_near_the_end_each_time(
    place: Place, app_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("MAX_SCOPE", 6), ("PLENTY", 3)):
        monkeypatch.setattr(room_module, name, value)
    whose = Where(tenant="default", store="user_profile", scope="user/bob", user_id="bob")

    def left() -> int:
        return app_db.run("default", room_module.room, whose)

    with place.machine(user_profile=UserProfileConfig(mode="AGENTIC")) as machine:
        assert left() == 6
        machine.add("Has a cat", user_id="bob", by="ann")
        machine.add("Has a dog", user_id="bob", by="ann")
        assert left() == 6  # believed
        monkeypatch.setattr(room_module, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 60))
        assert left() == 4
        machine.add("Has a cow", user_id="bob", by="ann")
        machine.add("Has a hen", user_id="bob", by="ann")
        monkeypatch.setattr(room_module, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 120))
        assert left() == 2
        machine.add("Has a hare", user_id="bob", by="ann")
        assert left() == 1  # counted again: there is no plenty


def test_given_the_count_of_a_scope_when_it_is_planned_then_it_goes_by_an_index(
    app_db: Database, everything_db: Database
) -> None:
    with everything_db.engine.begin() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.execute(
            text(f"EXPLAIN {room_module._HELD.text}"),
            {"tenant": "default", "scope": "user/bob", "store": "user_profile", "most": 10},
        ).all()
    told = "\n".join(row[0] for row in plan)
    assert "Index" in told
    assert "Seq Scan" not in told


def _tools(machine: LearningMachine) -> dict[str, Any]:
    return {tool.name: tool for tool in machine.tools(user_id="bob", session_id="s1")}


def test_given_arguments_beyond_a_bound_then_tools_and_methods_refuse_them(
    place: Place, everything_db: Database
) -> None:
    from learning_machine import EntityMemoryConfig

    with place.machine(
        user_profile=UserProfileConfig(mode="AGENTIC"),
        learned_knowledge=True,
        entity_memory=EntityMemoryConfig(mode="AGENTIC"),
    ) as machine:
        tools = _tools(machine)
        refused = {
            "a text": tools["save_memory"](content="x" * (MAX_CONTENT + 1)),
            "all of them": tools["remember_entity"](
                name="Orion", type="company", aliases=["x" * 3_900] * (MAX_ARGUMENT_BYTES // 3_900 + 1)
            ),
            "aliases": tools["remember_entity"](name="Orion", type="company", aliases=["x"] * (MAX_LISTED + 1)),
            "a name": tools["remember_entity"](name="x" * (MAX_NAME + 1), type="company"),
            "depth": tools["update_profile"](field="name", value=nested(MAX_DEPTH + 1)),
            "tags": tools["save_learning"](title="T", learning="Do it well", tags=["t" * 41]),
        }
        for what, answer in refused.items():
            assert answer.startswith("Not saved"), (what, answer)
        assert rows(everything_db, "SELECT FROM learning.learning") == []
        long = "tea " * (MAX_QUERY // 2)
        assert machine.search(long, user_id="bob") == ()  # no more than its beginning is read
        assert machine.recall(long, user_id="bob", deadline=20.0).degraded is None
        assert "Nothing was learned" in tools["search_learnings"](query="tea " * 999)
        for call in (
            lambda: machine.search("x", user_id="bob", limit=MAX_RESULTS + 1), lambda: machine.learnings(limit=501),
            lambda: machine.entity("x", hops=4), lambda: machine.search_entities("x" * 1_001),
            lambda: machine.recall(user_id="bob", max_tokens=10_000_000), lambda: machine.entity("x" * (MAX_NAME + 1)),
            lambda: machine.add("x" * (MAX_CONTENT + 1), user_id="bob", by="ann"),
            lambda: machine.reject("0198c0de-1111-7222-8333-444455556666", by="ann", reason="x" * 501),
        ):  # fmt: skip
            with pytest.raises(InvalidArgument):
                call()


def test_given_more_due_mailboxes_than_may_be_outstanding_then_no_more_are_nudged(
    dispatcher_db: Database, everything_db: Database
) -> None:
    for user in range(12):
        take_in(dispatcher_db, event(user_id=f"u{user}", tenant=f"t{user % 3}"), spec=PROFILE_ONLY)
    limit = 5
    for _ in range(3):
        room = limit - dispatcher_db.run(None, mail)[0].nudged
        dispatcher_db.run(None, take_due, "user_profile", room)
    assert dispatcher_db.run(None, mail)[0].nudged == limit


def test_given_a_message_larger_than_a_window_then_its_beginning_is_asked_about_and_the_prompt_stays_bounded(
    desk: Desk, scripted: ScriptedModel
) -> None:
    scripted.answer = lambda _: Answer(
        text=json.dumps({"fields": {"name": None, "preferred_name": None}, "add": [], "update": [], "retract": []})
    )
    desk.take_in(event(messages=[{"role": "user", "content": "one line " * 100_000}] + turn("x " * 10_000) * 2))
    desk.work_off()
    assert max(len(asked.data) for asked in scripted.asked) < 6_000 * 4 * 2
    assert {state for state, _, _ in desk.deliveries().values()} == {"nothing_found"}
