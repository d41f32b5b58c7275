"""Patches under fuzz: whatever a model answers, an answer of the right form is grounded, and any other is refused.

What is kept always cites messages of the window, by words that are in them, and names only what the prompt showed.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fuzz.json_values import BOUNDED, changed, damaged, dumped, texts, values
from learning_schemas.ids import uuid7
from learning_schemas.patch import MAX_OPERATIONS
from learning_schemas.spec import StoreSpec
from learning_stores.grounding import quote_holds
from learning_stores.operations import MAX_CONTENT, Confirm, LiveLearning, Operations, Put, Retire
from learning_stores.registry import installed
from learning_stores.store import LearningStore
from learning_stores.window import Window, WindowDelivery, WindowMessage

AT = datetime(2026, 3, 1, tzinfo=UTC)
SAID = [
    ("user", "My name is Bob and I live in Oslo with two cats.", False),
    ("assistant", "Orion Mining opened a pit near Lund; it is run by Ada.", False),
    (
        "user",
        "\uff2f\uff52\uff49\uff4f\uff4e e\u0301 \ufdfa \u65e5\u672c\u8a9e\u3092\u8a71\u3059 \u202ebidi\u202c \x1b[2J <known>",
        False,
    ),
    ("user", "a" + "\u0301\u0327" * 200 + " is what I wrote", False),
    ("user", "This was said before, and is only shown.", True),
]
EVENT = uuid7()
MESSAGES = tuple(
    WindowMessage(
        label=f"m{number}", event_id=EVENT, index=number, role=role, name=None, text=text, at=AT, session_id="s1", earlier=earlier
    )
    for number, (role, text, earlier) in enumerate(SAID, 1)
)  # fmt: skip
WINDOW = Window(
    user_id="bob",
    spec_hash="0" * 64,
    deliveries=(WindowDelivery(event_id=EVENT, generation=1, attempts=0, accepted_no=1, occurred_at=AT),),
    messages=MESSAGES,
    more=False,
)
SCHEMA = {
    "type": "object",
    "properties": {
        "plan": {"type": "string", "maxLength": 20},
        "seats": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "extra": {"type": "object", "additionalProperties": {"type": "number"}},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}


def _live(kind: str, content: str, **more: Any) -> LiveLearning:
    return LiveLearning(id=uuid7(), kind=kind, content=content, content_key=content, data={}, valid_from=AT, **more)


KNOWN = {
    "k1": _live("memory", "Likes tea"),
    "k2": _live("fact", "Digs quartz", entity="Orion Mining", entity_type="company"),
    "k3": _live("alias", "Orion", entity="Orion Mining", entity_type="company"),
    "k4": _live("insight", "Ship at noon"),
}
IDS = {learning.id for learning in KNOWN.values()}
CASES: dict[str, tuple[LearningStore, StoreSpec]] = {
    f"{name}{suffix}": (store, StoreSpec(scope=store.scope, user_schema=schema, options=options))
    for name, store in installed().items()
    for suffix, schema, options in (("", None, {}), (", own fields", SCHEMA, {"planning": True}))
}

labels = st.one_of(st.sampled_from(["m1", "m2", "m3", "m4", "m5", "m9", "k1", "k2", "k3", "k4", "k9", "", "M1"]), texts)
quotes = st.one_of(
    st.sampled_from([text for _, text, _ in SAID]),
    st.sampled_from(
        [
            "I live in Oslo",
            "ORION mining Opened",
            "Orion \u00e9 \ufdfa",
            "two cats.",
            "said before, and is",
            "\u0301\u0327",
        ]
    ),
    texts,
)
names = st.one_of(
    st.sampled_from(
        ["Orion Mining", "Orion", "Ada", "Lund", "it", "the company", "Bob", "Umbrella", "\u65e5\u672c\u8a9e"]
    ),
    texts,
)
contents = st.one_of(st.sampled_from(["Likes cats", "x" * (MAX_CONTENT + 1), "\x00", "Likes\ncats"]), texts)
BY_NAME = {
    "message": labels, "quote": quotes, "learning": st.one_of(labels, contents), "replaces": st.one_of(st.none(), labels),
    "messages": st.lists(labels, max_size=4), "entity": names, "name": names, "source": names, "target": names,
    "aliases": st.lists(names, max_size=3), "type": st.sampled_from(["company", "Companies", "person", "", "\x00", "place"]),
    "date": st.sampled_from([None, "2026", "2026-02-31", "2026-02-28", "soon", "\u0662\u0660\u0662\u0666"]), "content": contents,
}  # fmt: skip


def fitting(schema: Mapping[str, Any], definitions: Mapping[str, Any], name: str = "") -> st.SearchStrategy[Any]:
    """Values of a strict schema; labels, quotes and names are often those that are there."""
    if "$ref" in schema:
        return fitting(definitions[schema["$ref"].rpartition("/")[2]], definitions, name)
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    if name in BY_NAME and "anyOf" not in schema and schema.get("type") in (None, "string", "array"):
        return BY_NAME[name]
    if options := schema.get("anyOf"):
        return st.one_of(*(fitting(option, definitions, name) for option in options))
    match schema.get("type"):
        case "object":
            inner = schema.get("properties", {})
            return st.fixed_dictionaries({each: fitting(of, definitions, each) for each, of in inner.items()})
        case "array":
            return st.lists(fitting(schema.get("items", {}), definitions), max_size=5)
        case "null":
            return st.none()
        case "string":
            return contents
        case "integer":
            return st.integers()
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
    return values


def check(store: LearningStore, found: Operations) -> None:
    """What is kept stands on the window, and names only what the prompt showed."""
    assert len(found.kept) <= MAX_OPERATIONS
    assert all(number > 0 for number in found.dropped.values())
    for operation in found.kept:
        assert operation.citations
        for citation in operation.citations:
            assert citation.event_id == EVENT
            [cited] = [each for each in MESSAGES if each.index == citation.message]
            assert not cited.earlier
            assert citation.user_id == ("bob" if cited.role == "user" else None)
            if store.name == "user_profile":
                assert cited.role == "user"
            if store.name != "session_context":  # which cites messages whole
                assert citation.quote is not None
                assert quote_holds(citation.quote, cited.text)
        if isinstance(operation, Put):
            assert 0 < len(operation.content) <= MAX_CONTENT
            assert "\x00" not in operation.content + repr(operation.data).replace("\\x00", "\x00")
            assert "\n" not in operation.content
            operation.content.encode()
        learning: UUID | None = operation.learning_id if isinstance(operation, Retire | Confirm) else operation.replaces
        assert learning is None or learning in IDS


@pytest.mark.parametrize("case", CASES)
def test_given_any_answer_of_the_right_form_then_it_is_grounded_and_nothing_else_is_kept(case: str) -> None:
    store, spec = CASES[case]
    model = store.patch_model(spec)
    schema = model.model_json_schema()
    kept = 0

    @settings(BOUNDED, max_examples=150)
    @given(fitting(schema, schema.get("$defs", {})))
    def ground(answer: Any) -> None:
        nonlocal kept
        found = store.operations(model.model_validate_json(dumped(answer)), WINDOW, KNOWN, spec)
        check(store, found)
        kept += len(found.kept)

    ground()
    assert kept > 0  # else nothing was shown


def test_given_values_of_own_fields_in_forms_that_no_schema_has_then_each_alone_is_dropped() -> None:
    cited = {"message": "m1", "quote": SAID[0][1]}
    for value in (
        [1],
        [{"name": "a"}],
        [{"value": 1}],
        [{"name": 1, "value": 1}],
        {"a": [None]},
        "",
        [[]],
        7,
        [{"name": "a", "value": float("nan")}],
    ):
        store, spec = CASES["user_profile, own fields"]
        fields = {**dict.fromkeys(SCHEMA["properties"]), "extra": {"value": value, **cited}}
        memory = {"content": "Lives in Oslo", **cited}
        answer = {"fields": fields, "add": [memory], "update": [], "retract": []}
        found = store.operations(store.patch_model(spec).model_validate(answer), WINDOW, KNOWN, spec)
        assert [put.content for put in found.kept if isinstance(put, Put)] == ["Lives in Oslo"], value
        assert dict(found.dropped) == {"invalid value": 1}, value
        store, spec = CASES["session_context, own fields"]
        fields = {**dict.fromkeys(SCHEMA["properties"]), "extra": {"value": value, "messages": ["m1"]}}
        answer = {
            "summary": {"content": "About Oslo", "messages": ["m1"]},
            "goal": None,
            "plan": None,
            "progress": None,
        }
        patch = store.patch_model(spec).model_validate({**answer, "fields": fields})
        assert [put.kind for put in store.operations(patch, WINDOW, KNOWN, spec).kept if isinstance(put, Put)] == [
            "summary"
        ]


def test_given_a_value_of_several_lines_then_what_is_kept_reads_on_one() -> None:
    store, spec = CASES["entity_memory, own fields"]
    said = {
        "message": "m2",
        "quote": SAID[1][1],
        "entity": "Orion Mining",
        "type": "company",
        "name": "plan",
        "value": "a\nb",
    }
    empty: dict[str, list[Any]] = {"entities": [], "facts": [], "events": [], "relationships": [], "retract": []}
    patch = store.patch_model(spec).model_validate({**empty, "properties": [said]})
    found = store.operations(patch, WINDOW, KNOWN, spec)
    assert "plan: a b" in [put.content for put in found.kept if isinstance(put, Put)]


@pytest.mark.parametrize("case", CASES)
def test_given_any_other_answer_then_it_is_refused_by_its_form_or_grounded(case: str) -> None:
    store, spec = CASES[case]
    model = store.patch_model(spec)
    schema = model.model_json_schema()
    right = fitting(schema, schema.get("$defs", {}))
    one: list[Any] = []

    @settings(BOUNDED, max_examples=100)
    @given(st.data())
    def ground(data: st.DataObject) -> None:
        answer = data.draw(right)
        one[:] = [answer]
        body = data.draw(st.one_of(changed(answer).map(dumped), damaged(dumped(answer)), values.map(dumped)))
        try:
            patch = model.model_validate_json(body)
        except ValidationError:
            return
        check(store, store.operations(patch, WINDOW, KNOWN, spec))

    ground()
    assert one
