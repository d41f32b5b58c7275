"""How the offline model acts for an agent: which request asks for which tool, and which memory answers a question.

One tool call a message of the user's: once a result is there, the answer is text, so that an agent's loop ends.
"""

import re
from collections.abc import Mapping
from typing import Any

from learning_ops.offline.clauses import fold
from learning_ops.offline.conversation import Conversation, ToolCall, Turn
from learning_ops.offline.insight_rules import described
from learning_ops.offline.insight_statements import Lesson, content_words, context_of
from learning_ops.offline.instance import NoInstance, branches, emptiest, fits
from learning_ops.offline.statements import statements

LINE_LENGTH = 400  # characters of a result or memory that an answer quotes
SEARCH_LIMIT = 5  # results asked for where a function takes a limit
_BLOCK = re.compile(r"<learning-machine-memory\b[^<>]*>(?P<lines>.*?)(?:</learning-machine-memory\s*>|\Z)", re.DOTALL)

_POLITE = r"(?:(?:please|ok|okay|hi|hello|hey|thanks|great|also|and|now|can\s+you|could\s+you|would\s+you|will\s+you)[,!.]?\s+)*"
_SAVE = re.compile(
    _POLITE
    + r"(?:(?:remember|note|keep\s+in\s+mind|don't\s+forget|make\s+a\s+note)(?:\s+that|(?:\s+this)?\s*[:,])"
    + r"|(?:save|store|record|remember|note|add|propose|keep)(?:\s+down)?"
    + r"(?:\s+(?:this|that|the|a|our|following|new|useful|as)){0,4}"
    + r"(?:\s+(?:lesson|insight|learning|tip|rule|best\s+practice|memory))?"
    + r"(?:\s+(?:for|with)\s+(?:the|our)\s+(?:team|others|group))?\s*:"
    + r"|(?:save|store|record|note)\s+that)\s+(?P<v>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_FORGET = re.compile(
    _POLITE + r"(?:forget|delete|remove|unlearn)\s+(?:the\s+(?:memory|fact|note)\s+)?(?:that|about|:)\s+(?P<v>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_SEARCH = re.compile(
    _POLITE
    + r"(?:(?:what|anything)\s+(?:do|have|did)\s+(?:we|you|i)\s+(?:already\s+)?(?:know|learned|learnt|learn|remember)\s+about"
    + r"|do\s+(?:we|you)\s+(?:know|remember)\s+(?:anything|something|a\s+lesson)\s+about"
    + r"|(?:search|look)\s+(?:(?:in\s+)?(?:the\s+|our\s+|your\s+)?(?:memory|learnings|lessons|knowledge|insights)\s+)?(?:for|up)"
    + r"|(?:are\s+there\s+|do\s+we\s+have\s+|is\s+there\s+)?any\s+(?:lessons?|learnings?|tips?|advice|insights?|best\s+practices?)"
    + r"(?:\s+learned)?\s+(?:about|on|for|when)"
    + r"|how\s+(?:should|do|can|would)\s+(?:i|we|one)|what(?:'s|\s+is)\s+the\s+best\s+way\s+to)\s+(?P<v>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_ABOUT_ME = re.compile(r"(?:i|i'm|i've|i'd|im|my|mine|me)\b", re.IGNORECASE)
_ASKS = re.compile(
    _POLITE
    + r"(?:what|who|where|when|which|why|how|do|does|did|is|are|am|was|were|can|could|should|would|will|have|has|tell"
    r"|remind|suggest|recommend|give|show|list|find|plan|help)\b",
    re.IGNORECASE,
)
_ID = re.compile(
    r"\b(?P<uuid>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b"
    r"|\"?\b(?:id|learning|memory_id|learning_id)\"?\s*[:=]?\s+\"?(?P<named>[\w-]*\d[\w-]*)|\[(?P<label>[A-Za-z]+[_-]?\d+)\]",
    re.IGNORECASE,
)
_LEARNING_TOOLS = ("save_learning", "propose_learning")
_SEARCH_TOOLS = ("search_learnings", "search_entities")
_ID_NAMES = ("id", "learning", "learning_id", "memory_id", "memory", "label")
_CONTENT_NAMES = ("content", "memory", "text", "statement")


def act(conversation: Conversation) -> ToolCall | str | None:
    """The tool to call, or the answer that a result or a remembered line gives; None where neither is asked for."""
    turns = [turn for turn in conversation.turns if turn.role not in {"system", "developer"}]
    if not turns:
        return None
    results = _results(turns)
    if results:
        return " ".join(
            f"{'From memory' if 'search' in one.tool else one.tool or 'Tool'}: {one_line(one.text)}" for one in results
        )
    if turns[-1].role != "user":
        return None
    asked = " ".join(_BLOCK.sub(" ", fold(turns[-1].text)).split())
    return _call(asked, conversation) or _remembered(asked, conversation)


def one_line(text: str) -> str:
    """A text on one line, shortened to LINE_LENGTH characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= LINE_LENGTH else flat[: LINE_LENGTH - 1] + "…"


def _results(turns: list[Turn]) -> list[Turn]:
    """The results of functions that came after the user's last words."""
    after: list[Turn] = []
    for turn in reversed(turns):
        if turn.role == "user":
            break
        if turn.role == "tool":
            after.append(turn)
        elif turn.text.strip() and not after:
            return []  # the model has answered since
    return after[::-1]


def _call(asked: str, conversation: Conversation) -> ToolCall | None:
    tools = conversation.tools
    if forget := _FORGET.fullmatch(asked):
        return _forgotten(forget["v"], conversation) if "forget_memory" in tools else None
    if save := _SAVE.fullmatch(asked):
        said = save["v"].strip()
        if said.endswith("?"):
            return None
        return _of_me(said, tools) if _ABOUT_ME.match(said) else _of_learning(said, tools)
    if search := _SEARCH.fullmatch(asked):
        query = search["v"].strip(" ?.!\"'")
        name = next((one for one in _SEARCH_TOOLS if one in tools), None)
        return (
            _made(name, {"query": query, "text": query, "name": query, "limit": SEARCH_LIMIT}, tools)
            if name and query
            else None
        )
    return None


def _of_learning(said: str, tools: Mapping[str, Mapping[str, Any]]) -> ToolCall | None:
    name = next((one for one in _LEARNING_TOOLS if one in tools), None)
    words = said.strip(" .!\"'")
    if name is None or not words:
        return None
    learning = words[:1].upper() + words[1:]
    return _made(name, described(Lesson(learning=learning, context=context_of(learning))), tools)


def _of_me(said: str, tools: Mapping[str, Mapping[str, Any]]) -> ToolCall | None:
    found = statements(said)
    slot, value = (found[0].slot, found[0].value) if found else ("", "")
    if "update_profile" in tools and slot in {"name", "preferred_name"}:
        call = _made("update_profile", {slot: value, "field": slot, "value": value, "fields": {slot: value}}, tools)
        if call and call.arguments:
            return call
    if "save_memory" not in tools:
        return None
    return _made("save_memory", dict.fromkeys(_CONTENT_NAMES, found[0].content if found else _turned(said)), tools)


def _turned(said: str) -> str:
    """Words of the user about themselves, as a memory that is told of somebody."""
    words = re.sub(r"^my\b", "Their", said.strip(" .!"), flags=re.IGNORECASE)
    words = re.sub(r"^(?:i'm|i\s+am|im)\b", "Is", words, flags=re.IGNORECASE)
    words = re.sub(r"^(?:i've|i\s+have)\b", "Has", words, flags=re.IGNORECASE)
    return re.sub(r"\bmy\b", "their", words, flags=re.IGNORECASE) if words != said.strip(" .!") else f"Said: {words}"


def _made(name: str, values: Mapping[str, Any], tools: Mapping[str, Mapping[str, Any]]) -> ToolCall | None:
    """A call with those values that the function's schema has and takes; None where it demands others that cannot be left empty."""
    schema = tools[name]
    required = schema.get("required", ())
    arguments: dict[str, Any] = {}
    for key, node in schema.get("properties", {}).items():
        forms = _forms(values[key]) if key in values else ()
        taken = next((form for form in forms if _takes(form, node, schema)), forms)
        if taken is not forms:
            arguments[key] = taken
        elif key in required:
            try:
                arguments[key] = emptiest(node, schema)
            except NoInstance:
                return None
    # A function that takes none of what was asked for would be called for nothing.
    return ToolCall(name=name, arguments=arguments) if (arguments.keys() & values.keys()) - {"limit"} else None


def _forms(value: Any) -> tuple[Any, ...]:
    """A value as the schemas of functions may want it."""
    if value is None:
        return (None, "")
    return (value, ", ".join(value)) if isinstance(value, list) else (value,)


def _takes(value: Any, node: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    return any(
        isinstance(value, list)
        if branch.get("type") == "array" and "items" not in branch
        else fits(value, branch, root)
        for branch in branches(node, root)
    )


def _forgotten(said: str, conversation: Conversation) -> ToolCall | None:
    """Forget what is named by an id that the conversation shows, else a recalled line that has all of the words."""
    if label := _visible_id(said, conversation.turns):
        return _made("forget_memory", dict.fromkeys(_ID_NAMES, label), conversation.tools)
    wanted = _stems(said)
    line = next((line for line in _recalled(conversation) if wanted and wanted <= _stems(line)), None)
    return _made("forget_memory", dict.fromkeys(_CONTENT_NAMES, line), conversation.tools) if line else None


def _visible_id(said: str, turns: tuple[Turn, ...]) -> str | None:
    """The id that the conversation shows on the line that says most nearly what is to be forgotten."""
    lines = [line for turn in turns for line in turn.text.splitlines() if _ID.search(line)]
    best = max(lines, key=lambda line: _shared(said, line), default="")
    found = _ID.search(best) if best and _shared(said, best) else None
    return (found["uuid"] or found["named"] or found["label"]) if found else None


def _remembered(asked: str, conversation: Conversation) -> str | None:
    """The recalled line that shares most words with a question or request: at least half of a short one's, two of a long one's."""
    if not (asked.rstrip().endswith("?") or _ASKS.match(asked)):
        return None
    best = max(_recalled(conversation), key=lambda line: _shared(asked, line), default="")
    wanted = min(2, -(-len(content_words(asked)) // 2))
    return f"From memory: {one_line(best)}" if best and _shared(asked, best) >= max(1, wanted) else None


def _recalled(conversation: Conversation) -> list[str]:
    """The lines of every recalled block, wherever in the prompt it stands."""
    return [
        line.strip().removeprefix("- ").strip()
        for turn in conversation.turns
        for block in _BLOCK.finditer(turn.text)
        for line in block["lines"].splitlines()
        if line.strip().startswith("- ")
    ]


def _shared(left: str, right: str) -> int:
    return len(_stems(left) & _stems(right))


def _stems(text: str) -> set[str]:
    """Content words without common endings, so that "prefer" meets "prefers"."""
    words = (re.sub(r"(?:ing|ed|es|s|e)$", "", word) if len(word) > 3 else word for word in content_words(text))
    return set(words)
