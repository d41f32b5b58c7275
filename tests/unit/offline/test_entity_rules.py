"""What messages say about named things, set against what is known of them and what the schema takes."""

from typing import Any

import pytest

from learning_ops.offline.entity_rules import entity_patch
from learning_ops.offline.instance import fits
from learning_ops.offline.transcript import read_transcript
from learning_stores.grounding import quote_holds

AT = "2026-11-22T13:00:00Z"
ACME = {"entity": "Acme Corp", "type": "company"}


@pytest.fixture
def patch(material: Any, entity_schema: Any) -> Any:
    def made(*said: Any, known: list[dict[str, Any]] | None = None, types: tuple[str, ...] = ()) -> dict[str, Any]:
        lines = [
            {"id": f"m{number}", "role": "user", "at": AT, **({"text": one} if isinstance(one, str) else one)}
            for number, one in enumerate(said, start=1)
        ]
        schema = entity_schema(*types)
        read = read_transcript(material(lines, known))
        assert read is not None
        result = entity_patch(read, schema)
        assert fits(result, schema, schema)
        texts = {line["id"]: line["text"] for line in lines}
        assert all(quote_holds(one["quote"], texts[one["message"]]) for several in result.values() for one in several)
        return result

    return made


def uses(what: str, label: str = "k1") -> dict[str, Any]:
    return {"id": label, "kind": "fact", **ACME, "text": f"Uses {what}"}


def entities(result: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one["name"], one["type"]) for one in result["entities"]}


def facts(result: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(one["entity"], one["content"], one["replaces"]) for one in result["facts"]]


def test_given_two_things_in_one_sentence_when_read_then_entities_a_fact_events_and_an_edge_come_of_it(
    patch: Any,
) -> None:
    said = "Acme Corp just migrated to PostgreSQL and hired Bob as CTO."
    cite = {"message": "m1", "quote": said}

    assert patch(said) == {
        "entities": [
            {"name": "Acme Corp", "type": "company", "aliases": [], "description": None, **cite},
            {"name": "Bob", "type": "person", "aliases": [], "description": None, **cite},
        ],
        "facts": [{**ACME, "content": "Uses PostgreSQL", "replaces": None, **cite}],
        "properties": [],
        "events": [
            {**ACME, "content": "Migrated to PostgreSQL", "date": "2026-11-22", **cite},
            {**ACME, "content": "Hired Bob as CTO", "date": "2026-11-22", **cite},
        ],
        "relationships": [
            {
                "source": "Bob",
                "source_type": "person",
                "relation": "CTO of",
                "target": "Acme Corp",
                "target_type": "company",
                **cite,
            }
        ],
        "retract": [],
    }


@pytest.mark.parametrize(
    ("known", "said", "replaces"),
    [
        ([uses("MySQL")], "Acme Corp switched to PostgreSQL.", "k1"),
        ([uses("Slack"), uses("MySQL", "k2")], "Acme Corp migrated to PostgreSQL.", "k2"),
        ([uses("Slack")], "Acme Corp migrated to PostgreSQL.", None),
        ([uses("MySQL"), uses("Oracle", "k2")], "Acme Corp migrated from Oracle to PostgreSQL.", "k2"),
        ([uses("Quillbase")], "Acme Corp switched to Inkwell.", "k1"),
        ([uses("Quillbase"), uses("Slack", "k2")], "Acme Corp switched to Inkwell.", None),
        ([uses("MySQL")], "Acme Corp uses PostgreSQL.", None),
        ([uses("PostgreSQL")], "Acme Corp switched to PostgreSQL.", None),
        ([{"id": "k1", "kind": "fact", **ACME, "text": "Based in Berlin"}], "Acme Corp is based in Lyon.", "k1"),
        ([{**uses("MySQL"), "entity": "Acme Ltd"}], "Acme Corp switched to PostgreSQL.", None),
        ([{**uses("MySQL"), "type": "project"}], "Acme Corp switched to PostgreSQL.", None),
    ],
)
def test_given_a_known_fact_when_another_of_its_slot_is_said_then_it_replaces_only_what_it_makes_untrue(
    patch: Any, known: list[dict[str, Any]], said: str, replaces: str | None
) -> None:
    assert [one[2] for one in facts(patch(said, known=known))] == [replaces]


def test_given_a_fact_and_its_replacement_in_one_window_when_read_then_the_later_one_stands(patch: Any) -> None:
    result = patch("Acme Corp uses MySQL.", "Acme Corp switched from MySQL to PostgreSQL.")

    assert facts(result) == [("Acme Corp", "Uses PostgreSQL", None)]


def test_given_a_use_that_ended_when_read_then_the_known_fact_is_retracted_and_no_other(patch: Any) -> None:
    result = patch("Acme Corp no longer uses MySQL.", known=[uses("MySQL"), uses("Redis", "k2")])

    assert [one["learning"] for one in result["retract"]] == ["k1"]
    assert result["facts"] == []


def test_given_a_known_entity_when_it_is_named_again_then_it_is_not_listed_but_its_news_is(patch: Any) -> None:
    result = patch("Acme Corp uses Redis.", known=[uses("MySQL")])

    assert result["entities"] == []
    assert facts(result) == [("Acme Corp", "Uses Redis", None)]


def test_given_a_known_alias_when_it_is_used_then_what_is_said_is_said_of_the_entity(patch: Any) -> None:
    known = [{"id": "k1", "kind": "alias", **ACME, "text": "Acme"}]

    result = patch("Acme uses Redis.", known=known)

    assert facts(result) == [("Acme Corp", "Uses Redis", None)]
    assert result["entities"] == []


def test_given_an_alias_in_the_same_window_when_it_is_used_later_then_both_names_are_one_entity(patch: Any) -> None:
    result = patch("Acme Corporation (Acme) is based in Tucson.", "Acme hired Bob.")

    assert entities(result) == {("Acme Corporation", "company"), ("Bob", "person")}
    assert result["entities"][0]["aliases"] == ["Acme"]
    assert result["events"][0]["entity"] == "Acme Corporation"


def test_given_names_that_are_only_alike_when_read_then_they_stay_two(patch: Any) -> None:
    result = patch("Acme uses Redis. Acme Corp uses Kafka. Al works at Alfa. Always works at nothing.")

    assert {name for name, _ in entities(result)} == {"Acme", "Acme Corp", "Al", "Alfa"}


def test_given_one_name_of_two_types_when_read_then_they_stay_two(patch: Any) -> None:
    result = patch("The company Apollo hired Ann. We are late with project Apollo.")

    assert {("Apollo", "company"), ("Apollo", "project")} <= entities(result)


def test_given_a_name_whose_type_is_known_when_a_weak_verb_takes_it_then_the_known_type_holds(patch: Any) -> None:
    known = [{"id": "k1", "kind": "fact", "entity": "Falcon", "type": "product", "text": "Written in Rust"}]

    assert patch("Falcon uses Redis.", known=known)["facts"][0]["type"] == "product"


def test_given_a_new_holder_of_a_sole_office_when_read_then_the_old_one_is_retracted(patch: Any) -> None:
    office = {"relation": "CEO of", "target": "Acme Corp", "target_type": "company"}
    known = [
        {"id": "k1", "kind": "relationship", "entity": "Ann", "type": "person", "text": "CEO of Acme Corp", **office}
    ]

    result = patch("Bob is the CEO of Acme Corp.", known=known)

    assert [one["source"] for one in result["relationships"]] == ["Bob"]
    assert [one["learning"] for one in result["retract"]] == ["k1"]
    assert patch("Ann is the CEO of Acme Corp.", known=known)["retract"] == []


def test_given_somebody_who_left_when_read_then_what_tied_them_is_retracted_and_the_leaving_is_an_event(
    patch: Any,
) -> None:
    tie = {"relation": "designer at", "target": "Acme Corp", "target_type": "company"}
    known = [
        {"id": "k1", "kind": "relationship", "entity": "Ann", "type": "person", "text": "designer at Acme Corp", **tie},
        {"id": "k2", "kind": "fact", "entity": "Ann", "type": "person", "text": "Lives in Oslo"},
    ]

    result = patch("Ann left Acme Corp yesterday.", known=known)

    assert [one["learning"] for one in result["retract"]] == ["k1"]
    assert [(one["content"], one["date"]) for one in result["events"]] == [("Left Acme Corp", "2026-11-21")]


def test_given_the_same_words_twice_when_read_then_they_are_one_operation(patch: Any) -> None:
    result = patch("Acme Corp uses Redis.", "Yes, Acme Corp uses Redis.")

    assert len(result["facts"]) == len(result["entities"]) == 1


def test_given_a_schema_with_its_own_types_when_read_then_what_it_does_not_take_is_left_out(patch: Any) -> None:
    result = patch("Acme Corp hired Bob as CTO.", types=("person",))

    assert entities(result) == {("Bob", "person")}
    assert result["events"] == result["relationships"] == []


def test_given_lines_by_role_when_read_then_user_and_assistant_speak_and_others_and_earlier_lines_do_not(
    patch: Any,
) -> None:
    result = patch(
        {"role": "assistant", "text": "Acme Corp uses Redis."},
        {"role": "tool", "text": "Acme Corp uses Kafka."},
        {"role": "system", "text": "Acme Corp uses Nomad."},
        {"role": "user", "text": "Acme Corp uses Jira.", "earlier": True},
    )

    assert facts(result) == [("Acme Corp", "Uses Redis", None)]


def test_given_material_for_the_user_alone_when_read_then_the_user_is_no_entity(patch: Any) -> None:
    result = patch("I'm Alice, I live in Oslo and I work at Initech.")

    assert entities(result) == {("Initech", "company")}
    assert result["facts"] == result["relationships"] == []
