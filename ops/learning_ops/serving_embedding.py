"""What a stack embeds with: what its model brings along, or what the user's `LEARNING_EMBEDDING_*` variables name instead."""

import os
from dataclasses import dataclass, replace

from learning_ops.offline import OFFLINE_MODEL_NAME
from learning_ops.serving_model import ServingModel
from learning_schemas.errors import ConfigurationError
from learning_stores.embedding_endpoint import EmbeddingEndpoint
from learning_stores.settings import AgentSettings

# Not the deadline: it is each agent's own.
_MODEL, _BASE_URL, _API_KEY, _DIMENSIONS = (
    f"LEARNING_EMBEDDING_{name}" for name in ("MODEL", "BASE_URL", "API_KEY", "DIMENSIONS")
)


@dataclass(frozen=True, kw_only=True)
class ServingEmbedding:
    """Where what is remembered is embedded; `endpoint` is None where nothing is. `variables` are those that say so.

    The key is written nowhere, unless it was made for the offline model.
    """

    endpoint: EmbeddingEndpoint | None
    variables: tuple[str, ...] = ()

    @property
    def is_offline(self) -> bool:
        """Whether what is remembered stays on this machine."""
        return self.endpoint is None or self.endpoint.model == OFFLINE_MODEL_NAME

    @property
    def env(self) -> dict[str, str]:
        """As variables, for agents and the worker."""
        if self.endpoint is None:
            return {_MODEL: ""}
        found = {_MODEL: self.endpoint.model, _BASE_URL: self.endpoint.base_url}
        if self.endpoint.dimensions is not None:
            found[_DIMENSIONS] = str(self.endpoint.dimensions)
        if self.is_offline:
            found[_API_KEY] = self.endpoint.sent_key
        return found

    @property
    def key(self) -> dict[str, str]:
        """The user's key, as the worker's variable."""
        if self.endpoint is None or self.is_offline or not self.endpoint.key:
            return {}
        return {_API_KEY: self.endpoint.key}

    @property
    def without_key(self) -> dict[str, str]:
        """Which model serves, for the curator, which asks none."""
        return {name: value for name, value in self.env.items() if name != _API_KEY}

    @property
    def name_alone(self) -> dict[str, str]:
        """Whether anything is embedded, for the dispatcher."""
        return {_MODEL: self.env[_MODEL]}


class EmbeddingVariables:
    """The user's `LEARNING_EMBEDDING_*`, from the environment alone: a file of an earlier start says nothing about this one."""

    def __init__(self) -> None:
        """Read them. Raises `ConfigurationError`."""
        self._settings = AgentSettings.load(_env_file=())
        self._model = (self._settings.embedding_model or "").strip()
        self._base_url = (self._settings.embedding_base_url or "").strip()
        given = self._settings.embedding_api_key
        self._key = given.get_secret_value() if given is not None else None

    @property
    def _turned_off(self) -> bool:
        return self._settings.embedding_model is not None and not self._model

    @property
    def _name_another(self) -> bool:
        """Whether they name a model or an address; the offline model is at no other one than that of this start."""
        return self._model != OFFLINE_MODEL_NAME and bool(self._model or self._base_url)

    def check(self) -> None:
        """Raise `ConfigurationError` where they name a model of OpenAI's, without a key."""
        endpoint = self._settings.embedding_endpoint()
        if self._name_another and endpoint is not None and endpoint.is_openai and not endpoint.key:
            raise ConfigurationError(
                "OPENAI_API_KEY",
                f"is not set, and {_MODEL} names {endpoint.model}, of OpenAI's",
                f"Set it or {_API_KEY}, name another server ({_BASE_URL}), or unset {_MODEL}",
            )

    def replacing(self, default: EmbeddingEndpoint) -> ServingEmbedding:
        """What embeds: what they name in the place of what the model that extracts brings along."""
        found = self._endpoint(default)
        changed = {
            _MODEL: found is None or found.model != default.model,
            _BASE_URL: found is not None and found.base_url != default.base_url,
            _API_KEY: found is not None and found.key != default.key,
            _DIMENSIONS: found is not None and found.dimensions != default.dimensions,
        }
        variables = tuple(name for name in changed if changed[name] and name in os.environ)
        return ServingEmbedding(endpoint=found, variables=variables)

    def _endpoint(self, default: EmbeddingEndpoint) -> EmbeddingEndpoint | None:
        if self._turned_off:
            return None
        dimensions, offline = self._settings.embedding_dimensions, default.model == OFFLINE_MODEL_NAME
        if self._model == OFFLINE_MODEL_NAME or (offline and not self._name_another):
            # Its key is of this start; where it does not run, all four are of an earlier one.
            return replace(default, dimensions=dimensions) if offline else default
        if self._base_url or offline:
            return self._settings.embedding_endpoint()
        # What is remembered goes where conversations go, unless an address is named.
        return replace(default, model=self._model or default.model, key=self._key or default.key, dimensions=dimensions)


def embedding_of(model: ServingModel, variables: EmbeddingVariables | None) -> ServingEmbedding:
    """What embeds beside a model, with these variables or without any."""
    return ServingEmbedding(endpoint=model.embedding) if variables is None else variables.replacing(model.embedding)
