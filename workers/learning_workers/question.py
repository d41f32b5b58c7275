"""The question that an extraction asks: static instructions, then what is known, then the transcript, all of it as data.

Everything said or stored goes in as JSON lines with `<` and `>` escaped, so that no text can close a block or forge a line.
The instructions are the same bytes in every call of one spec, so that the provider can reuse them.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from learning_schemas.spec import StoreSpec
from learning_stores.json_line import block
from learning_stores.operations import LiveLearning
from learning_stores.store import Known, LearningStore
from learning_stores.window import Window
from learning_workers.answer_form import form_of
from learning_workers.model_client import Question
from learning_workers.models import Model

MAX_KNOWN_CHARACTERS = 16_000
_SHOWN = ("name", "title", "relation", "target", "target_type")  # of a learning's data, beside its text


def label_known(live: Sequence[LiveLearning]) -> Known:
    """Labels for what is known, last learned first, as far as there is room for it."""
    known: dict[str, LiveLearning] = {}
    spent = 0
    for number, learning in enumerate(live, 1):
        spent += len(learning.content)
        if spent > MAX_KNOWN_CHARACTERS:
            break
        known[f"k{number}"] = learning
    return known


def make_question(
    store: LearningStore, spec: StoreSpec, model: Model, known: Known, window: Window, mistake: str | None = None
) -> Question:
    """The question for one window. `mistake` says what was wrong with the answer before."""
    instructions = store.prompt(spec).text
    if spec.instructions:
        instructions += f"\nThe operator of this agent adds\n{spec.instructions.strip()}\n"
    several = len({message.session_id for message in window.messages}) > 1
    told = block("known", (_known(label, learning) for label, learning in known.items()))
    said = block("transcript", (_message(message.__dict__, several=several) for message in window.messages))
    data = f"{told}\n{said}"
    if mistake is not None:
        data += f"\nYour last answer could not be used ({mistake}). Answer again, in the form that was asked for."
    return Question(
        model=model,
        instructions=instructions,
        data=data,
        name=f"{store.name}_patch",
        patch_model=form_of(store, spec),
    )


def _known(label: str, learning: LiveLearning) -> dict[str, Any]:
    line: dict[str, Any] = {"id": label, "kind": learning.kind}
    if learning.entity is not None:
        line |= {"entity": learning.entity, "type": learning.entity_type}
    line |= {name: learning.data[name] for name in _SHOWN if name in learning.data}
    if "name" in learning.data:
        line["text"] = _told(learning.data.get("value"))
    else:
        line["text"] = learning.data.get("learning") or learning.content
    return line


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _message(message: Mapping[str, Any], *, several: bool) -> dict[str, Any]:
    line = {
        "id": message["label"],
        "role": message["role"],
        "at": message["at"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        "text": message["text"],
    }
    if message["name"]:
        line["name"] = message["name"]
    if several and message["session_id"]:
        line["session"] = message["session_id"]
    if message["earlier"]:
        line["earlier"] = True
    return line
