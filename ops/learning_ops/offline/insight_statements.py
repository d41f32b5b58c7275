"""The reusable lessons that a message states: marked as lessons, given as rules, or compared for a purpose.

What is about the speaker alone, about one moment, or addressed to the assistant is no lesson; nor is what a message asks,
supposes, guesses or reports.
"""

import re
from dataclasses import dataclass

from learning_ops.offline.clauses import REPORTED, UNREAL, plain_sentences, strip_openers
from learning_ops.offline.dates import find_date
from learning_ops.offline.lexicon import GIVEN_NAMES, STOP_WORDS

TITLE_WORDS = 8
TAGS = 5


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A lesson, the condition or purpose that it names, and the span of the message that it stands on."""

    learning: str
    context: str | None = None
    start: int = 0
    end: int = 0

    @property
    def title(self) -> str:
        """The lesson without its condition, at most TITLE_WORDS words."""
        words = self._main().split()
        cut = words[:TITLE_WORDS]
        while len(cut) < len(words) and len(cut) > 2 and cut[-1].casefold().strip(",") in STOP_WORDS:
            cut.pop()
        title = " ".join(cut).strip(" ,;:")
        return title[:1].upper() + title[1:]

    @property
    def tags(self) -> list[str]:
        """The first TAGS words of the lesson that carry subject matter, in small letters."""
        return content_words(self.learning)[:TAGS]

    def _main(self) -> str:
        """The lesson without its condition, where this stands before or after the rest."""
        if not self.context:
            return self.learning
        condition = re.escape(self.context)
        return re.sub(rf"^{condition},\s+|\s{condition}$", "", self.learning, count=1, flags=re.IGNORECASE)


_ADVERB = r"(?:(?:just|also|really|recently|finally|since|now|eventually|quickly|later)\s+)*"
_TEAM = r"(?:we|i|the\s+team|our\s+team)(?:'ve|\s+have)?\s+"
_MARKER = re.compile(
    r"(?:(?:the\s+|our\s+|a\s+|another\s+|one\s+|my\s+)?(?:(?:big|main|key|important|general|hard|useful|quick|good|small)\s+)*"
    r"(?:lessons?(?:\s+(?:learned|learnt|here|for\s+next\s+time))?|(?:pro[\s-]?)?tip|best\s+practice|rule\s+of\s+thumb|take-?away"
    r"|insight|learning|golden\s+rule|note\s+for\s+(?:the\s+team|next\s+time)|gotcha|pitfall)"
    r"(?:\s+(?:is|was)(?:\s+(?:that|to)\b|\s*:)|\s*[:–—-])"
    r"|(?:(?:one|another|the)\s+(?:\w+\s+)?thing\s+(?:that\s+)?|what\s+)(?:we|i)(?:'ve|\s+have)?\s+(?:learned|learnt)(?:\s+\w+)?"
    r"(?:\s+is(?:\s+that)?|\s*:)|(?:learned|learnt)\s+(?:today|this\s+week):"
    rf"|TIL(?:\s+that)?:?|{_TEAM}{_ADVERB}(?:learned|learnt|found\s+out|discovered|figured\s+out|realised|realized)"
    r"(?:\s+(?:the\s+hard\s+way|from\s+experience|over\s+time))?,?\s+that"
    r"|(?:it\s+)?(?:turns|turned)\s+out(?:\s+that)?)\s+(?P<l>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_TRICK = re.compile(
    r"the\s+(?:real\s+)?(?:trick|secret|key|best\s+thing|solution|fix)\s+(?:here\s+)?is\s+to\s+(?P<l>\S.*)",
    re.IGNORECASE,
)
_TRICK_TO = re.compile(
    r"the\s+(?:trick|secret|key)\s+to\s+(?P<c>[^,]+?)\s+is\s+(?:to\s+)?\S.*"
    r"|the\s+(?:best|safest|fastest|easiest|cheapest|right)\s+way\s+to\s+(?P<c2>[^,]+?)\s+is\s+(?:to\s+|by\s+|with\s+)?\S.*",
    re.IGNORECASE,
)
_CONDITION = r"(?:when(?:ever)?|before|after|while|if|once|unless|until|as\s+soon\s+as|during)"
_RULE = re.compile(
    rf"(?:(?:as\s+a\s+(?:general\s+)?rule|in\s+general|generally),\s+|(?P<front>{_CONDITION}\s+[^,]+),\s+)?"
    r"(?:(?:you|one|we)\s+(?:should|must|need\s+to)\s+)?(?P<l>(?:always|never)\s+(?P<verb>[a-z-]+)\s+\S.*)",
    re.IGNORECASE,
)
_AVOID = re.compile(rf"(?:avoid|prefer|don't|do\s+not)\s+\S.*?\s(?:{_CONDITION}|for|over)\s+\S.*", re.IGNORECASE)
_BETTER = re.compile(
    r"(?P<s>[^,;:]+?)\s+(?:(?:works?|performs?|scales?|does|do|fits?)\s+(?:much\s+|far\s+|a\s+lot\s+)?better"
    r"|(?:is|are)\s+(?:much\s+|far\s+|a\s+lot\s+)?(?:[a-z]+er|better|(?:more|less)\s+[a-z]+))"
    rf"\s+than\s+[^,;:]+?\s+(?:for|{_CONDITION}|on|with|in|under|at)\s+\S.*",
    re.IGNORECASE,
)
_END_CONDITION = re.compile(
    r"\s(?P<c>(?:when(?:ever)?|before|while|if|once|unless|as\s+soon\s+as|during|after(?=\s+(?:\w+ing|an?|the|each|every|any)\b))"
    r"\s+(?:[^,]+|[^,]+,\s+[^,]+))$",
    re.IGNORECASE,
)
_FRONT_CONDITION = re.compile(rf"(?P<c>{_CONDITION}\s+[^,]+),\s+", re.IGNORECASE)
_PURPOSE = re.compile(r"\s(?P<c>(?:for|on|with|in|under|at)\s+[^,]+)$", re.IGNORECASE)

_PERSONAL = re.compile(
    r"\b(?:i|i'm|i've|i'd|i'll|me|my|mine|myself|you\s+(?:were|are|said|did)|your?self)\b", re.IGNORECASE
)
_POINTS = re.compile(
    r"(?:it|its|he|she|they|them|this|that|these|those|there|you|we\s+were|nobody|everyone)\b", re.IGNORECASE
)
_TO_THE_ASSISTANT_TOO = re.compile(
    r"\b(?:you|your)\s+(?:\w+\s+)?(?:answer|answers|reply|replies|response|responses|respond|explanations?|messages?)\b",
    re.IGNORECASE,
)
_OWN = re.compile(r"(?:our|his|her|their|your)\b", re.IGNORECASE)
_MOMENT = re.compile(r"\b(?:was|were|had|did|will|tomorrow|tonight|right\s+now|yet|so\s+far)\b", re.IGNORECASE)
_GUESSED = re.compile(
    r"\b(?:maybe|perhaps|probably|possibly|might|could|would|reportedly|apparently|supposedly|allegedly|seems?|guess|think"
    r"|thinks|believe|suspect|doubt|wonder|not\s+sure|suppose|not\s+true|no\s+longer)\b",
    re.IGNORECASE,
)
# "Always answer …" tells the assistant how to behave, "Never mind" nobody anything.
_TO_THE_ASSISTANT = frozenset({
    "address", "answer", "apologise", "apologize", "ask", "call", "forget", "greet", "mind", "quote", "remember", "remind",
    "reply", "respond", "speak", "talk", "tell", "write",
})  # fmt: skip
_NO_VERBS = frozenset({
    "a", "again", "an", "been", "ever", "glad", "good", "great", "happy", "here", "in", "more", "nice", "on",
    "open", "ready", "the", "there", "up", "was", "welcome", "yours",
})  # fmt: skip
# "Always smiling", "never saw": what tells of somebody, not what to do.
_INFLECTED = re.compile(
    r"[a-z]*[aeiou][a-z]*ing|(?!embed$|shed$)\w+[^e]ed|saw|went|got|knew|thought|came|took|gave|felt|said|told|found|made|seen"
    r"|gone|done|known"
)
_ASKED = re.compile(
    r"(?:what|who|how|why|which|where|do|does|did|is|are|was|were|can|could|would|should|may|will|has|have)\b",
    re.IGNORECASE,
)
_LEAST_WORDS = 4


def lessons(message: str) -> list[Lesson]:
    """The lessons that the message states, in its order; spans are of `message`."""
    found = []
    for sentence in plain_sentences(message):
        text = sentence.text[strip_openers(sentence.text) :]
        if sentence.text.rstrip().endswith("?") or "\x00" in text or (_ASKED.match(text) and not _MARKER.match(text)):
            continue
        lesson = _lesson(text.rstrip(" .!…"))
        if lesson:
            learning, context = lesson
            found.append(Lesson(learning=learning, context=context, start=sentence.start, end=sentence.end))
    return found


def content_words(text: str) -> list[str]:
    """The words of a text that carry subject matter, in small letters, each once, in order."""
    words = (word.strip("-'").casefold() for word in re.findall(r"[^\W_][\w'+#-]*", text))
    return list(
        dict.fromkeys(word for word in words if len(word) > 1 and word not in STOP_WORDS and not word.isdecimal())
    )


def context_of(learning: str) -> str | None:
    """The condition that a lesson names, before or after it, with a capital."""
    found = _FRONT_CONDITION.match(learning) or _END_CONDITION.search(learning)
    return _capital(found["c"]) if found else None


def _lesson(text: str) -> tuple[str, str | None] | None:
    marked = _MARKER.fullmatch(text)
    said = marked["l"] if marked else text
    # "Batching writes halves …": the noun reports nobody.
    if _GUESSED.search(text) or REPORTED.search(re.sub(r"\bwrites\b", "", text, flags=re.IGNORECASE)):
        return None
    if trick := _TRICK_TO.fullmatch(said):
        return _checked(said, _capital(trick["c"] or trick["c2"]))
    if trick := _TRICK.fullmatch(said):
        said = trick["l"]
    elif rule := _RULE.fullmatch(said):
        verb = rule["verb"].casefold()
        if verb in _TO_THE_ASSISTANT | _NO_VERBS or _INFLECTED.fullmatch(verb):
            return None
        said = f"{rule['front']}, {rule['l']}" if rule["front"] else text if text[:4].lower() == "as a" else rule["l"]
    elif compared := _BETTER.fullmatch(said):
        if _POINTS.match(compared["s"]) or _OWN.match(compared["s"]):
            return None
        purpose = _PURPOSE.search(said)
        return _checked(said, context_of(_capital(said)) or (_capital(purpose["c"]) if purpose else None))
    elif _AVOID.fullmatch(said):
        if not marked and re.match(
            r"(?:don't|do\s+not)\s+(?:forget|worry|mind|hesitate|know|think|be|you)\b", said, re.IGNORECASE
        ):
            return None
        if purpose := (re.match(r"prefer\b", said, re.IGNORECASE) and _PURPOSE.search(said)):
            return _checked(said, _capital(purpose["c"]))
    elif not marked:
        return None
    return _checked(said, context_of(said))


def _checked(said: str, context: str | None) -> tuple[str, str | None] | None:
    """The lesson if it is one that holds beyond this conversation."""
    lesson = said.strip(" ,:;\"'")
    words = lesson.split()
    if len(words) < _LEAST_WORDS or len(content_words(lesson)) < 2 or _PERSONAL.search(lesson) or _POINTS.match(lesson):
        return None
    if _TO_THE_ASSISTANT_TOO.search(lesson) or re.search(r"\bhave\s+been\b", lesson, re.IGNORECASE):
        return None
    main = lesson[: -len(context)] if context and lesson.casefold().endswith(context.casefold()) else lesson
    if _MOMENT.search(main) or find_date(lesson, None) or (UNREAL.search(main) and not context):
        return None
    if words[0].casefold() in GIVEN_NAMES and words[0][0].isupper():
        return None
    return _capital(lesson), context


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
