"""Whether anything is embedded, with what, and where: from settings alone."""

import os
from pathlib import Path
from typing import Any

import pytest

from learning_schemas.errors import ConfigurationError
from learning_stores.embedding_endpoint import OPENAI_URL, EmbeddingEndpoint, embedding_name, parsed_name
from learning_stores.settings import AgentSettings, ServiceSettings
from learning_workers.models import load_catalogue

SERVER = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith(("LEARNING_", "OPENAI_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "of-openai")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"embedding_model": ""}, None),
        ({"embedding_model": " ", "embedding_base_url": SERVER, "embedding_api_key": "k"}, None),
        ({"embedding_base_url": ""}, None),
        ({"embedding_dimensions": 256}, None),
        ({"embedding_base_url": SERVER}, ("text-embedding-3-small", SERVER, None, None)),
        ({"embedding_api_key": "k"}, None),
        ({"embedding_model": "m", "embedding_api_key": "k"}, ("m", OPENAI_URL, "k", None)),
        ({"embedding_model": "m"}, ("m", OPENAI_URL, "of-openai", None)),
        ({"embedding_model": "m", "embedding_base_url": f"{OPENAI_URL}/"}, ("m", f"{OPENAI_URL}/", "of-openai", None)),
        (
            {"embedding_model": "m", "embedding_base_url": SERVER, "embedding_dimensions": 8},
            ("m@8", SERVER, None, 8),
        ),
    ],
)
def test_given_settings_when_the_endpoint_is_asked_for_then_it_is_there_where_model_or_address_is_set(
    given: dict[str, Any], expected: tuple[str, str, str | None, int | None] | None
) -> None:
    found = AgentSettings.load(**given).embedding_endpoint()

    assert (found and (found.name, found.base_url, found.key, found.dimensions)) == expected


def test_given_an_endpoint_when_printed_then_its_key_is_not_shown() -> None:
    assert "secret" not in repr(EmbeddingEndpoint(model="m", key="secret"))


@pytest.mark.parametrize("value", ["0", "16001", "many"])
def test_given_dimensions_that_no_vector_has_when_loaded_then_the_variable_is_named(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARNING_EMBEDDING_DIMENSIONS", value)
    with pytest.raises(ConfigurationError, match="LEARNING_EMBEDDING_DIMENSIONS"):
        AgentSettings.load()


@pytest.mark.parametrize(
    ("model", "dimensions", "name"),
    [("m", None, "m"), ("m", 256, "m@256"), ("a@b", None, "a@b"), ("a@b", 3, "a@b@3"), ("m@0", None, "m@0")],
)
def test_given_model_and_dimensions_when_named_then_the_name_tells_both(
    model: str, dimensions: int | None, name: str
) -> None:
    assert embedding_name(model, dimensions) == name
    assert parsed_name(name) == (model, dimensions)


def test_given_the_models_file_when_another_model_is_looked_up_then_its_address_is_there_or_it_is_not_known() -> None:
    catalogue = load_catalogue(ServiceSettings.load(embedding_model="mine", embedding_base_url=SERVER))

    def endpoint(name: str) -> tuple[str, str, int | None] | None:
        found = catalogue.embedding_endpoint(name)
        return found and (found.model, found.base_url, found.dimensions)

    assert endpoint("mine") == ("mine", SERVER, None)
    assert endpoint("mine@64") == ("mine", SERVER, 64)
    assert endpoint("text-embedding-3-large@256") == ("text-embedding-3-large", OPENAI_URL, 256)
    assert endpoint("unknown") is None
    assert endpoint("offline-rules-1") is None
    small = catalogue.embedding_model("text-embedding-3-small")
    assert (small.dimensions, small.inputs, small.cost(1_000_000)) == (1536, 2048, small.price)
    assert catalogue.embedding_model("unknown").cost(5) is None
