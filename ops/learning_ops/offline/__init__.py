"""The offline model: a rule-based stand-in that speaks the OpenAI HTTP API on loopback.

Invariants: the same request (and the same known learnings in it) always gets the same answer; every answer names the model
`offline-rules-1`, whatever model was asked for; what the rules do not recognise is left out, never guessed; nothing listens
on other than loopback. Importing this package imports neither Starlette nor uvicorn; `learning_ops.offline.server` does.
"""

OFFLINE_MODEL_NAME = "offline-rules-1"
NOTHING_FOUND_NOTE = "offline rules found nothing here; start with --model openai"

__all__ = ["NOTHING_FOUND_NOTE", "OFFLINE_MODEL_NAME"]
