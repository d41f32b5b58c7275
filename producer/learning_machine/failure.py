"""What failed or was refused, in words that may be shown and logged."""

REFUSALS = {
    "id_reused": "the id was used for another event",
    "closed": "the subject is closed",
    "forgotten": "the subject was forgotten after the event was emitted",
}
"""Verdicts of the event log that no other place may overrule."""

WITHOUT_BODY = frozenset({"closed", "forgotten"})
"""Those of them after which what was said is kept nowhere."""


def told(error: BaseException) -> str:
    """What failed, in one line; nothing of what was sent."""
    original = getattr(error, "orig", None) or error
    lines = str(original).splitlines()
    return f"{type(original).__name__}: {lines[0] if lines else 'no detail'}"[:200]
