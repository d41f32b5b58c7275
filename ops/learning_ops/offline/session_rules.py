"""The patch of a session's context: a running summary, and, where the schema has them, goal, plan and progress."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from learning_ops.offline.clauses import fold
from learning_ops.offline.shaping import absence
from learning_ops.offline.transcript import Line, Transcript

SUMMARY_LENGTH = 1_200  # characters
LEFT_OUT = "[earlier parts left out]"
_LINE_LENGTH = 160
_LONGEST = 600  # characters of a sentence that is searched for goals, plans and progress

_SENTENCE = re.compile(r"[^.!?。！？\n]*(?:[.!?](?!\s|$)[^.!?。！？\n]*)*[.!?。！？]*")  # noqa: RUF001 - full-width stops end sentences too
_PLEASANTRY = (
    r"(?:hi|hello|hey|thanks?|thank\s+you|thx|ok|okay|great|cool|nice|perfect|sure|yes|no"
    r"|yep|yeah|bye|goodbye|good\s+(?:morning|evening|night)|awesome"
    r"|got\s+it|sounds\s+good|you'?re\s+welcome|welcome|of\s+course|certainly|absolutely|noted"
    r"|see\s+you|will\s+do|so\s+much|very\s+much|a\s+lot|there|again"
    r"|how\s+are\s+you|glad\s+to\s+help|happy\s+to\s+help)"
)
# Up to three of them, or one and a name: "Thanks, Alex!"
_SMALL_TALK = re.compile(rf"{_PLEASANTRY}(?:[\s,.!?]+(?:{_PLEASANTRY}|\w+)){{0,2}}[\s,.!?]*", re.IGNORECASE)
_ABANDONED = re.compile(r"\b(?:if|don't|do\s+not|not|never|no\s+longer|wish)\b", re.IGNORECASE)
_GOAL = re.compile(
    r"(?:^|[,;:]\s+|\b(?:and|so|but|because)\s+)(?:(?:hi|hello|hey|ok|okay|now|today|please|first)[,!]?\s+)*"
    r"(?P<how>(?:i|we)\s+(?:really\s+|just\s+)?(?:want|need|have)\s+to|(?:i'd|we'd"
    r"|i\s+would)\s+like\s+to|(?:i'm|i\s+am|we're|we\s+are)\s+trying\s+to|"
    r"(?:can|could|would)\s+you\s+(?:please\s+)?help\s+(?:me|us)(?:\s+to)?|help\s+(?:me|us)(?:\s+to)?|"
    r"(?:the|my|our)\s+(?:new\s+|main\s+)?goal\s+(?:is|is\s+now|now\s+is)(?:\s+to)?)\s+(?P<goal>.+)",
    re.IGNORECASE,
)
_NO_GOAL = re.compile(
    (
        r"(?:know|thank|ask|say|go\b|tell|cry|sleep|see|hear|mention|add|apologi[sz]e|understand"
        r"|check|be\b|admit|point|out\b|with\s+(?:this|that|it)|understand)"
    ),
    re.IGNORECASE,
)
_NEW_GOAL = re.compile(r"\bgoal\b|\b(?:actually|instead|change\s+of\s+plans?)\b", re.IGNORECASE)
_ITEM = re.compile(r"^\s*(?:(?P<number>\d{1,2})[.)]|[-*•])\s+(?P<text>\S.*)$")
_PLAN_CUE = re.compile(
    r"\b(?:plan|steps?|to-?do|roadmap|agenda|milestones?|approach|here's\s+how|how\s+(?:we|i|to))\b", re.IGNORECASE
)
_NO_PLAN = re.compile(
    r"\b(?:options?|ideas?|examples?|reasons?|suggestions?|recommendations?|favou?rites?"
    r"|ingredients?|pros|cons|differences?|books?|films?|movies|"
    r"alternatives|questions|facts|findings|errors?|done\s+so\s+far|progress)\b",
    re.IGNORECASE,
)
_SEQUENCE = re.compile(
    (
        r"\b(?:first(?:ly)?|the\s+plan\s+is(?:\s+to)?|step\s+(?:1"
        r"|one)(?:\s+is(?:\s+to)?)?)[,:]?\s+(?P<first>.+?)[,;.]\s+(?:and\s+)?(?:then|next"
        r"|second(?:ly)?|after\s+that)[,:]?\s+(?P<rest>.+)"
    ),
    re.IGNORECASE,
)
_NEXT = re.compile(
    r"[,;.]\s+(?:and\s+)?(?:then|next|after\s+that|third(?:ly)?|finally|lastly)[,:]?\s+|\s+and\s+(?:then|finally)\s+",
    re.IGNORECASE,
)
_STEP_DONE = re.compile(
    (
        r"\bstep\s+(?P<number>\d{1,2})\s+(?:(?:is|was|has\s+been)\s+)?(?:now\s+|all\s+)?(?:done"
        r"|completed?|finished)\b|\b(?:finished|completed|done\s+with)\s+step\s+(?P<other>\d{1,2})\b"
    ),
    re.IGNORECASE,
)
_DONE = re.compile(
    r"^(?:(?:ok|okay|great|good\s+news|and|so|now|update|yes|done)[,:.!]?\s+)*"
    r"(?:(?:i|we)(?:'ve|\s+have)?\s+(?:just\s+|now\s+|already\s+|finally\s+)?(?:finished"
    r"|completed|fixed|shipped|deployed|merged|submitted|sent|implemented)\s+(?:with\s+)?(?P<a>.+)"
    r"|(?:i'm|we're|i\s+am|we\s+are)\s+(?:now\s+)?done\s+with\s+(?P<b>.+)"
    r"|(?P<c>(?:the|my|our|your)\s+.{2,60}?)\s+(?:is|are|has\s+been|have\s+been)\s+(?:now\s+"
    r"|all\s+)?(?:done|completed?|finished|deployed|fixed|merged|shipped)\b.*"
    r"|\[x\]\s+(?P<d>.+))$",
    re.IGNORECASE,
)


def session_patch(transcript: Transcript, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The patch for `session_context_patch`, with those parts that its JSON Schema has; a part with nothing new is None."""
    new = [
        line
        for line in transcript.lines
        if not line.earlier and line.role in {"user", "assistant"} and line.text.strip()
    ]
    plan = _plan(new)
    known_plan = transcript.known_of_kind("plan")
    steps = plan["steps"] if plan else _steps(known_plan.text if known_plan else "")
    known_goal = transcript.known_of_kind("goal")
    known_progress = transcript.known_of_kind("progress")
    known_summary = transcript.known_of_kind("summary")
    parts: dict[str, Any] = {
        "summary": _summary(new, known_summary.text if known_summary else ""),
        "goal": _goal(new, known_goal is not None),
        "plan": plan,
        "progress": _progress(new, steps, _steps(known_progress.text if known_progress else "")),
    }
    return {
        name: parts[name] if name in parts else absence(node, schema)
        for name, node in schema.get("properties", {}).items()
    }


def _sentences(text: str) -> list[str]:
    return [sentence.strip() for sentence in _SENTENCE.findall(text) if sentence.strip()]


def _short(text: str, length: int = _LINE_LENGTH) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rsplit(" ", 1)[0] + "…"


def _summary(lines: Sequence[Line], known: str) -> dict[str, Any] | None:
    said: list[str] = []
    used: list[str] = []
    for line in lines:
        telling = [one for one in _sentences(line.text) if not _SMALL_TALK.fullmatch(one)]
        if not telling:
            continue
        who = line.name or ("User" if line.role == "user" else "Assistant")
        asked = line.role == "user" and telling[0].endswith("?")
        entry = f"{_short(who, 40)} {'asked' if asked else 'said'}: {_short(telling[0])}"
        said.append(entry)
        used.append(line.id)
    before = [
        part for line in known.splitlines() for part in ([line] if len(line) <= 2 * _LINE_LENGTH else _sentences(line))
    ]
    before = [part for part in before if part != LEFT_OUT]
    if not said or before[-len(said) :] == said:
        return None
    dropped = LEFT_OUT in known.splitlines()
    whole = before + said
    while len(whole) > 1 and len("\n".join([LEFT_OUT, *whole])) > SUMMARY_LENGTH:
        whole.pop(0)
        dropped = True
    return {"content": "\n".join([LEFT_OUT, *whole] if dropped else whole), "messages": used}


def _goal(lines: Sequence[Line], is_known: bool) -> dict[str, Any] | None:
    """The first goal that the user names; once one is known, only one that is called new."""
    for line in lines:
        if line.role != "user":
            continue
        for sentence in _sentences(fold(line.text)):
            matched = _GOAL.search(sentence) if len(sentence) <= _LONGEST else None
            if not matched or _NO_GOAL.match(matched["goal"]) or _ABANDONED.search(sentence[: matched.start("goal")]):
                continue
            if is_known and not _NEW_GOAL.search(sentence[: matched.start("goal")]):
                continue
            goal = _short(matched["goal"].strip(" .!?"), 200)
            if len(goal.split()) >= 2:
                return {"content": _capital(goal), "messages": [line.id]}
    return None


def _plan(lines: Sequence[Line]) -> dict[str, Any] | None:
    """The last plan of the turns: a list of at least two steps, or a sentence of the form first …, then …."""
    for line in reversed(lines):
        steps = _listed_steps(line.text) or _told_steps(line.text)
        if steps:
            return {"steps": steps, "messages": [line.id]}
    return None


def _listed_steps(text: str) -> list[str]:
    rows = fold(text).splitlines()
    items = [(number, item) for number, row in enumerate(rows) if (item := _ITEM.match(row))]
    if len(items) < 2:
        return []
    lead = " ".join(rows[: items[0][0]])
    numbered = items[0][1]["number"] is not None
    if _NO_PLAN.search(lead) or not (_PLAN_CUE.search(lead) or numbered):
        return []
    steps = [
        _short(item["text"].strip(" *_").removeprefix("[ ] ").replace("**", ""))
        for _, item in items
        if (item["number"] is not None) == numbered
    ]
    return steps if len(steps) >= 2 and not any(step.endswith("?") for step in steps) else []


def _told_steps(text: str) -> list[str]:
    for row in fold(text).splitlines():
        matched = _SEQUENCE.search(row) if len(row) <= _LONGEST else None
        if matched and "?" not in row and not re.search(r"\b(?:if|would)\b", row[: matched.start()], re.IGNORECASE):
            told = [matched["first"], *_NEXT.split(matched["rest"])]
            steps = [
                re.sub(
                    r"^(?:we(?:'ll)?|i(?:'ll)?|you)\s+(?:(?:should|will|need\s+to|can)\s+)?",
                    "",
                    one.strip(" .!,;"),
                    flags=re.IGNORECASE,
                )
                for one in told
            ]
            return [_capital(_short(step)) for step in steps if step]
    return []


def _progress(lines: Sequence[Line], plan: Sequence[str], known: Sequence[str]) -> dict[str, Any] | None:
    done = list(known)
    used: list[str] = []
    for line in lines:
        for sentence in _sentences(fold(line.text)):
            for step in _done(sentence, plan):
                if step.casefold() not in {one.casefold() for one in done}:
                    done.append(step)
                    used += [line.id] if line.id not in used else []
    return {"steps": done, "messages": used} if used else None


def _done(sentence: str, plan: Sequence[str]) -> list[str]:
    if (
        len(sentence) > _LONGEST
        or sentence.endswith("?")
        or re.search(
            r"\b(?:if|when|once|until|not|isn't|aren't|haven't|hasn't|almost|nearly|will)\b", sentence, re.IGNORECASE
        )
    ):
        return []
    numbers = [int(found["number"] or found["other"]) for found in _STEP_DONE.finditer(sentence)]
    if numbers:
        return [
            f"Step {number}: {plan[number - 1]}" if 0 < number <= len(plan) else f"Step {number}" for number in numbers
        ]
    matched = _DONE.match(re.sub(r"^[-*•\s✓✔✅]+", "", sentence).rstrip(" .!"))
    what = next((text for text in matched.groups() if text), "") if matched else ""
    bare = re.match(r"(?:it|that|this|them|everything|all|both|school|work|dinner)\b", what, re.IGNORECASE)
    return [_capital(_short(what.strip(" .!")))] if what and not bare else []


def _steps(text: str) -> list[str]:
    """The steps of a known plan or progress, in whichever form the request shows them."""
    try:
        held = json.loads(text)
    except ValueError:
        held = text.splitlines() if "\n" in text else text.split("; ")
    if not isinstance(held, list):
        held = [text]
    return [re.sub(r"^\s*(?:\d{1,2}[.)]|[-*•])\s+", "", str(one)).strip() for one in held if str(one).strip()]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
