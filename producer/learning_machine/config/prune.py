"""Prune: what of a store's learnings the curator ends, so that memory stays small."""

from dataclasses import dataclass

from pydantic import ValidationError

from learning_schemas.errors import ConfigurationError
from learning_schemas.finding import first_finding
from learning_schemas.spec import Prune as PruneSpec


@dataclass(frozen=True, kw_only=True)
class Prune:
    """A learning that meets any of these is retired by the curator; `undo` brings it back.

    `max_age_days`: learned, and said last, longer ago. `max_count`: beyond so many of one user, session or namespace, those
    learned and recalled longest ago. `min_confidence`: less sure than this (`Approval` says what confidence is).
    `never_recalled_days`: learned longer ago, and not recalled for so long. Raises `ConfigurationError`.
    """

    max_age_days: float | None = None
    max_count: int | None = None
    min_confidence: float | None = None
    never_recalled_days: float | None = None

    def __post_init__(self) -> None:
        self.spec()
        if all(value is None for value in self.__dict__.values()):
            raise ConfigurationError("prune", "names no condition", "Give max_age_days=…, max_count=… or another")

    def spec(self) -> PruneSpec:
        """The form that travels."""
        try:
            return PruneSpec(**self.__dict__)
        except ValidationError as error:
            found = first_finding(error)
            raise ConfigurationError(
                f"prune.{found.field}", found.problem, "docs/configuration.md says what it may be"
            ) from None
