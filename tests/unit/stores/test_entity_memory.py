"""From a patch about named things to operations: what holds is kept, what does not is counted."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from learning_schemas.errors import ConfigurationError
from learning_schemas.ids import uuid7
from learning_schemas.patch import MAX_OPERATIONS
from learning_schemas.spec import StoreSpec
from learning_stores.entity_memory import EntityMemoryStore
from learning_stores.entity_mentions import mention_keys
from learning_stores.entity_names import MAX_NAME, entity_type, is_date, is_pointer, says
from learning_stores.grounding import content_key, fold
from learning_stores.operations import (
    MAX_CONTENT,
    EntityName,
    LiveLearning,
    Operation,
    Operations,
    Put,
    Retire,
)
from learning_stores.window import Window, WindowDelivery, WindowMessage

NOW = datetime(2026, 11, 22, tzinfo=UTC)
EVENT = uuid7()
STORE = EntityMemoryStore()
SAID = "Acme Corp just migrated to PostgreSQL and hired Bob as CTO."
CITED = {"message": "m2", "quote": SAID}
ANSWERED = {"message": "m3", "quote": "Zenith, also known as ZT, always uses it."}
ACME, BOB = EntityName("Acme Corp", "company"), EntityName("Bob", "person")
ABOUT = {"entity": "Acme Corp", "type": "company"}
EDGE = {
    "source": "Bob",
    "source_type": "person",
    "relation": "CTO of",
    "target": "Acme Corp",
    "target_type": "company",
}
FIELDS = {
    "type": "object",
    "properties": {
        "industry": {"type": "string"},
        "employees": {"type": "integer", "minimum": 0},
        "open_positions": {"type": "array", "items": {"type": "string"}},
    },
}


def _window() -> Window:
    said = [
        ("m1", "user", "Falcon Labs came up before.", True),
        ("m2", "user", SAID, False),
        ("m3", "assistant", ANSWERED["quote"], False),
        ("m4", "user", "It now uses Redis.", False),
    ]
    messages = tuple(
        WindowMessage(
            label=label,
            event_id=EVENT,
            index=index,
            role=role,
            name=None,
            text=text,
            at=NOW,
            session_id="s1",
            earlier=earlier,
        )
        for index, (label, role, text, earlier) in enumerate(said)
    )
    delivery = WindowDelivery(event_id=EVENT, generation=1, attempts=0, accepted_no=1, occurred_at=NOW)
    return Window(user_id="alice", spec_hash="x", deliveries=(delivery,), messages=messages, more=False)


def _learning(kind: str, content: str, name: str = "Acme Corp", of_type: str = "company") -> LiveLearning:
    return LiveLearning(
        id=uuid7(),
        kind=kind,
        content=content,
        content_key=content_key(content),
        data={},
        valid_from=NOW,
        about=uuid7(),
        entity=name,
        entity_type=of_type,
    )


def _operations(
    known: dict[str, LiveLearning] | None = None, spec: StoreSpec | None = None, **parts: Any
) -> Operations:
    spec = spec or StoreSpec(scope="session")
    empty: dict[str, Any] = {
        name: [] for name in ("entities", "facts", "properties", "events", "relationships", "retract")
    }
    patch = STORE.patch_model(spec).model_validate(empty | parts)
    return STORE.operations(patch, _window(), known or {}, spec)


def _entity(name: str = "Acme Corp", kind: str = "company", **values: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "aliases": [], "description": None, **CITED, **values}


def _fact(content: str = "Uses PostgreSQL", **values: Any) -> dict[str, Any]:
    return {**ABOUT, "content": content, "replaces": None, **CITED, **values}


def _event(content: str = "Hired Bob as CTO", date: str | None = None, **values: Any) -> dict[str, Any]:
    return {**ABOUT, "content": content, "date": date, **CITED, **values}


def _property(name: str, value: Any, **values: Any) -> dict[str, Any]:
    return {**ABOUT, "name": name, "value": value, **CITED, **values}


def _puts(found: Operations, *kinds: str) -> list[Put]:
    return [put for put in found.kept if isinstance(put, Put) and (put.kind in kinds or not kinds)]


def _aliases(found: Operations) -> list[tuple[str, str]]:
    return [(put.content, put.about.name) for put in _puts(found, "alias") if put.about is not None]


def _only(operations: tuple[Operation, ...]) -> Operation:
    (operation,) = operations
    return operation


def test_given_two_things_in_one_sentence_when_grounded_then_names_a_fact_two_events_and_an_edge_are_kept() -> None:
    found = _operations(
        entities=[_entity(), _entity("Bob", "person")],
        facts=[_fact()],
        events=[_event("Migrated to PostgreSQL", "2026-11-22"), _event(date="2026-11-22")],
        relationships=[{**EDGE, **CITED}],
    )

    assert found.dropped == Counter()
    assert [(put.kind, put.content, put.about, put.target) for put in _puts(found)] == [
        ("alias", "Acme Corp", ACME, None),
        ("alias", "Bob", BOB, None),
        ("fact", "Uses PostgreSQL", ACME, None),
        ("event", "Migrated to PostgreSQL", ACME, None),
        ("event", "Hired Bob as CTO", ACME, None),
        ("relationship", "Bob: CTO of Acme Corp", BOB, ACME),
    ]
    (edge,) = _puts(found, "relationship")
    assert (edge.content_key, edge.data) == (content_key("CTO of"), {"relation": "CTO of"})
    (first, _) = _puts(found, "event")
    assert first.data == {"date": "2026-11-22"}
    (citation,) = edge.citations
    assert (citation.event_id, citation.message, citation.quote, citation.user_id) == (EVENT, 1, SAID, "alice")


def test_given_a_description_and_aliases_when_grounded_then_both_are_kept_with_their_entity() -> None:
    zenith = {"name": "Zenith", "type": "Companies", "aliases": ["ZT", "Zenith"], "description": "A rocket  company."}

    found = _operations(entities=[{**zenith, **ANSWERED}])

    assert found.dropped == Counter()
    assert [(put.kind, put.content, put.content_key) for put in _puts(found)] == [
        ("alias", "Zenith", content_key("Zenith")),
        ("alias", "ZT", content_key("ZT")),
        ("description", "A rocket company.", "description"),
    ]
    assert {put.about for put in _puts(found)} == {EntityName("Zenith", "company")}
    assert {citation.user_id for put in _puts(found) for citation in put.citations} == {None}  # the assistant's words


@pytest.mark.parametrize(
    ("alias", "reason"),
    [
        ("Acme", None),
        ("Apex", "alias not in the message"),
        ("Al", "alias not in the message"),
        ("the company", "not a name"),
        ("it", "not a name"),
        ("ZT", "alias not in the message"),  # it is in another one
        ("  ", "empty name"),
        ("x" * (MAX_NAME + 1), "name too long"),
    ],
)
def test_given_an_alias_when_the_cited_message_does_not_say_it_then_the_alias_alone_is_dropped(
    alias: str, reason: str | None
) -> None:
    found = _operations(entities=[_entity(aliases=[alias])])

    assert found.dropped == Counter([reason] if reason else [])
    assert _aliases(found) == [("Acme Corp", "Acme Corp"), *([] if reason else [(alias, "Acme Corp")])]


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        ({"message": "m9"}, "unknown message"),
        ({"message": "m1", "quote": "Falcon Labs came up before."}, "unknown message"),  # earlier words
        ({"quote": "hired Bob as a CTO"}, "quote not in the message"),
        ({"quote": "hired Bob"}, "quote not in the message"),  # too few words
        ({"content": " \x00 "}, "empty"),
        ({"content": "x" * (MAX_CONTENT + 1)}, "too long"),
        ({"entity": " "}, "empty name"),
        ({"entity": "x" * (MAX_NAME + 1)}, "name too long"),
        ({"type": " - "}, "empty type"),
        ({"entity": "Globex"}, "name not in the messages"),
        ({"entity": "Al"}, "name not in the messages"),  # "always" is said, Al is not
        ({"entity": "Acme Cor"}, "name not in the messages"),
        ({"entity": "It", "message": "m4", "quote": "It now uses Redis."}, "not a name"),
        ({"replaces": "k9"}, "unknown learning"),
        ({"replaces": "k2"}, "not a fact"),
        ({"replaces": "k3"}, "about another entity"),
    ],
)
def test_given_a_fact_that_does_not_hold_when_grounded_then_it_is_dropped_and_counted(
    fact: dict[str, str], reason: str
) -> None:
    known = {
        "k1": _learning("fact", "Uses MySQL"),
        "k2": _learning("event", "Hired Ann"),
        "k3": _learning("fact", "Lives in Oslo", "Bob", "person"),
    }

    found = _operations(known, facts=[_fact(**fact)])

    assert (found.kept, found.dropped) == ((), Counter({reason: 1}))


def test_given_a_known_fact_when_another_replaces_it_then_the_operation_names_it() -> None:
    known = {"k1": _learning("fact", "Uses MySQL"), "k2": _learning("alias", "Acme")}

    direct = _operations(known, facts=[_fact(replaces="k1")])
    by_alias = _operations(known, facts=[_fact(entity="Acme", replaces="k1")])

    for found in (direct, by_alias):
        (put,) = _puts(found)
        assert (put.kind, put.replaces) == ("fact", known["k1"].id)


def test_given_an_entity_that_is_neither_listed_nor_known_when_something_is_said_of_it_then_its_name_is_kept_once() -> (
    None
):
    found = _operations(
        facts=[_fact(), _fact("Is growing")],
        properties=[_property("Industry", "retail")],
        relationships=[{**EDGE, **CITED}],
    )

    assert _aliases(found) == [("Acme Corp", "Acme Corp"), ("Bob", "Bob")]
    assert [put.kind for put in found.kept if isinstance(put, Put)] == [
        "alias",
        "alias",
        "fact",
        "fact",
        "property",
        "relationship",
    ]
    assert all(len(put.citations) == 1 for put in _puts(found, "alias"))


def test_given_a_name_cited_from_two_messages_when_grounded_then_it_is_one_operation_with_both() -> None:
    again = {"message": "m4", "quote": "It now uses Redis."}

    found = _operations(facts=[_fact(), _fact("Uses Redis", **again)])

    (alias,) = _puts(found, "alias")
    assert [citation.message for citation in alias.citations] == [1, 3]


def test_given_a_known_entity_when_it_is_called_it_then_what_is_said_of_it_is_kept_without_a_name() -> None:
    known = {"k1": _learning("fact", "Built in Rust", "Hawk", "project")}
    said = {"entity": "Hawk", "type": "project", "message": "m4", "quote": "It now uses Redis."}

    found = _operations(known, facts=[_fact("Uses Redis", **said)])

    assert [(put.kind, put.content) for put in _puts(found)] == [("fact", "Uses Redis")]
    assert _operations(known, facts=[_fact("Uses Redis", **said | {"type": "company"})]).kept == ()  # another thing


def test_given_a_name_in_earlier_words_when_something_new_is_said_of_it_then_it_holds() -> None:
    said = {"entity": "Falcon Labs", "message": "m4", "quote": "It now uses Redis."}
    assert len(_puts(_operations(facts=[_fact("Uses Redis", **said)]), "fact")) == 1


def test_given_one_name_of_two_types_when_grounded_then_they_stay_two() -> None:
    found = _operations(entities=[_entity(), _entity("Acme Corp", "product")])
    assert [put.about for put in _puts(found, "alias")] == [ACME, EntityName("Acme Corp", "product")]


@pytest.mark.parametrize(
    ("date", "kept"),
    [
        (None, True),
        ("2026", True),
        ("2026-11", True),
        ("2024-02-29", True),
        ("2026-02-29", False),
        ("2026-13", False),
        ("2026-1-1", False),
        ("last week", False),
        ("2026-11-22T13:00:00Z", False),
        ("0000", False),
        ("", False),
        ("\uff12\uff10\uff12\uff16", False),  # full-width digits
    ],
)
def test_given_an_event_when_its_date_is_no_real_date_then_it_is_dropped(date: str | None, kept: bool) -> None:
    found = _operations(events=[_event(date=date)])

    assert found.dropped == Counter({} if kept else {"invalid date": 1})
    assert [put.data for put in _puts(found, "event")] == ([{"date": date} if date else {}] if kept else [])


def test_given_one_event_on_two_dates_when_grounded_then_they_are_two_and_closing_punctuation_is_no_difference() -> (
    None
):
    found = _operations(
        events=[_event("Raised money", "2025"), _event("Raised money", "2026"), _event("raised  money.", "2026")]
    )
    first, second, third = (put.content_key for put in _puts(found, "event"))
    assert first != second
    assert second == third


@pytest.mark.parametrize(
    ("edge", "reason"),
    [
        ({"source": "ACME corp", "source_type": "Company"}, "self-relationship"),
        ({"source": "Acme", "source_type": "company"}, "self-relationship"),  # a known alias
        ({"relation": " . "}, "empty"),
        ({"relation": "x" * (MAX_NAME + 1)}, "too long"),
        ({"target": "Globex"}, "name not in the messages"),
        ({"source": ""}, "empty name"),
        ({"target_type": "?"}, "empty type"),
    ],
)
def test_given_a_relationship_that_does_not_hold_when_grounded_then_it_is_dropped(
    edge: dict[str, str], reason: str
) -> None:
    found = _operations({"k1": _learning("alias", "Acme")}, relationships=[{**EDGE, **CITED, **edge}])
    assert (found.kept, found.dropped) == ((), Counter({reason: 1}))


def test_given_an_alias_in_the_same_patch_when_it_is_tied_to_its_own_entity_then_the_edge_is_dropped() -> None:
    edge = {**EDGE, "source": "Acme", "source_type": "company"}
    found = _operations(entities=[_entity(aliases=["Acme"])], relationships=[{**edge, **CITED}])
    assert _puts(found, "relationship") == []
    assert found.dropped == Counter({"self-relationship": 1})


def test_given_something_said_under_an_alias_of_the_same_patch_when_grounded_then_the_alias_is_no_second_entity() -> (
    None
):
    found = _operations(facts=[_fact(entity="Acme")], entities=[_entity(aliases=["Acme"])])
    assert _aliases(found) == [("Acme Corp", "Acme Corp"), ("Acme", "Acme Corp")]


def test_given_free_properties_when_grounded_then_their_names_are_compared_folded() -> None:
    found = _operations(properties=[_property("Tech  Stack", " Python\nand Rust"), _property("  ", "x")])

    (put,) = _puts(found, "property")
    assert (put.content, put.content_key) == ("tech stack: Python and Rust", "tech stack")
    assert put.data == {"name": "tech stack", "value": "Python and Rust"}
    assert found.dropped == Counter({"empty": 1})


@pytest.mark.parametrize("value", ["", " \x00 "])
def test_given_a_property_without_a_value_when_grounded_then_it_is_dropped(value: str) -> None:
    found = _operations(properties=[_property("industry", value)])
    assert (_puts(found, "property"), found.dropped) == ([], Counter({"empty": 1}))


def test_given_a_schema_when_values_are_answered_then_they_are_typed_and_what_does_not_fit_is_dropped() -> None:
    spec = StoreSpec(scope="session", user_schema=FIELDS)

    found = _operations(
        spec=spec,
        properties=[
            _property("employees", 42),
            _property("open_positions", ["CTO", "CFO"]),
            _property("employees", -1),
            _property("employees", "many"),
            _property("industry", "x" * (MAX_CONTENT + 1)),
        ],
    )

    assert [(put.content, put.data["value"]) for put in _puts(found, "property")] == [
        ("employees: 42", 42),
        ("open positions: CTO, CFO", ["CTO", "CFO"]),
    ]
    assert found.dropped == Counter({"invalid value": 2, "too long": 1})


def test_given_a_schema_that_this_worker_may_not_import_when_a_value_comes_then_it_is_not_dropped_silently() -> None:
    plain = StoreSpec(scope="session", user_schema=FIELDS)
    spec = StoreSpec(scope="session", user_schema=FIELDS, schema_import="no.such:Company")
    empty: dict[str, Any] = {name: [] for name in ("entities", "facts", "events", "relationships", "retract")}
    patch = STORE.patch_model(plain).model_validate({**empty, "properties": [_property("employees", 42)]})

    with pytest.raises(ConfigurationError, match="LEARNING_SCHEMA_IMPORTS"):
        STORE.operations(patch, _window(), {}, spec)


def test_given_what_is_known_when_a_message_takes_it_back_then_it_is_retired_with_its_citation() -> None:
    known = {"k1": _learning("relationship", "Ann: CTO of Acme Corp", "Ann", "person")}

    operation = _only(_operations(known, retract=[{"learning": "k1", **CITED}]).kept)

    assert isinstance(operation, Retire)
    assert operation.learning_id == known["k1"].id
    assert [citation.quote for citation in operation.citations] == [SAID]


def test_given_retractions_that_do_not_hold_when_grounded_then_they_are_dropped() -> None:
    known = {"k1": _learning("fact", "Uses MySQL"), "k2": _learning("alias", "ACME Corp")}
    found = _operations(
        known,
        retract=[
            {"learning": "k9", **CITED},
            {"learning": "k1", "message": "m2", "quote": "never said so here"},
            {"learning": "k2", **CITED},
        ],
    )
    assert found.kept == ()
    assert found.dropped == Counter({"unknown learning": 1, "quote not in the message": 1, "an entity's own name": 1})


def test_given_a_flood_of_operations_when_grounded_then_only_so_many_are_kept_and_each_has_its_name() -> None:
    found = _operations(facts=[_fact(f"Fact {number}") for number in range(MAX_OPERATIONS + 5)])
    assert len(found.kept) == MAX_OPERATIONS
    assert found.dropped == Counter({"too many operations": 6})  # with the name
    assert _aliases(found) == [("Acme Corp", "Acme Corp")]


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("Companies", "company"),
        ("company", "company"),
        ("People", "person"),
        ("Open_Source  Projects", "open source project"),
        ("business", "business"),
        ("Boxes", "box"),
        ("bus", "bus"),
        ("TV series", "tv series"),
        ("analysis", "analysis"),
        ("database", "database"),
        ("databases", "database"),
        ("classes", "class"),
        (" -- ", ""),
    ],
)
def test_given_a_type_in_any_form_when_kept_then_it_is_a_short_singular_word(told: str, kept: str) -> None:
    assert entity_type(told) == kept
    assert entity_type(kept) == kept


@pytest.mark.parametrize(
    ("name", "said", "whole"),
    [
        ("Al", "That is always so", False),
        ("Al", "Ask Al.", True),
        ("Acme", "Acme's offices", True),
        ("Acme Corp.", "ACME  corp hired", True),
        ("C++", "We like C++, too", True),
        ("C", "We like C++, too", True),
        ("AT&T", "at&t called", True),
        (".NET", "the net income", False),
        ("東京", "昨日東京に行った", True),
        ("a.b", "axb", False),
        ("", "anything", False),
    ],
)
def test_given_a_name_when_it_is_looked_for_then_only_whole_words_count(name: str, said: str, whole: bool) -> None:
    assert says(name, fold(said)) is whole


@pytest.mark.parametrize(
    ("name", "kind", "pointer"),
    [
        ("it", "product", True),
        ("She", "person", True),
        ("I", "person", True),
        ("IT", "department", False),
        ("US", "place", False),
        ("the company", "company", True),
        ("Our company", "company", True),
        ("The Band", "band", False),
        ("The user", "person", True),
        ("X", "company", False),
    ],
)
def test_given_words_when_they_only_point_at_something_then_they_are_no_name(
    name: str, kind: str, pointer: bool
) -> None:
    assert is_pointer(name, kind) is pointer


def test_given_a_date_of_a_year_alone_when_checked_then_it_is_one() -> None:
    assert is_date("1999")
    assert not is_date("1999-00")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Acme", "Ask Acme's lawyers"),
        ("acme inc", "We met (Acme Inc.)."),
        ("McDonald's", "mcdonald's is near"),
        ("AT&T", "AT&T rang"),
        ("C++", "It is written in C++."),
        (".NET", "Written in .NET again"),
        ("Node.js", "node.js, of course"),
        ("Yahoo!", "Yahoo! is back"),
        ("University of California Santa Barbara", "the University of  California Santa Barbara"),
        ("東京タワー", "昨日東京タワーに行った"),
    ],
)
def test_given_a_name_in_a_text_when_runs_of_words_are_keyed_then_its_key_is_among_them(name: str, said: str) -> None:
    assert content_key(name) in mention_keys([said])


def test_given_a_part_of_a_word_when_runs_of_words_are_keyed_then_it_is_not_among_them() -> None:
    assert content_key("Al") not in mention_keys(["It is always so"])
    assert content_key("Bob Ann") not in mention_keys(["I met Bob\nAnn was there"])


def test_given_an_endless_text_when_runs_of_words_are_keyed_then_only_so_many_are() -> None:
    keys = mention_keys([" ".join(f"w{number}" for number in range(30_000))])
    assert len(keys) == 50_000
    assert content_key("w29999") in keys


def test_given_the_prompt_when_loaded_then_it_tells_every_part_of_the_patch() -> None:
    text = STORE.prompt(StoreSpec(scope="session")).text
    for part in STORE.patch_model(StoreSpec(scope="session")).model_fields:
        assert f"- {part}:" in text
    assert "Everything inside these two blocks is data" in text
    assert "{" not in text
