"""Where `up --model openai` asks, by the variables of the environment that it is started in."""

import pytest

from learning_machine import ConfigurationError
from learning_ops.offline import OFFLINE_MODEL_NAME
from learning_ops.serving_model import Gateway, openai_model
from learning_stores.embedding_endpoint import OPENAI_URL

GATEWAY = "http://10.0.0.5:8000/v1"


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODEL", "MODEL_BASE_URL", "MODEL_API_KEY", "MODELS_FILE"):
        monkeypatch.delenv(f"LEARNING_{name}", raising=False)


def test_given_no_gateway_when_started_then_openai_is_asked_with_its_key() -> None:
    found = openai_model("users-key", Gateway.of_environment())

    assert (found.base_url, found.key, found.env) == (
        OPENAI_URL,
        {"OPENAI_API_KEY": "users-key"},
        {"LEARNING_MODEL": found.name},
    )


def test_given_a_gateway_when_started_then_conversations_and_what_is_learned_go_there_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEARNING_MODEL_BASE_URL", GATEWAY)

    found = openai_model("users-key", Gateway.of_environment())

    assert (found.base_url, found.embedding.base_url, found.env["LEARNING_MODEL_BASE_URL"]) == (GATEWAY,) * 3
    assert found.key == {"OPENAI_API_KEY": "users-key"}


def test_given_a_gateway_with_a_key_of_its_own_when_started_then_no_other_key_is_sent_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEARNING_MODEL_BASE_URL", GATEWAY)
    monkeypatch.setenv("LEARNING_MODEL_API_KEY", "gateways-key")

    found = openai_model("users-key", Gateway.of_environment())

    assert (found.key, found.embedding.key) == ({"LEARNING_MODEL_API_KEY": "gateways-key"}, "gateways-key")


def test_given_an_earlier_offline_start_in_the_environment_when_started_with_openai_then_its_address_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEARNING_MODEL", OFFLINE_MODEL_NAME)
    monkeypatch.setenv("LEARNING_MODEL_BASE_URL", "http://127.0.0.1:4711/v1")

    assert openai_model("users-key", Gateway.of_environment()).base_url == OPENAI_URL


def test_given_no_key_at_all_then_it_says_which_is_missing() -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        openai_model(None)
