"""Approval: which writes of a store wait until a person approves them."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from learning_schemas.errors import ConfigurationError
from learning_schemas.finding import first_finding
from learning_schemas.spec import Approval as ApprovalSpec


@dataclass(frozen=True, kw_only=True)
class Approval:
    """All writes of a store (`always`), those to some `namespaces`, or those below a confidence.

    Confidence says how something is known, by rule: 1 from a person or an import, 0.9 from the user's own words, 0.7 from an
    agent's tool call, 0.6 from words of the assistant alone. Raises `ConfigurationError`.
    """

    always: bool = False
    confidence_below: float | None = None
    namespaces: Sequence[str] | None = None

    def __post_init__(self) -> None:
        self.spec()
        if not (self.always or self.confidence_below or self.namespaces):
            raise ConfigurationError(
                "approval", "names no condition", "Give always=True, confidence_below=… or namespaces=(…)"
            )

    def spec(self) -> ApprovalSpec:
        """The form that travels."""
        namespaces = self.namespaces
        if isinstance(namespaces, str):
            raise ConfigurationError("approval.namespaces", "is text", "Give a list of names")
        try:
            return ApprovalSpec(
                always=self.always,
                confidence_below=self.confidence_below,
                namespaces=None if namespaces is None else tuple(namespaces),
            )
        except (ValidationError, TypeError) as error:
            if not isinstance(error, ValidationError):
                raise ConfigurationError("approval.namespaces", "is no list", "Give a list of names") from None
            found = first_finding(error)
            raise ConfigurationError(
                f"approval.{found.field}", found.problem, "docs/configuration.md says what it may be"
            ) from None
