"""Embedding endpoints for tests: vectors over HTTP from a scripted model, and ways to misbehave."""

import json
import threading
from collections.abc import Callable
from typing import Any

from learning_ops.offline.embeddings import as_base64, embed
from scripted_model import Answer, Asked

DIMENSIONS = 16


def vectors(asked: Asked, dimensions: int = DIMENSIONS, *, as_text: bool = True, **fields: Any) -> Answer:
    """A vector for each text: the offline model's. `fields` replace those of the answer."""
    given = asked.body["input"]
    found = [embed(text, asked.body.get("dimensions") or dimensions) for text in given]
    data = [
        {"object": "embedding", "index": index, "embedding": as_base64(vector) if as_text else vector}
        for index, vector in enumerate(found)
    ]
    usage = {"prompt_tokens": len(given), "total_tokens": len(given)}
    answer = {"object": "list", "data": data, "model": asked.body["model"], "usage": usage}
    return Answer(raw=json.dumps({**answer, **fields}).encode())


class Hang:
    """Answers when it is let go, and says when it is asked."""

    def __init__(self, answer: Callable[[Asked], Answer] = vectors) -> None:
        self.asked = threading.Event()
        self.go = threading.Event()
        self._answer = answer

    def __call__(self, asked: Asked) -> Answer:
        self.asked.set()
        self.go.wait(30)
        return self._answer(asked)
