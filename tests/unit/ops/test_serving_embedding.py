"""What `up` embeds with, by the variables of the environment that it is started in."""

from pathlib import Path
from typing import Any

import pytest

from learning_machine import ConfigurationError
from learning_ops.serving_embedding import EmbeddingVariables, ServingEmbedding, embedding_of
from learning_ops.serving_model import ServingModel, offline_model
from learning_stores.embedding_endpoint import DEFAULT_MODEL, OPENAI_URL, EmbeddingEndpoint

PROXY = "http://10.0.0.5:8000/v1"
OWN = "http://10.0.0.6:9000/v1"
OFFLINE = offline_model(4711, "made-for-it")
OPENAI = ServingModel(
    name="gpt-5-mini",
    base_url=PROXY,
    env={},
    key={},
    embedding=EmbeddingEndpoint(model=DEFAULT_MODEL, base_url=PROXY, key="users-key"),
)


def embedding(monkeypatch: pytest.MonkeyPatch, model: ServingModel, **variables: str) -> ServingEmbedding:
    for name in ("MODEL", "BASE_URL", "API_KEY", "DIMENSIONS"):
        monkeypatch.delenv(f"LEARNING_EMBEDDING_{name}", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "users-key")
    for name, value in variables.items():
        monkeypatch.setenv(f"LEARNING_EMBEDDING_{name}", value)
    return embedding_of(model, EmbeddingVariables())


@pytest.mark.parametrize("model", [OFFLINE, OPENAI], ids=["offline", "openai"])
def test_given_no_variables_when_started_then_what_the_model_brings_along_embeds(
    monkeypatch: pytest.MonkeyPatch, model: ServingModel
) -> None:
    found = embedding(monkeypatch, model)

    assert (found.endpoint, found.variables) == (model.embedding, ())
    assert found == embedding_of(model, None)
    assert found.is_offline is model.is_offline


@pytest.mark.parametrize(
    ("model", "variables", "expected"),
    [
        (OFFLINE, {"MODEL": "e5", "BASE_URL": OWN}, ("e5", OWN, None, None)),
        (OFFLINE, {"BASE_URL": OWN, "API_KEY": "own-key"}, (DEFAULT_MODEL, OWN, "own-key", None)),
        (OFFLINE, {"MODEL": "text-embedding-3-large"}, ("text-embedding-3-large", OPENAI_URL, "users-key", None)),
        (OFFLINE, {"DIMENSIONS": "64"}, ("offline-rules-1", OFFLINE.base_url, "made-for-it", 64)),
        (OPENAI, {"MODEL": "text-embedding-3-large"}, ("text-embedding-3-large", PROXY, "users-key", None)),
        (OPENAI, {"API_KEY": "own-key", "DIMENSIONS": "256"}, (DEFAULT_MODEL, PROXY, "own-key", 256)),
        (OPENAI, {"MODEL": "e5", "BASE_URL": OWN}, ("e5", OWN, None, None)),
    ],
)
def test_given_variables_when_started_then_each_replaces_its_own_and_no_key_goes_where_it_was_not_meant_to(
    monkeypatch: pytest.MonkeyPatch,
    model: ServingModel,
    variables: dict[str, str],
    expected: tuple[Any, ...],
) -> None:
    found = embedding(monkeypatch, model, **variables)

    at = found.endpoint
    assert at is not None
    assert (at.model, at.base_url, at.key, at.dimensions) == expected
    assert set(found.variables) == {f"LEARNING_EMBEDDING_{name}" for name in variables}
    assert "users-key" not in found.env.values()
    assert "own-key" not in found.env.values()
    assert "own-key" not in found.name_alone.values()


def test_given_an_empty_model_when_started_then_nothing_is_embedded_whatever_else_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = embedding(monkeypatch, OPENAI, MODEL="", BASE_URL=OWN, API_KEY="own-key")

    assert (found.endpoint, found.env, found.key) == (None, {"LEARNING_EMBEDDING_MODEL": ""}, {})
    assert found.name_alone == {"LEARNING_EMBEDDING_MODEL": ""}


@pytest.mark.parametrize("model", [OFFLINE, OPENAI], ids=["offline", "openai"])
def test_given_what_an_earlier_start_exported_for_the_offline_model_when_started_then_its_address_and_key_count_no_more(
    monkeypatch: pytest.MonkeyPatch, model: ServingModel
) -> None:
    stale = {"MODEL": "offline-rules-1", "BASE_URL": "http://127.0.0.1:1/v1", "API_KEY": "made-before"}

    found = embedding(monkeypatch, model, **stale)

    assert found.endpoint == model.embedding


def test_given_what_an_earlier_start_wrote_into_its_file_when_started_then_it_says_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".learning").mkdir()
    (tmp_path / ".learning" / "env").write_text("LEARNING_EMBEDDING_MODEL='e5'\n")
    monkeypatch.chdir(tmp_path)

    assert embedding(monkeypatch, OFFLINE).endpoint == OFFLINE.embedding


def test_given_a_model_of_openais_without_a_key_when_checked_then_it_says_which_variables_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embedding(monkeypatch, OFFLINE, MODEL=DEFAULT_MODEL)
    EmbeddingVariables().check()
    monkeypatch.delenv("OPENAI_API_KEY")

    with pytest.raises(ConfigurationError, match=r"OPENAI_API_KEY: is not set.*LEARNING_EMBEDDING_API_KEY"):
        EmbeddingVariables().check()
