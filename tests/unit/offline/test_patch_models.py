"""The patch models of the project itself, sent as the workers send them."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import openai

from learning_schemas.knowledge_patch import knowledge_patch_model
from learning_schemas.patch import profile_patch_model, session_patch_model
from learning_schemas.profile import UserProfile, json_schema_of
from learning_schemas.spec import StoreSpec


@dataclass
class Address:
    city: str | None = None
    zip: int | None = None


@dataclass
class CustomerProfile(UserProfile):
    company: str | None = field(default=None, metadata={"description": "Where the customer works"})
    seats: int | None = None
    tier: Literal["free", "pro"] | None = None
    hobbies: list[str] = field(default_factory=list)
    address: Address | None = None
    extra: dict[str, str] = field(default_factory=dict)


def test_given_the_default_profile_when_its_patch_is_asked_for_then_it_is_accepted_and_filled(
    client: openai.OpenAI, material: Any
) -> None:
    said = material([{"id": "m1", "role": "user", "text": "I'm Alex, I prefer concise answers."}])

    patch: Any = client.responses.parse(
        model="m", input=said, text_format=profile_patch_model(StoreSpec(scope="user"))
    ).output_parsed

    assert patch.fields.name.value == "Alex"
    assert patch.fields.preferred_name is None
    assert [one.content for one in patch.add] == ["Prefers concise answers"]


def test_given_a_profile_of_every_type_when_its_patch_is_asked_for_then_it_is_accepted_and_fitting_fields_are_filled(
    client: openai.OpenAI, material: Any
) -> None:
    store = StoreSpec(scope="user", user_schema=json_schema_of(CustomerProfile))
    said = material([{"id": "m1", "role": "user", "text": "I work at Netflix. I love chess and I live in Oslo."}])

    patch: Any = client.responses.parse(model="m", input=said, text_format=profile_patch_model(store)).output_parsed

    assert (patch.fields.company.value, patch.fields.hobbies.value) == ("Netflix", ["chess"])
    assert [patch.fields.seats, patch.fields.tier, patch.fields.address, patch.fields.extra] == [None] * 4
    assert [one.content for one in patch.add] == ["Lives in Oslo"]


def test_given_session_patches_when_asked_for_then_planning_decides_what_is_answered(
    client: openai.OpenAI, material: Any
) -> None:
    said = material([{"id": "m1", "role": "user", "text": "I want to paint the fence. First sand it, then paint it."}])

    plain: Any = client.responses.parse(
        model="m", input=said, text_format=session_patch_model(StoreSpec(scope="session"))
    ).output_parsed
    planned: Any = (
        client.chat.completions.parse(
            model="m",
            messages=[{"role": "user", "content": said}],
            response_format=session_patch_model(StoreSpec(scope="session", options={"planning": True})),
        )
        .choices[0]
        .message.parsed
    )

    assert plain.model_dump().keys() == {"summary"}
    assert planned.goal.content == "Paint the fence"
    assert planned.plan.steps == ["Sand it", "Paint it"]
    assert planned.progress is None


def test_given_the_formats_of_entities_and_insights_when_asked_for_by_either_endpoint_then_they_are_filled_and_cited(
    client: openai.OpenAI, material: Any, entity_schema: Any, insight_schema: Any
) -> None:
    said = material(
        [
            {"id": "m1", "role": "user", "at": "2026-11-22T13:00:00Z", "text": "Acme Corp hired Bob yesterday."},
            {"id": "m2", "role": "assistant", "at": "2026-11-22T13:00:00Z", "text": "Tip: announce new hires early."},
        ],
        [{"id": "k1", "kind": "insight", "title": "Test first", "text": "Test the rollback first"}],
    )

    for name, schema in (("entity_memory_patch", entity_schema()), ("learned_knowledge_patch", insight_schema())):
        form = {"name": name, "strict": True, "schema": schema}
        text: Any = {"format": {"type": "json_schema", **form}}
        wanted: Any = {"type": "json_schema", "json_schema": form}
        response = client.responses.create(model="m", input=said, text=text)
        completion = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": said}], response_format=wanted
        )

        patch = json.loads(response.output_text)
        assert patch == json.loads(completion.choices[0].message.content or "")
        assert set(patch) == set(schema["properties"])
        if name == "entity_memory_patch":
            assert [(one["content"], one["date"], one["message"]) for one in patch["events"]] == [
                ("Hired Bob", "2026-11-21", "m1")
            ]
        else:
            assert [(one["title"], one["message"]) for one in patch["insights"]] == [("Announce new hires early", "m2")]


def test_given_learned_knowledge_when_its_patch_is_asked_for_then_it_is_accepted_and_filled_with_own_fields_or_without(
    client: openai.OpenAI, material: Any
) -> None:
    said = material(
        [
            {"id": "m1", "role": "user", "text": "Lesson learned: always pin dependencies when building images."},
            {"id": "m2", "role": "assistant", "text": "And test the rollback before a deploy, as we know."},
        ]
    )
    for schema in (None, json_schema_of(CustomerProfile)):
        store = StoreSpec(scope="session", user_schema=schema)

        patch: Any = client.responses.parse(
            model="m", input=said, text_format=knowledge_patch_model(store)
        ).output_parsed

        (insight,) = patch.insights
        assert (insight.learning, insight.message) == ("Always pin dependencies when building images", "m1")
        assert (patch.confirm, patch.retract) == ([], [])
        if schema is not None:
            assert set(insight.fields.model_dump().values()) == {None}


def test_given_a_session_with_fields_of_its_own_when_its_patch_is_asked_for_then_they_are_null(
    client: openai.OpenAI, material: Any
) -> None:
    said = material([{"id": "m1", "role": "user", "text": "I want to paint the fence."}])
    store = StoreSpec(scope="session", user_schema=json_schema_of(CustomerProfile))

    patch: Any = client.responses.parse(model="m", input=said, text_format=session_patch_model(store)).output_parsed

    assert patch.summary is not None
    assert set(patch.fields.model_dump().values()) == {None}
