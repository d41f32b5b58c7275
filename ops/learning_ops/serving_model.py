"""The model that a stack extracts with: rules on this machine, or OpenAI."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from learning_ops.offline import OFFLINE_MODEL_NAME
from learning_stores.embedding_endpoint import DEFAULT_MODEL, EmbeddingEndpoint

ModelChoice = Literal["offline", "openai"]


@dataclass(frozen=True, kw_only=True)
class ServingModel:
    """What extracts: its name, where what is said is sent, and how workers and agents are told; and what embeds with it.

    The key is written nowhere. `embedding` is where what is remembered is embedded, unless variables name another place.
    """

    name: str
    base_url: str
    env: Mapping[str, str]
    key: Mapping[str, str]
    embedding: EmbeddingEndpoint

    @property
    def is_offline(self) -> bool:
        """Whether conversations stay on this machine."""
        return self.name == OFFLINE_MODEL_NAME


def offline_model(port: int, key: str) -> ServingModel:
    """The offline model on a loopback port; `key` is one that was made for it."""
    url = f"http://127.0.0.1:{port}/v1"
    env = {"LEARNING_MODEL": OFFLINE_MODEL_NAME, "LEARNING_MODEL_BASE_URL": url, "LEARNING_MODEL_API_KEY": key}
    embedding = EmbeddingEndpoint(model=OFFLINE_MODEL_NAME, base_url=url, key=key)
    return ServingModel(name=OFFLINE_MODEL_NAME, base_url=url, env=env, key={}, embedding=embedding)


def models_file() -> dict[str, str]:
    """The variable that replaces the models file, where it is set; its path made absolute."""
    path = os.environ.get("LEARNING_MODELS_FILE")
    return {"LEARNING_MODELS_FILE": os.path.abspath(path)} if path else {}


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Where the user's environment says that models are asked, instead of where the models file says."""

    base_url: str
    key: str | None

    @classmethod
    def of_environment(cls) -> Self | None:
        """By `LEARNING_MODEL_BASE_URL` and `LEARNING_MODEL_API_KEY`, unless they are an earlier start's, of the offline model."""
        url = os.environ.get("LEARNING_MODEL_BASE_URL", "").strip()
        if not url or os.environ.get("LEARNING_MODEL") == OFFLINE_MODEL_NAME:
            return None
        return cls(base_url=url, key=os.environ.get("LEARNING_MODEL_API_KEY", "").strip() or None)


def openai_model(key: str | None, gateway: Gateway | None = None) -> ServingModel:
    """The deployment's default model as the models file has it, asked at the gateway where there is one.

    A key of the gateway's own takes the place of `key`. Raises ConfigurationError.
    """
    from learning_schemas.errors import ConfigurationError
    from learning_stores.settings import ServiceSettings
    from learning_workers.models import load_catalogue

    name = str(ServiceSettings.model_fields["model"].default)
    path = models_file().get("LEARNING_MODELS_FILE")
    address = gateway.base_url if gateway is not None else None
    plain = ServiceSettings.model_construct(models_file=Path(path) if path else None, model_base_url=address)
    model = load_catalogue(plain).get(name)
    if model is None:
        raise ConfigurationError("LEARNING_MODELS_FILE", f"does not name {name}", "Add it to the file")
    variable = model.key_variable
    if gateway is not None and gateway.key:
        key, variable = gateway.key, "LEARNING_MODEL_API_KEY"
    if not key:
        raise ConfigurationError("OPENAI_API_KEY", "is not set", f"Set it, or start without --model openai ({name})")
    return ServingModel(
        name=name,
        base_url=model.base_url,
        env={"LEARNING_MODEL": name, **({"LEARNING_MODEL_BASE_URL": address} if address else {})},
        key={variable: key},
        # What is remembered goes where conversations go, and nowhere else.
        embedding=EmbeddingEndpoint(model=DEFAULT_MODEL, base_url=model.base_url, key=key),
    )
