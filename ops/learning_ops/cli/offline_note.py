"""What is said wherever the offline model has served."""

from collections.abc import Iterable

OFFLINE_NOTE = (
    "offline rules, not a language model: they recognise some English statements; --model openai reads the rest"
)


def is_offline(models: Iterable[str | None]) -> bool:
    """Whether the offline model is among them."""
    from learning_ops.offline import OFFLINE_MODEL_NAME

    return OFFLINE_MODEL_NAME in models
