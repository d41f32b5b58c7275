"""The learning mode: who decides what a store remembers."""

from collections.abc import Sequence
from enum import StrEnum

from learning_schemas.errors import ConfigurationError
from learning_schemas.spec import Mode


class LearningMode(StrEnum):
    """Who decides what a store remembers.

    `ALWAYS`: workers read every conversation. `AGENTIC`: the agent, by its tools. `PROPOSE`: the agent proposes, and a
    person approves; nothing is recalled before. Everywhere a mode is asked for, its name in any case will do.
    """

    ALWAYS = "ALWAYS"
    AGENTIC = "AGENTIC"
    PROPOSE = "PROPOSE"


def checked_mode(field: str, value: object, modes: Sequence[Mode], remedy: str | None = None) -> LearningMode:
    """The mode that `value` names, among those that a store has. Raises `ConfigurationError`."""
    known = f"Use {' or '.join(modes)}"
    if not isinstance(value, str):
        raise ConfigurationError(field, f"is {type(value).__name__}, not a mode", known)
    try:
        mode = LearningMode(value.upper())
    except ValueError:
        raise ConfigurationError(field, "is no mode", known) from None
    if mode.value not in modes:
        raise ConfigurationError(field, f"is {mode}, which this store does not have", remedy or known)
    return mode
