"""Where the servers are: arguments, variables, the file, in this order; and errors that say which is missing."""

import os
from pathlib import Path

import pytest

from learning_schemas.errors import ConfigurationError
from learning_stores.settings import AgentSettings, ServiceSettings


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without settings."""
    for variable in [name for name in os.environ if name.startswith("LEARNING_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_given_argument_variable_and_file_when_loaded_then_the_nearest_counts(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (nowhere / ".learning").mkdir()
    (nowhere / ".learning" / "env").write_text(
        "LEARNING_DATABASE_URL='postgresql://file'\nLEARNING_REDIS_URL='redis://file'\nLEARNING_TENANT='file'\nOTHER=1\n"
    )
    monkeypatch.setenv("LEARNING_REDIS_URL", "redis://variable")
    monkeypatch.setenv("LEARNING_TENANT", "variable")
    settings = AgentSettings.load(tenant="argument", database_url=None)
    assert (settings.database(), settings.redis(), settings.tenant) == (
        "postgresql://file",
        "redis://variable",
        "argument",
    )


@pytest.mark.parametrize(
    ("ask", "variable"),
    [
        ("database", "LEARNING_DATABASE_URL"),
        ("redis", "LEARNING_REDIS_URL"),
        ("dispatcher_database", "LEARNING_DISPATCHER_DATABASE_URL"),
        ("owner_database", "LEARNING_OWNER_DATABASE_URL"),
        ("broker", "LEARNING_REDIS_URL"),
    ],
)
def test_given_no_address_when_it_is_needed_then_the_error_names_the_variable(ask: str, variable: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        getattr(ServiceSettings.load(), ask)()


def test_given_a_value_that_is_none_when_loaded_then_the_error_names_the_variable_and_not_the_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEARNING_SHARDS", "many-secret")
    with pytest.raises(ConfigurationError, match="LEARNING_SHARDS") as caught:
        AgentSettings.load()
    assert "many-secret" not in str(caught.value)


def test_given_addresses_when_the_settings_are_printed_then_no_password_is_in_them() -> None:
    settings = ServiceSettings.load(
        database_url="postgresql://app:hunter22@localhost/x", redis_url="redis://:hunter22@localhost"
    )
    assert "hunter22" not in f"{settings!r} {settings}"
    assert settings.broker() == "redis://:hunter22@localhost"
