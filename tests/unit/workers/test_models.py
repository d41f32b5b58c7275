"""The models file: what is shipped, what settings override, and errors that name what is wrong."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from learning_schemas.errors import ConfigurationError
from learning_stores.settings import ServiceSettings
from learning_workers.models import load_catalogue

OWN = """
[models.mine]
base_url = "http://127.0.0.1:1/v1"
api = "chat"
key_variable = "MY_KEY"
max_output_tokens = 500
"""


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LEARNING_MODEL_BASE_URL", "LEARNING_MODEL_API_KEY", "LEARNING_MODELS_FILE", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def settings(**values: Any) -> ServiceSettings:
    return ServiceSettings.load(**values)


def own(tmp_path: Path, text: str) -> ServiceSettings:
    path = tmp_path / "own.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return settings(models_file=path)


def test_given_the_shipped_file_when_loaded_then_the_default_model_is_in_it_with_its_price() -> None:
    catalogue = load_catalogue(settings())

    model = catalogue.get(settings().model)
    assert model is not None
    assert model.base_url == "https://api.openai.com/v1"
    assert model.cost(1_000_000, 0, 0) == model.input
    offline = catalogue.get("offline-rules-1")
    assert offline is not None
    assert "--model openai" in str(offline.nothing_found)
    assert catalogue.get("gpt-99") is None


def test_given_a_base_url_and_a_key_in_the_settings_when_asked_then_they_replace_every_models_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    plain = load_catalogue(settings())
    overridden = load_catalogue(settings(model_base_url="http://127.0.0.1:9/v1", model_api_key="from-settings"))

    model = plain.get("gpt-5-mini")
    assert model is not None
    assert plain.key(model) == "from-the-environment"
    assert overridden.key(model) == "from-settings"
    elsewhere = overridden.get("gpt-5-mini")
    assert elsewhere is not None
    assert elsewhere.base_url == "http://127.0.0.1:9/v1"
    monkeypatch.delenv("OPENAI_API_KEY")
    assert plain.key(model) is None


def test_given_a_file_of_the_users_when_loaded_then_it_replaces_the_shipped_one(tmp_path: Path) -> None:
    catalogue = load_catalogue(own(tmp_path, OWN))

    model = catalogue.get("mine")
    assert model is not None
    assert (model.api, model.key_variable, model.max_output_tokens) == ("chat", "MY_KEY", 500)
    assert model.cost(1000, 0, 1000) is None
    assert catalogue.get("gpt-5-mini") is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[models", "cannot be read"),
        ("\udcff", "cannot be read"),
        (OWN.replace("chat", "telepathy"), "models.mine.api"),
        (OWN.replace("max_output_tokens = 500", ""), "models.mine.max_output_tokens"),
        (OWN + "colour = 'red'\n", "models.mine.colour"),
        ("[models]\nmine = 3\n", "models.mine"),
        ("models = [1, 2]\n", "models"),
        ("defaults = 3\n" + OWN, "defaults"),
    ],
    ids=[
        "no TOML",
        "no UTF-8",
        "bad value",
        "missing",
        "unknown key",
        "no table",
        "models no table",
        "defaults no table",
    ],
)
def test_given_a_bad_file_when_loaded_then_the_error_names_the_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_catalogue(own(tmp_path, text))

    assert told in str(refused.value)
    assert "own.toml" in str(refused.value)


def test_given_a_missing_file_when_loaded_then_the_error_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"LEARNING_MODELS_FILE: .*nowhere\.toml"):
        load_catalogue(settings(models_file=tmp_path / "nowhere.toml"))


def test_given_usage_when_priced_then_cached_tokens_cost_what_the_file_says() -> None:
    model = load_catalogue(settings()).get("gpt-5-mini")
    assert model is not None

    assert model.cost(1_000_000, 400_000, 100_000) == Decimal("0.15") + Decimal("0.01") + Decimal("0.2")


def test_given_an_answer_with_a_dated_name_when_looked_up_then_it_is_the_model_with_the_longest_name() -> None:
    catalogue = load_catalogue(settings())

    served = catalogue.served("gpt-5-mini-2025-08-07")
    assert served is not None
    assert served.name == "gpt-5-mini"
    assert catalogue.served("gpt-5-turbo") is None


def test_given_a_tier_when_priced_then_flex_costs_its_part_and_what_is_dearer_is_unknown() -> None:
    catalogue = load_catalogue(settings())
    model, without = catalogue.get("gpt-5-mini"), catalogue.get("gpt-4.1")
    assert model is not None
    assert without is not None

    usual = model.cost(1_000_000, 0, 0)
    assert usual is not None
    assert model.cost(1_000_000, 0, 0, "default") == usual
    assert model.cost(1_000_000, 0, 0, "flex") == usual / 2
    assert model.cost(1_000_000, 0, 0, "priority") is None
    assert without.cost(1_000_000, 0, 0, "flex") is None
    assert model.prefix_saving(1_000_000) == Decimal("0.225")


def test_given_a_model_when_the_cheaper_way_is_asked_for_then_it_is_its_fallback_else_its_flex_tier_else_none(
    tmp_path: Path,
) -> None:
    shipped = load_catalogue(settings())
    mini, without = shipped.get("gpt-5-mini"), shipped.get("gpt-4.1")
    assert mini is not None
    assert without is not None
    assert shipped.cheaper(mini) == (mini, "flex")
    assert shipped.cheaper(without) is None

    other = OWN.replace("models.mine", "models.small")
    given = load_catalogue(own(tmp_path, OWN + 'flex = 0.5\nfallback = "small"\n' + other))
    mine = given.get("mine")
    assert mine is not None
    assert given.cheaper(mine) == (given.get("small"), None)


@pytest.mark.parametrize("line", ['fallback = "nowhere"', 'fallback = "mine"', "flex = 2", "flex = 0"])
def test_given_a_fallback_or_a_tier_that_cannot_be_when_loaded_then_the_error_says_so(
    tmp_path: Path, line: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"fallback of mine|flex"):
        load_catalogue(own(tmp_path, f"{OWN}{line}\n"))
