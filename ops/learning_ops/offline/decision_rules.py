"""The patch of a decision log, the example of a store of one's own: what was decided, why, instead of what, what came of it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learning_ops.offline.clauses import REPORTED, UNREAL, Sentence, plain_sentences, strip_openers
from learning_ops.offline.insight_statements import content_words
from learning_ops.offline.quotation import quote
from learning_ops.offline.shaping import shaped
from learning_ops.offline.transcript import Known, Line, Transcript

_SPEAKERS = frozenset({"user", "assistant"})
_WE = r"(?:we|i|the\s+team|our\s+team)(?:'ve|\s+have)?\s+(?:(?:finally|now|just|also|then|therefore|all)\s+)*"
_DECIDED = re.compile(
    rf"(?:(?:because|since)\s+(?P<front>[^,]+),\s+)?{_WE}(?:(?:decided|agreed|chose|opted|resolved)\s+to\s+(?P<do>\S.*)"
    r"|(?:(?:decided|agreed|settled)\s+on|opted\s+for|(?P<weak>went\s+with|chose|picked|selected))\s+(?P<take>(?!to\b)\S.*))",
    re.IGNORECASE,
)
_REASON = re.compile(r",?\s+(?:because|since|so\s+that)\s+(?P<reason>\S.*)$", re.IGNORECASE)
_ALTERNATIVES = re.compile(r",?\s+(?:instead\s+of|rather\s+than|over|and\s+not)\s+(?P<rest>[^,;]+)$", re.IGNORECASE)
_OUTCOME = re.compile(
    r"(?:(?:it|this|that)\s+(?:has\s+)?turn(?:ed|s)\s+out\s+that|the\s+(?:outcome|result)(?:\s+of\s+[^:,]+?)?(?:\s+(?:is|was)\s+that|\s*:))"
    r"\s+(?P<that>\S.*)"
    r"|(?P<whole>(?!there\b|he\b|she\b|who\b)\S.*?\s(?:has\s+|have\s+)?turned\s+out\s+(?:to\s+be|not\s+to|well|badly|fine)\b.*"
    r"|(?:that|the|this|our)\s+(?:decision|choice)\s+(?:to\s+[^,]+?\s+)?(?:has\s+)?(?:paid\s+off|worked|cost|saved|failed|proved)\b.*)",
    re.IGNORECASE,
)
_GUESSED = re.compile(
    r"\b(?:maybe|perhaps|probably|possibly|might|could|would|reportedly|apparently|supposedly|not\s+sure)\b",
    re.IGNORECASE,
)
_OWN_WORDS = re.compile(r",?\s+(?:because|instead\s+of)\s|\.\s")  # where a known decision's own words end
_COMMON = frozenset({"go", "keep", "make", "use", "using"})  # what many decisions begin with
_POINTS = re.compile(r"(?:it|this|that|the\s+(?:decision|choice)|our\s+(?:decision|choice))\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class _Decision:
    """A decision: the id of a known one, or the words of one that is in this patch; and the words that tell it from others."""

    named: str
    words: frozenset[str]


def decision_patch(transcript: Transcript, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The patch for `decision_log_patch`, as far as it fits `schema`.

    An outcome belongs to the decision with which it shares most words; one that only points ("that turned out well"), to the
    decision told before it. Where there is none it is left out. A decision against what a known one was for replaces that.
    """
    known = [_known(one) for one in transcript.known if one.kind == "decision"]
    decisions: dict[str, dict[str, Any]] = {}
    outcomes: dict[str, dict[str, Any]] = {}
    met: list[_Decision] = []
    for line, sentence, text in _plain(transcript.lines):
        if stated := _stated(text):
            decision, reasoning, alternatives = stated
            words = _words(decision)
            same = next((one for one in known if one.words == words), None)
            if not line.earlier:
                decisions[decision] = {
                    "decision": decision,
                    "reasoning": reasoning,
                    "alternatives": alternatives,
                    "replaces": None if same else _given_up(alternatives, known),
                    **_cite(line, sentence),
                }
                met.append(same or _Decision(named=decision, words=words))
            elif same:
                met.append(same)
        elif not line.earlier and (outcome := _OUTCOME.fullmatch(text)) and not REPORTED.search(text):
            said = outcome["that"] or outcome["whole"]
            if about := _about(said, met, known):
                outcomes[about.named] = {"decision": about.named, "outcome": _capital(said), **_cite(line, sentence)}
    return shaped({"decisions": list(decisions.values()), "outcomes": list(outcomes.values())}, schema)


def _plain(lines: Sequence[Line]) -> Iterator[tuple[Line, Sentence, str]]:
    """The sentences in which somebody says how things are, each with its line and its words without openers."""
    for line in lines:
        for sentence in plain_sentences(line.text) if line.role in _SPEAKERS else ():
            whole = " ".join(sentence.text.split())  # runs of white space are what makes these patterns slow
            text = whole[strip_openers(whole) :] if not _front(whole) else whole
            asked = sentence.text.rstrip().endswith("?")
            if not asked and "\x00" not in text and not _GUESSED.search(text) and not UNREAL.search(text):
                yield line, sentence, text.rstrip(" .!…")


def _cite(line: Line, sentence: Sentence) -> dict[str, str]:
    return {"message": line.id, "quote": quote(line.text, sentence.start, sentence.end)}


def _front(sentence: str) -> bool:
    """Whether it begins with its reason, which otherwise counts as an opener."""
    decided = _DECIDED.match(sentence)
    return decided is not None and decided["front"] is not None


def _stated(text: str) -> tuple[str, str | None, list[str]] | None:
    """What was decided, why, and against what."""
    decided = _DECIDED.fullmatch(text)
    if decided is None:
        return None
    rest, reasoning = decided["do"] or decided["take"], decided["front"]
    if reason := _REASON.search(rest):
        rest, reasoning = rest[: reason.start()], reason["reason"]
        if tail := _ALTERNATIVES.search(reasoning):  # "… because of X, instead of Y"
            reasoning, rest = reasoning[: tail.start()], rest + tail[0]
    alternatives: list[str] = []
    if against := _ALTERNATIVES.search(rest):
        rest = rest[: against.start()]
        alternatives = [one for part in re.split(r"\s+(?:or|and|nor)\s+", against["rest"]) if (one := part.strip(" ,"))]
    rest = rest.strip(" ,;:")
    # "We went with the children", "I picked the blue one" are about no decision; what is weighed or reasoned is.
    if not _words(rest) or (decided["weak"] and not (reasoning or alternatives)):
        return None
    decision = _capital(rest) if decided["do"] else f"Go with {rest}"
    return decision, reasoning, alternatives


def _known(one: Known) -> _Decision:
    return _Decision(named=one.id, words=_words(_OWN_WORDS.split(one.text)[0]))


def _words(text: str) -> frozenset[str]:
    """The words that tell one decision from another."""
    return frozenset(content_words(text)) - _COMMON


def _given_up(alternatives: Sequence[str], known: Sequence[_Decision]) -> str | None:
    """The known decision for what is now decided against."""
    given_up = [_words(one) for one in alternatives]
    return next((one.named for one in known for words in given_up if words and words <= one.words), None)


def _about(outcome: str, met: Sequence[_Decision], known: Sequence[_Decision]) -> _Decision | None:
    said = _words(outcome)
    shared, nearest = max(
        ((len(said & one.words), one) for one in [*reversed(met), *known]), key=lambda each: each[0], default=(0, None)
    )
    if shared:
        return nearest
    return met[-1] if met and _POINTS.match(outcome) else None


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
