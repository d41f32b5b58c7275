"""The patch model of entity memory: the strict format, with the types and property names that a spec lists."""

from typing import Any

import pytest
from pydantic import ValidationError

from learning_ops.offline.entity_rules import entity_patch
from learning_ops.offline.instance import fits
from learning_ops.offline.strict_schema import check_strict_schema
from learning_ops.offline.transcript import Known, Line, Transcript
from learning_schemas.entity_patch import entity_patch_model
from learning_schemas.errors import ConfigurationError
from learning_schemas.spec import StoreSpec

CITED = {"message": "m1", "quote": "Acme Corp has 42 employees"}
ABOUT = {"entity": "Acme Corp", "type": "company"}
FIELDS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "industry": {"type": "string", "description": "What it earns its money with"},
        "employees": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "scores": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
}


def _spec(*types: str, schema: dict[str, Any] | None = None) -> StoreSpec:
    return StoreSpec(scope="session", user_schema=schema, options={"types": list(types)} if types else {})


def _patch(**parts: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {
        name: [] for name in ("entities", "facts", "properties", "events", "relationships", "retract")
    }
    return empty | parts


@pytest.mark.parametrize(
    "spec",
    [
        _spec(),
        _spec("company"),
        _spec("company", "person"),
        _spec(schema=FIELDS),
        _spec("person", schema={"type": "object", "properties": {"industry": {"type": "string"}}}),
    ],
)
def test_given_any_spec_then_the_patchs_schema_is_strict_and_of_the_stores_name(spec: StoreSpec) -> None:
    model = entity_patch_model(spec)

    check_strict_schema(model.model_json_schema())
    assert model.__name__ == "entity_memory_patch"


def test_given_what_the_offline_model_answers_then_the_patch_takes_it_and_its_schema_fits_it() -> None:
    said = (
        "Acme Corp just migrated to PostgreSQL and hired Bob as CTO. Acme Corp has 42 employees. "
        "Acme Corporation (Acme) switched from Slack to Zulip. Ann left Acme Corp."
    )
    known = (
        Known(id="k1", kind="fact", text="Uses Slack", entity="Acme Corporation", type="company"),
        Known(
            id="k2",
            kind="relationship",
            text="Ann: designer at Acme Corp",
            entity="Ann",
            type="person",
            relation="designer at",
            target="Acme Corp",
        ),
    )
    schema = entity_patch_model(_spec()).model_json_schema()

    answer = entity_patch(Transcript(known=known, lines=(Line(id="m1", role="user", text=said),)), schema)

    assert fits(answer, schema, schema)
    patch = entity_patch_model(_spec()).model_validate(answer)
    assert [(one.source, one.relation, one.target) for one in patch.relationships] == [("Bob", "CTO of", "Acme Corp")]
    assert [one.replaces for one in patch.facts] == [None, "k1"]
    assert [one.learning for one in patch.retract] == ["k2"]
    assert all(
        part
        for part in (patch.entities, patch.facts, patch.properties, patch.events, patch.relationships, patch.retract)
    )


def test_given_types_in_the_spec_when_another_is_answered_then_it_is_refused() -> None:
    model = entity_patch_model(_spec("company", "person"))
    fact = {**ABOUT, "content": "Uses PostgreSQL", "replaces": None, **CITED}

    assert model.model_validate(_patch(facts=[fact])).facts[0].type == "company"
    with pytest.raises(ValidationError):
        model.model_validate(_patch(facts=[{**fact, "type": "project"}]))
    edge = {"source": "Bob", "source_type": "person", "relation": "CTO of", "target": "Acme", "target_type": "firm"}
    with pytest.raises(ValidationError):
        model.model_validate(_patch(relationships=[{**edge, **CITED}]))


def test_given_a_schema_then_each_property_has_its_own_type_and_description_and_no_other_name_is_taken() -> None:
    model = entity_patch_model(_spec(schema=FIELDS))

    forms = model.model_json_schema()["properties"]["properties"]["items"]["anyOf"]
    asked = {form["properties"]["name"]["enum"][0]: form["properties"]["value"] for form in forms}
    assert set(asked) == set(FIELDS["properties"])
    assert asked["industry"] == FIELDS["properties"]["industry"]
    assert asked["employees"] == {"type": "integer", "minimum": 0}

    taken = model.model_validate(_patch(properties=[{**ABOUT, "name": "employees", "value": 42, **CITED}]))
    assert taken.properties[0].model_dump() == {**ABOUT, "name": "employees", "value": 42, **CITED}
    with pytest.raises(ValidationError):
        model.model_validate(_patch(properties=[{**ABOUT, "name": "mood", "value": "good", **CITED}]))


def test_given_no_schema_when_a_value_is_no_text_then_it_is_refused() -> None:
    with pytest.raises(ValidationError):
        entity_patch_model(_spec()).model_validate(
            _patch(properties=[{**ABOUT, "name": "employees", "value": 42, **CITED}])
        )


@pytest.mark.parametrize("missing", ["message", "quote", "replaces", "type"])
def test_given_an_answer_that_leaves_something_out_then_it_is_refused(missing: str) -> None:
    fact = {**ABOUT, "content": "Uses PostgreSQL", "replaces": None, **CITED}
    del fact[missing]
    with pytest.raises(ValidationError):
        entity_patch_model(_spec()).model_validate(_patch(facts=[fact]))


@pytest.mark.parametrize("types", ["company", [], [1], [" "], ["x"] * 101])
def test_given_types_that_are_no_list_of_words_when_the_model_is_made_then_the_option_is_named(types: Any) -> None:
    with pytest.raises(ConfigurationError, match="types"):
        entity_patch_model(StoreSpec(scope="session", options={"types": types}))
