"""Where the servers are: from arguments, else `LEARNING_*` variables, else the files that `up` leaves in `.learning`.

Agents read `.learning/env` of the working directory alone; dispatcher and operators also read `.learning/operator-env`, in
which the addresses of the roles with wider rights are.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from learning_schemas.errors import ConfigurationError
from learning_schemas.limits import MAX_EVENT_BYTES
from learning_schemas.scope import DEFAULT_SHARDS
from learning_stores.curator.settings import CuratorSettings
from learning_stores.embedding_endpoint import DEFAULT_MODEL, MAX_DIMENSIONS, OPENAI_URL, EmbeddingEndpoint

ENV_FILE = Path(".learning/env")
OPERATOR_ENV_FILE = Path(".learning/operator-env")


class AgentSettings(BaseSettings):
    """What an agent needs to know."""

    model_config = SettingsConfigDict(
        env_prefix="LEARNING_", env_file=ENV_FILE, env_file_encoding="utf-8", extra="ignore"
    )

    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    shards: Annotated[int, Field(ge=1, le=1024)] = DEFAULT_SHARDS
    max_event_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = MAX_EVENT_BYTES
    emit_deadline: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    """Seconds that emit may take in all, wherever the event goes."""
    recall_deadline: Annotated[float, Field(ge=0.001, le=60)] | None = None
    """Seconds within which recall answers; half of one where it is not set."""
    spool_dir: str | None = None
    """Directory for events that neither Redis nor Postgres takes; none where it is empty."""
    spool_bytes: Annotated[int, Field(ge=4096)] = 256 * 1024 * 1024
    """Bytes that it may hold."""
    tenant: str | None = None
    stores: str = ""
    """Stores of the deployment's own, as `package.module:Class`, separated by commas."""
    embedding_model: str | None = None
    """Embeds what is learned and what is asked; where it is empty, nothing is embedded."""
    embedding_base_url: str | None = None
    """Where that model is; OpenAI's where it is not set."""
    embedding_api_key: SecretStr | None = None
    """Its key; at OpenAI that of OPENAI_API_KEY where it is not set."""
    embedding_dimensions: Annotated[int, Field(ge=1, le=MAX_DIMENSIONS)] | None = None
    """Dimensions to ask for; the model's own where it is not set."""
    embedding_deadline: Annotated[float, Field(gt=0, le=30)] = 0.15
    """Seconds that embedding a query may take in all."""

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read them; arguments that are None count as not given. Raises `ConfigurationError` that names the variable."""
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = "LEARNING_" + "_".join(str(part) for part in first["loc"]).upper()
            raise ConfigurationError(name, first["msg"], "docs/configuration.md lists the variables") from None

    def embedding_endpoint(self) -> EmbeddingEndpoint | None:
        """What embeds here; None where neither model nor address is set, or the model is empty."""
        model = (self.embedding_model or "").strip()
        base_url = (self.embedding_base_url or "").strip()
        key = self.embedding_api_key.get_secret_value() if self.embedding_api_key is not None else None
        if not model and (self.embedding_model is not None or not base_url):
            return None
        base_url = base_url or OPENAI_URL
        found = EmbeddingEndpoint(
            model=model or DEFAULT_MODEL, base_url=base_url, key=key or None, dimensions=self.embedding_dimensions
        )
        # A key for OpenAI goes to OpenAI alone.
        return replace(found, key=os.environ.get("OPENAI_API_KEY") or None) if found.is_openai and not key else found

    def database(self) -> str:
        """The app role's URL. Raises `ConfigurationError`."""
        return _required(self.database_url, "database_url", "LEARNING_DATABASE_URL")

    def redis(self) -> str:
        """The streams' URL. Raises `ConfigurationError`."""
        return _required(self.redis_url, "redis_url", "LEARNING_REDIS_URL")


class ServiceSettings(AgentSettings, CuratorSettings):
    """What dispatcher, workers and operators need besides."""

    model_config = SettingsConfigDict(env_file=(ENV_FILE, OPERATOR_ENV_FILE))  # the later one counts

    dispatcher_database_url: SecretStr | None = None
    owner_database_url: SecretStr | None = None
    broker_url: SecretStr | None = None
    """Redis of the Celery queues; the streams' where it is not set."""
    retention_days: Annotated[float, Field(gt=0, le=3650)] = 30.0
    """Events older than this (by their id) are rejected."""
    nudges_outstanding: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Mailboxes of one store that are nudged and not claimed, at most."""
    model: str = "gpt-5-mini"
    """Extracts where neither machine nor store names a model."""
    model_base_url: str | None = None
    """Replaces every model's address."""
    model_api_key: SecretStr | None = None
    """Replaces every model's key variable."""
    models_file: Path | None = None
    """Replaces the models.toml that is shipped."""
    model_deadline: Annotated[float, Field(gt=0, le=900)] = 60.0
    """Seconds that one model call may take in all."""
    window_tokens: Annotated[int, Field(ge=200, le=200_000)] = 6_000
    """Tokens of transcript in one extraction."""
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """Where this process serves its metrics and probes over HTTP; nowhere where it is not set."""
    metrics_host: str = "127.0.0.1"
    """The address that it listens on for them."""
    schema_imports: str = ""
    """Modules, separated by commas, of which a spec may have a worker import its schema; none where it is empty."""

    def importable(self) -> frozenset[str]:
        """The modules of `schema_imports`."""
        return frozenset(name for part in self.schema_imports.split(",") if (name := part.strip()))

    def dispatcher_database(self) -> str:
        """The dispatcher role's URL. Raises `ConfigurationError`."""
        return _required(
            self.dispatcher_database_url,
            "dispatcher_database_url",
            "LEARNING_DISPATCHER_DATABASE_URL",
            OPERATOR_ENV_FILE,
        )

    def owner_database(self) -> str:
        """The URL that migrations use. Raises `ConfigurationError`."""
        return _required(
            self.owner_database_url, "owner_database_url", "LEARNING_OWNER_DATABASE_URL", OPERATOR_ENV_FILE
        )

    def broker(self) -> str:
        """The Celery broker's URL. Raises `ConfigurationError`."""
        return self.broker_url.get_secret_value() if self.broker_url else self.redis()


def _required(value: SecretStr | None, field: str, variable: str, file: Path = ENV_FILE) -> str:
    if value is None or not value.get_secret_value().strip():
        raise ConfigurationError(
            field,
            f"neither the argument nor {variable} nor {file} names it",
            "Run `learning-machine up` in this directory, or set the variable",
        )
    return value.get_secret_value()
