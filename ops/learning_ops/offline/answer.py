"""What the offline model says: a patch where the format's name asks for one, the emptiest instance for others, else a line."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from learning_ops.offline import OFFLINE_MODEL_NAME
from learning_ops.offline.agent import act
from learning_ops.offline.consolidation_rules import consolidations
from learning_ops.offline.conversation import Conversation, ToolCall
from learning_ops.offline.decision_rules import decision_patch
from learning_ops.offline.entity_pair_rules import entity_verdicts
from learning_ops.offline.entity_rules import entity_patch
from learning_ops.offline.insight_rules import insight_patch
from learning_ops.offline.instance import emptiest, fits
from learning_ops.offline.pair_rules import contradiction_verdicts, same_verdicts
from learning_ops.offline.profile_rules import profile_patch
from learning_ops.offline.session_rules import session_patch
from learning_ops.offline.transcript import Transcript, read_transcript

REFUSAL = "I'm sorry, but I can't help with that."
GARBAGE = '{"this is not": JSON, because a fault was asked for'

_PATCHES: dict[str, Callable[[Transcript, Mapping[str, Any]], dict[str, Any]]] = {
    "user_profile_patch": profile_patch,
    "session_context_patch": session_patch,
    "entity_memory_patch": entity_patch,
    "learned_knowledge_patch": insight_patch,
    "decision_log_patch": decision_patch,
}
_VERDICTS: dict[str, Callable[[str], dict[str, Any] | None]] = {
    "curator_same_verdicts": same_verdicts,
    "curator_contradiction_verdicts": contradiction_verdicts,
    "curator_entity_verdicts": entity_verdicts,
    "curator_consolidations": consolidations,
}


@dataclass(frozen=True, kw_only=True)
class Format:
    """The form that an answer must have: the name and JSON Schema of a json_schema format."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a request says to the model, whichever endpoint it came by.

    `instructions` is what stays the same between calls, `text` all the rest, `last_user` the last user message alone.
    """

    instructions: str
    text: str
    last_user: str
    format: Format | None
    json_object: bool = False
    conversation: Conversation = field(default_factory=Conversation)


def answer(prompt: Prompt) -> str | ToolCall:
    """The text of the answer, or the function to call; raises NoInstance where the schema has no small instance."""
    if prompt.format is not None:
        return json.dumps(_structured(prompt.format, prompt.last_user), ensure_ascii=False)
    acted = act(prompt.conversation)
    if isinstance(acted, ToolCall):
        return acted
    said = acted or f"{OFFLINE_MODEL_NAME} follows rules and knows no answers. You said: {_line(prompt.last_user)}"
    plain = f"[offline model] {said}"
    return json.dumps({"message": plain}, ensure_ascii=False) if prompt.json_object else plain


def _structured(form: Format, text: str) -> Any:
    judged = _VERDICTS[form.name](text) if form.name in _VERDICTS else None
    if judged is not None and fits(judged, form.schema, form.schema):
        return judged
    rules = _PATCHES.get(form.name)
    transcript = read_transcript(text) if rules else None
    if rules and transcript:
        patch = rules(transcript, form.schema)
        # Another program's schema may use these names for other shapes; then an empty answer is the true one.
        if fits(patch, form.schema, form.schema):
            return patch
    return emptiest(form.schema, form.schema)


def _line(text: str) -> str:
    flat = re.sub(r"\s+", " ", text).strip()
    return flat if len(flat) <= 200 else flat[:199] + "…"
