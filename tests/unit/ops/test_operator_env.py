"""Which of the files that `up` writes is read by whom."""

from pathlib import Path

import pytest

from learning_ops.embedded import DataDirectory
from learning_schemas.errors import ConfigurationError
from learning_stores.settings import AgentSettings, ServiceSettings


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "DISPATCHER_DATABASE_URL", "OWNER_DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"LEARNING_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    with DataDirectory(tmp_path / ".learning") as data:
        data.write_env({"LEARNING_DATABASE_URL": "app", "LEARNING_REDIS_URL": "redis"})
        data.write_operator_env(
            {"LEARNING_DISPATCHER_DATABASE_URL": "dispatcher", "LEARNING_OWNER_DATABASE_URL": "owner"}
        )
        assert data.operator_env_path.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("files")
def test_given_both_files_when_an_operator_reads_them_then_every_address_is_known() -> None:
    settings = ServiceSettings.load()
    assert (settings.database(), settings.redis()) == ("app", "redis")
    assert (settings.dispatcher_database(), settings.owner_database()) == ("dispatcher", "owner")


@pytest.mark.usefixtures("files")
def test_given_both_files_when_an_agent_reads_them_then_it_holds_no_operators_address() -> None:
    settings = AgentSettings.load()
    assert settings.database() == "app"
    assert "owner" not in repr(vars(settings))


@pytest.mark.usefixtures("files")
def test_given_a_variable_when_a_file_says_otherwise_then_the_variable_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNING_DISPATCHER_DATABASE_URL", "environment")
    assert ServiceSettings.load().dispatcher_database() == "environment"
    assert ServiceSettings.load(dispatcher_database_url="argument").dispatcher_database() == "argument"


def test_given_no_operator_file_when_its_address_is_needed_then_the_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEARNING_OWNER_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"\.learning/operator-env"):
        ServiceSettings.load().owner_database()
