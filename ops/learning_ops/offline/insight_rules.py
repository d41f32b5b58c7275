"""The patch of learned knowledge: the lessons that messages state, set against the insights that are known."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from learning_ops.offline.clauses import plain_sentences, strip_openers
from learning_ops.offline.insight_statements import Lesson, content_words, lessons
from learning_ops.offline.quotation import quote
from learning_ops.offline.shaping import shaped
from learning_ops.offline.transcript import Known, Line, Transcript

_SPEAKERS = frozenset({"user", "assistant"})
_TAKEN_BACK = re.compile(
    r"(?:please\s+)?(?:forget|unlearn|disregard)\s+(?:the\s+(?:lesson|tip|rule|insight|fact|advice)\s+)?(?:that\s+|to\s+|about\s+)?"
    r"(?P<a>\S.*)|(?:it\s+is|it's|it\s+turns\s+out\s+it's)\s+(?:no\s+longer|not)\s+(?:true|the\s+case|correct)(?:\s+any\s?more)?"
    r"\s+that\s+(?P<b>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_DENIAL = re.compile(r"\b(?:never|not|no|avoid|cannot|nothing|without)\b|n't\b", re.IGNORECASE)
_ALIKE = 0.8  # share of the content words that two wordings of one lesson have in common


def insight_patch(transcript: Transcript, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The patch for `learned_knowledge_patch`, as far as it fits `schema`.

    A known insight said again is confirmed. One that a message contradicts stays: who is right is not for rules to say.
    """
    known = [one for one in transcript.known if one.kind == "insight"]
    insights: dict[str, dict[str, Any]] = {}
    confirm: dict[str, dict[str, str]] = {}
    retract: dict[str, dict[str, str]] = {}
    for line in transcript.lines:
        if line.role not in _SPEAKERS or line.earlier:
            continue
        for label, cite in _taken_back(line, known):
            confirm.pop(label, None)
            retract[label] = {"learning": label, **cite}
        for lesson in lessons(line.text):
            cite = _cite(line, lesson.start, lesson.end)
            same = next((one for one in known if one.id not in retract and alike(one.text, lesson.learning)), None)
            if same:
                confirm[same.id] = {"learning": same.id, **cite}
            else:
                insights.setdefault(lesson.learning.casefold(), {**described(lesson), **cite})
    return shaped(
        {"insights": list(insights.values()), "confirm": list(confirm.values()), "retract": list(retract.values())},
        schema,
    )


def described(lesson: Lesson) -> dict[str, Any]:
    """A lesson as an insight's title, learning, context and tags."""
    return {
        "title": lesson.title,
        "learning": lesson.learning,
        "context": lesson.context,
        "tags": lesson.tags,
    }


def alike(left: str, right: str) -> bool:
    """Whether two texts say the same lesson: nearly the same content words, both as advice or both as a warning."""
    one, other = set(content_words(left)), set(content_words(right))
    if not one or not other or len(_DENIAL.findall(left)) % 2 != len(_DENIAL.findall(right)) % 2:
        return False
    return len(one & other) / len(one | other) >= _ALIKE


def _taken_back(line: Line, known: Sequence[Known]) -> list[tuple[str, dict[str, str]]]:
    found = []
    for sentence in plain_sentences(line.text):
        matched = _TAKEN_BACK.fullmatch(sentence.text[strip_openers(sentence.text) :].rstrip(" .!"))
        if matched and not sentence.text.rstrip().endswith("?"):
            words = matched["a"] or matched["b"]
            found += [
                (one.id, _cite(line, sentence.start, sentence.end))
                for one in known
                if alike(one.text, words) or alike(one.title, words)
            ]
    return found


def _cite(line: Line, start: int, end: int) -> dict[str, str]:
    return {"message": line.id, "quote": quote(line.text, start, end)}
