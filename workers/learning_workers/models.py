"""The models that may be asked: where they are, what they take, what they cost."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from learning_schemas.errors import ConfigurationError
from learning_stores.embedding_endpoint import MAX_DIMENSIONS, EmbeddingEndpoint, parsed_name
from learning_stores.settings import ServiceSettings
from learning_workers.limiter import Rate

_SHIPPED = Path(__file__).with_name("models.toml")
_MILLION = 1_000_000

FLEX = "flex"
"""The provider's slower and cheaper tier."""

Price = Annotated[Decimal, Field(ge=0)]


class Model(BaseModel):
    """One model. Prices are US dollars for a million tokens; None is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    base_url: str
    api: Literal["responses", "chat"]
    key_variable: str
    max_output_tokens: int = Field(ge=16)
    input: Price | None = None
    cached: Price | None = None
    output: Price | None = None
    reasoning_effort: str | None = None
    nothing_found: str | None = None
    fallback: str | None = None  # a cheaper model of the file, asked instead where a budget is nearly spent
    flex: Annotated[Decimal, Field(gt=0, le=1)] | None = (
        None  # of the prices, at service_tier="flex"; None: has no such tier
    )
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)

    @property
    def rate(self) -> Rate:
        """What all workers together may ask of it in a minute."""
        return Rate(
            key=f"model:{self.name}",
            name=self.name,
            requests=self.requests_per_minute,
            tokens=self.tokens_per_minute,
        )

    def cost(
        self, tokens_input: int, tokens_cached: int, tokens_output: int, tier: str | None = None
    ) -> Decimal | None:
        """US dollars for one call, served at a tier (None: the usual one); None where a price is unknown."""
        cached, part = self.cached if self.cached is not None else self.input, self._part(tier)
        if self.input is None or self.output is None or cached is None or part is None:
            return None
        fresh = tokens_input - tokens_cached
        return (self.input * fresh + cached * tokens_cached + self.output * tokens_output) * part / _MILLION

    def most(self, tokens_input: int, tier: str | None = None) -> Decimal | None:
        """US dollars that a call may cost at most, by the estimate of what is sent; None where a price is unknown."""
        return self.cost(tokens_input, 0, self.max_output_tokens, tier)

    def prefix_saving(self, tokens_cached: int, tier: str | None = None) -> Decimal | None:
        """US dollars that so many cached tokens were cheaper than fresh ones; None where a price is unknown."""
        part = self._part(tier)
        if self.input is None or self.cached is None or part is None:
            return None
        return (self.input - self.cached) * tokens_cached * part / _MILLION

    def _part(self, tier: str | None) -> Decimal | None:
        """Of the prices, at a tier; None where it is not known."""
        if tier == FLEX:
            return self.flex
        return None if tier == "priority" else Decimal(1)  # dearer, and by how much the file does not say


class EmbeddingModel(BaseModel):
    """One embedding model: where it is, and what it takes. Price: US dollars for a million tokens; None is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str | None = None
    key_variable: str = "LEARNING_EMBEDDING_API_KEY"
    price: Price | None = None
    dimensions: int | None = Field(default=None, ge=1, le=MAX_DIMENSIONS)  # its own, where none are asked for
    inputs: int = Field(default=256, ge=1)  # texts in one request
    tokens: int = Field(default=100_000, ge=100)  # of one request
    tokens_each: int = Field(default=8_000, ge=100)  # of one text
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)

    def rate(self, name: str) -> Rate:
        """What all workers together may ask in a minute of the model that vectors of this name are from."""
        model = parsed_name(name)[0]
        return Rate(
            key=f"embedding:{model}", name=model, requests=self.requests_per_minute, tokens=self.tokens_per_minute
        )

    def cost(self, tokens: int) -> Decimal | None:
        """US dollars for so many tokens; None where the price is unknown."""
        return None if self.price is None else self.price * tokens / _MILLION


class Catalogue:
    """Every model that the models file names, with the addresses that the settings put in their place."""

    def __init__(
        self,
        models: Mapping[str, Model],
        settings: ServiceSettings,
        embeddings: Mapping[str, EmbeddingModel] | None = None,
    ) -> None:
        self._models = dict(models)
        self._embeddings = dict(embeddings or {})
        self._settings = settings

    def embedding_model(self, name: str) -> EmbeddingModel:
        """What is known of the model that vectors of this name are from; where the file has none, modest limits."""
        return self._embeddings.get(parsed_name(name)[0], EmbeddingModel())

    def embedding_endpoint(self, name: str) -> EmbeddingEndpoint | None:
        """Where vectors of this name come from: the settings' endpoint if it is theirs, else the file's; None: not known."""
        configured = self._settings.embedding_endpoint()
        if configured is not None and configured.name == name:
            return configured
        model, dimensions = parsed_name(name)
        known = self.embedding_model(name)
        if configured is not None and configured.model == model:
            return replace(configured, dimensions=dimensions)
        if known.base_url is None:
            return None
        key = os.environ.get(known.key_variable) or None
        return EmbeddingEndpoint(model=model, base_url=known.base_url, key=key, dimensions=dimensions)

    def get(self, name: str) -> Model | None:
        """A model by name, as it is reached here; None where it is unknown."""
        model = self._models.get(name)
        if model is not None and self._settings.model_base_url:
            return model.model_copy(update={"base_url": self._settings.model_base_url})
        return model

    def cheaper(self, model: Model) -> tuple[Model, str | None] | None:
        """The cheaper way to ask what this model is asked: its fallback, else its flex tier; the model, and the tier."""
        if model.fallback is not None and (other := self.get(model.fallback)) is not None:
            return other, None
        return (model, FLEX) if model.flex is not None else None

    def served(self, name: str) -> Model | None:
        """The model that an answer names: with a date behind its name it is the same model."""
        found = [known for known in self._models if name == known or name.startswith(f"{known}-20")]
        return self._models[max(found, key=len)] if found else None

    def key(self, model: Model) -> str | None:
        """The key for a model; None where its variable is not set."""
        if self._settings.model_api_key is not None:
            return self._settings.model_api_key.get_secret_value()
        return os.environ.get(model.key_variable) or None


class _File(BaseModel):
    """The models file before the defaults are filled in."""

    model_config = ConfigDict(extra="forbid")

    defaults: dict[str, Any] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]]
    embeddings: dict[str, EmbeddingModel] = Field(default_factory=dict)


class _Models(BaseModel):
    """The models file after that."""

    models: dict[str, Model]

    @model_validator(mode="after")
    def _fall_back_to_each_other(self) -> Self:
        for name, model in self.models.items():
            if model.fallback is not None and (model.fallback == name or model.fallback not in self.models):
                raise ValueError(f"the fallback of {name} is no other model of the file")
        return self


def load_catalogue(settings: ServiceSettings) -> Catalogue:
    """Read the models file. Raises `ConfigurationError` that names what is wrong in it."""
    path = settings.models_file or _SHIPPED
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            "LEARNING_MODELS_FILE", f"{path} cannot be read ({error})", "Name a TOML file"
        ) from None
    try:
        file = _File.model_validate(document)
        filled = {name: {**file.defaults, **values, "name": name} for name, values in file.models.items()}
        models = _Models.model_validate({"models": filled}).models
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = f"{path.name}: {'.'.join(str(part) for part in first['loc'])}"
        raise ConfigurationError(place, first["msg"], "The models.toml that is shipped shows the form") from None
    return Catalogue(models, settings, file.embeddings)
