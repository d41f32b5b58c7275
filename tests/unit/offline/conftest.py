"""A running offline model and the OpenAI SDK pointed at it."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from learning_ops.offline.server import OfflineModel, Settings, running


@pytest.fixture
def offline() -> Iterator[OfflineModel]:
    with running(Settings(control=True)) as model:
        yield model


@pytest.fixture
def client(offline: OfflineModel) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=offline.url, api_key="unused", max_retries=0) as sdk:
        yield sdk


def material(lines: list[dict[str, Any]], known: list[dict[str, Any]] | None = None) -> str:
    """The user message of an extraction call."""

    def rows(records: list[dict[str, Any]]) -> str:
        escaped = [
            json.dumps(record, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e") for record in records
        ]
        return "".join(f"{row}\n" for row in escaped)

    return f"<known>\n{rows(known or [])}</known>\n<transcript>\n{rows(lines)}</transcript>"


@pytest.fixture(name="material")
def material_fixture() -> Any:
    return material


def profile_schema(**fields: dict[str, Any]) -> dict[str, Any]:
    """A strict user_profile_patch schema with the given value schemas; name and preferred_name where none are given."""

    def closed(**properties: Any) -> dict[str, Any]:
        return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}

    text = {"type": "string"}
    fields = fields or {"name": {"type": ["string", "null"]}, "preferred_name": {"type": ["string", "null"]}}
    cited = {"message": text, "quote": text}
    return closed(
        fields=closed(
            **{name: {"anyOf": [closed(value=value, **cited), {"type": "null"}]} for name, value in fields.items()}
        ),
        add={"type": "array", "items": closed(content=text, **cited)},
        update={"type": "array", "items": closed(learning=text, content=text, **cited)},
        retract={"type": "array", "items": closed(learning=text, **cited)},
    )


@pytest.fixture(name="profile_schema")
def profile_schema_fixture() -> Any:
    return profile_schema


def closed(**properties: Any) -> dict[str, Any]:
    """A strict object schema."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def entity_schema(*types: str) -> dict[str, Any]:
    """A strict entity_memory_patch schema; `types` are the only entity types that it takes, none takes any."""
    text, maybe = {"type": "string"}, {"anyOf": [{"type": "string"}, {"type": "null"}]}
    kind = {"type": "string", "enum": list(types)} if types else text
    cited = {"message": text, "quote": text}
    about = {"entity": text, "type": kind}

    def several(**properties: Any) -> dict[str, Any]:
        return {"type": "array", "items": closed(**properties, **cited)}

    names = {"type": "array", "items": text}
    return closed(
        entities=several(name=text, type=kind, aliases=names, description=maybe),
        facts=several(**about, content=text, replaces=maybe),
        properties=several(**about, name=text, value=text),
        events=several(**about, content=text, date=maybe),
        relationships=several(source=text, source_type=kind, relation=text, target=text, target_type=kind),
        retract=several(learning=text),
    )


@pytest.fixture(name="entity_schema")
def entity_schema_fixture() -> Any:
    return entity_schema


def insight_schema() -> dict[str, Any]:
    """A strict learned_knowledge_patch schema."""
    text, maybe = {"type": "string"}, {"anyOf": [{"type": "string"}, {"type": "null"}]}
    cited = {"message": text, "quote": text}
    known = {"type": "array", "items": closed(learning=text, **cited)}
    insight = closed(title=text, learning=text, context=maybe, tags={"type": "array", "items": text}, **cited)
    return closed(insights={"type": "array", "items": insight}, confirm=known, retract=known)


@pytest.fixture(name="insight_schema")
def insight_schema_fixture() -> Any:
    return insight_schema


def session_schema(*, planning: bool) -> dict[str, Any]:
    """A strict session_context_patch schema."""

    def part(**properties: Any) -> dict[str, Any]:
        whole = {**properties, "messages": {"type": "array", "items": {"type": "string"}}}
        closed = {"type": "object", "properties": whole, "required": list(whole), "additionalProperties": False}
        return {"anyOf": [closed, {"type": "null"}]}

    properties = {"summary": part(content={"type": "string"})}
    if planning:
        steps = {"type": "array", "items": {"type": "string"}}
        properties |= {
            "goal": part(content={"type": "string"}),
            "plan": part(steps=steps),
            "progress": part(steps=steps),
        }
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


@pytest.fixture(name="session_schema")
def session_schema_fixture() -> Any:
    return session_schema
