"""A message cut into the clauses in which its writer speaks plainly of themselves.

Left out are questions, hypotheticals, what others are reported to have said, quoted text and code, text handed over as a task
("translate this: …"), and messages that try to instruct the reader of the transcript. Offsets count characters of the message.
"""

import re
from dataclasses import dataclass

_QUOTE_MARKS = {"'": "\u2018\u2019\u00b4", '"': "\u201c\u201d\u201e\u00ab\u00bb", " ": "\u00a0"}
_FOLD = {ord(mark): plain for plain, marks in _QUOTE_MARKS.items() for mark in marks}
_MASK = "\x00"
_LONGEST = 600  # characters of a sentence that is read; longer ones are pasted text, and slow to match
_HIDDEN = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,200}`|(?m:^>.*$)|\[[^\]\n]{0,400}\]", re.DOTALL)
_QUOTED = re.compile(r'"([^"\n]*)"')
_STOP = re.compile(r"(?<![.!?…])[.!?…]++(?=[\s)]|$)|[。！？]+|[\n;]+")  # noqa: RUF001 - full-width stops end sentences too
_ABBREVIATION = re.compile(r"(?:\b(?:Dr|Mr|Mrs|Ms|St|Prof|Jr|Sr|vs|etc|approx|Inc|Ltd|Co|e\.g|i\.e)|\b[A-Z])$")
_ABBREVIATED = 8  # characters before a stop in which an abbreviation shows, one more than it has among them

_ADVERBS = r"(?:(?:also|really|just|now|always|absolutely|currently|still|usually|actually|recently|never)\s+)*"
_SUBJECT = (
    r"(?:i|i'm|i've|i'd|im|my|we|we're|we've|you\s+can\s+call|call|please|every(?:one|body)\s+calls|people\s+call)\b"
)
_VERB = (
    r"(?:hate|love|like|enjoy|prefer|dislike|adore|detest|work|live|joined|moved|am|plan|want|hope|intend|"
    r"can't\s+stand|cannot\s+stand|don't|do\s+not)\b"
)
_CUT = re.compile(
    rf"\s*[,:]\s+|\s+\(|\)\s*|\s+[-–—]+\s+|\s*—\s*"
    rf"|\s+(?=(?:and|but|so|because|since|though|although|while|yet|plus)\s+{_ADVERBS}{_SUBJECT})"
    rf"|\s+(?=(?:and|but)\s+{_ADVERBS}{_VERB})",
    re.IGNORECASE,
)
_OPENER = re.compile(
    r"(?:and|but|so|because|since|though|although|yet|plus|hi|hello|hey|hiya|greetings|well|yes"
    r"|yeah|yep|oh|ok|okay|actually|"
    r"also|btw|by\s+the\s+way|anyway|correction|thanks|thank\s+you|now|currently|personally"
    r"|honestly|fyi|for\s+(?:context|the\s+record)|"
    r"just\s+so\s+you\s+know|(?:please\s+)?(?:remember|note)\s+that"
    r"|you\s+should\s+know(?:\s+that)?|as\s+you\s+know|these\s+days|"
    r"quick\s+intro|good\s+(?:morning|afternoon|evening)|to\s+be\s+honest|in\s+fact|there)\b\s*",
    re.IGNORECASE,
)
_BARE_VERB = re.compile(_ADVERBS + _VERB, re.IGNORECASE)
_JOINED = re.compile(r"(?:and|but)\s", re.IGNORECASE)
_DROPPED = re.compile(
    r"(?:just|recently)\s+(?:moved|relocated|joined|started)\b|been\s+(?:working|living)\b", re.IGNORECASE
)
_FIRST_PERSON = re.compile(r"(?:i|we)\b", re.IGNORECASE)

_INSTRUCTS = re.compile(
    r"\b(?:ignore|disregard|override|bypass)\b.{0,40}\b(?:instructions?|rules?|prompts?|guidelines?)\b"
    r"|^[ \t]{0,20}(?:system|assistant|developer)[ \t]{0,20}:",
    re.IGNORECASE | re.MULTILINE,
)
_PLEASE = (
    r"(?:(?:please|now|then|can\s+you|could\s+you|would\s+you|will\s+you|i\s+want\s+you\s+to|i\s+need\s+you\s+to)\s+)*"
)
_TASK = re.compile(
    _PLEASE + r"(?:translate|rewrite|rephrase|paraphrase|proofread|summari[sz]e|correct|edit|write|draft"
    r"|compose|complete|continue|"
    r"generate|repeat|classify|analy[sz]e|explain|store|save|record|insert|output|print|echo|say)\b",
    re.IGNORECASE,
)
_TASK_GOES_ON = re.compile(r"\b(?:following|below|this|these)\b[^.]*$|:\s*$", re.IGNORECASE)
_FICTION = re.compile(
    _PLEASE + r"(?:imagine|pretend|suppose|supposing|assume|assuming|hypothetically|role-?play|act\s+as"
    r"|let's\s+(?:say|pretend|imagine)|"
    r"what\s+if|for\s+the\s+sake\s+of)\b",
    re.IGNORECASE,
)
UNREAL = re.compile(
    r"\b(?:if|unless|wish|imagine|pretend|suppose|whether|in\s+case|as\s+though|dream(?:ed|t)?)\b", re.IGNORECASE
)
REPORTED = re.compile(
    r"\b(?!i\b|i've\b|we\b)[\w']+\s+(?:(?:also|just|once|always|still|even|has|have"
    r"|had)\s+)?(?:says?|said|saying|tells?|told|thinks?|thought|"
    r"claims?|claimed|believes?|believed|insists?|insisted|heard|writes|wrote|mentioned|jokes?"
    r"|joked|swears?|asks?|asked|reckons?|"
    r"assumes?|assumed|knows)\b|\baccording\s+to\b|\brumou?r\s+has\s+it\b",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"\b(?:kidding|joking|not\s+really|not\s+true|(?:is|are|was)\s+(?:wrong|a\s+lie|a\s+joke)|didn't\s+i|don't\s+i)\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"\s*,\s+(?!(?:and|but|so|because|though|although|while|which|who|i|i'm|i've|we|my|please|especially)\b)\w",
    re.IGNORECASE,
)
_ASKS = re.compile(
    (
        r"(?:can|could|do|does|did|what|how|where|which|who|why|when|any|is|are|am|would|will"
        r"|should|shall|may|have|has|got)\b"
    ),
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Clause:
    """A clause as its rules read it: folded, without openers, its subject restored; and where it stands in the message."""

    text: str
    start: int
    end: int
    sentence: tuple[int, int]
    front: str  # the words of the sentence before this clause
    before: str  # the clause before this one in the message, "" at its beginning
    tail: str  # the sentence after this clause

    @property
    def goes_on(self) -> bool:
        """Whether a comma cuts it off from more words of the same phrase ("a safe, quiet place")."""
        return _GOES_ON.match(self.tail) is not None


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A sentence, folded, with what is not its writer's own words masked by NUL; and where it stands in the message."""

    text: str
    start: int
    end: int


def fold(text: str) -> str:
    """Curly quotes made straight, one character for one, so that offsets stay true."""
    return text.translate(_FOLD)


def plain_sentences(message: str) -> list[Sentence]:
    """The sentences in which a message speaks for itself: without code, quotations, tasks, fiction and instructions."""
    text = fold(message)
    if _INSTRUCTS.search(text):
        return []
    text = _QUOTED.sub(_unquote, _HIDDEN.sub(lambda found: _MASK * len(found[0]), text))
    result: list[Sentence] = []
    for start, end in _sentences(text):
        sentence = text[start:end]
        if len(sentence) > _LONGEST:
            continue
        opening = strip_openers(sentence)
        if _FICTION.match(sentence, opening):
            break
        if _TASK.match(sentence, opening):
            if _TASK_GOES_ON.search(sentence):
                break
            continue
        result.append(Sentence(text=sentence, start=start, end=end))
    return result


def clauses(message: str) -> list[Clause]:
    """The plain first-person material of a message, in its order."""
    result: list[Clause] = []
    before = ""
    for spoken in plain_sentences(message):
        sentence, start, end = spoken.text, spoken.start, spoken.end
        parts = _parts(sentence)
        for number, (left, right) in enumerate(parts):
            begin = left + strip_openers(sentence[left:right])
            words = sentence[begin:right].rstrip(" .!?…,")
            # Only after "and" or "but": a bare "like" or "love" after a comma is mostly no verb of the writer's.
            inherits = _JOINED.match(sentence, left) and _BARE_VERB.match(words) and _FIRST_PERSON.match(before)
            dropped = not sentence[:left].strip() and _DROPPED.match(words)
            said = f"I {words}" if inherits or dropped else words
            later = [_stripped(sentence[one:two]) for one, two in parts[number + 1 :]]
            if said and _plain(sentence, left, right, later):
                result.append(
                    Clause(
                        text=said,
                        start=start + begin,
                        end=start + begin + len(words),
                        sentence=(start, end),
                        front=sentence[:left],
                        before=before,
                        tail=sentence[right:],
                    )
                )
            before = said or before
    return result


def _unquote(found: re.Match[str]) -> str:
    """A quoted word or two may be a name; more is somebody's text."""
    return f" {found[1]} " if len(found[1].split()) <= 2 else _MASK * len(found[0])


def _sentences(text: str) -> list[tuple[int, int]]:
    spans = []
    start = 0
    for stop in _STOP.finditer(text):
        if stop[0] == "." and _ABBREVIATION.search(text[max(start, stop.start() - _ABBREVIATED) : stop.start()]):
            continue
        spans.append((start, stop.end()))
        start = stop.end()
    spans.append((start, len(text)))
    trimmed = [(one + len(text[one:two]) - len(text[one:two].lstrip()), two) for one, two in spans]
    return [(one, one + len(text[one:two].rstrip())) for one, two in trimmed if text[one:two].strip()]


def _parts(sentence: str) -> list[tuple[int, int]]:
    parts = []
    start = 0
    for cut in _CUT.finditer(sentence):
        if cut.start() > start:
            parts.append((start, cut.start()))
        start = cut.end()
    if start < len(sentence):
        parts.append((start, len(sentence)))
    return parts


def strip_openers(text: str) -> int:
    """Where a sentence begins after its greetings and conjunctions."""
    position = len(text) - len(text.lstrip())
    while (found := _OPENER.match(text, position)) and found.end() > position:
        position = found.end()
        position += len(text[position:]) - len(text[position:].lstrip(" ,!"))
    return position


def _stripped(text: str) -> str:
    return text[strip_openers(text) :]


def _plain(sentence: str, left: int, right: int, later: list[str]) -> bool:
    front, rest = sentence[:left], sentence[right:]
    if UNREAL.search(front) or REPORTED.search(front) or _TAKEN_BACK.search(rest):
        return False
    if sentence.rstrip().endswith("?"):
        # "I live in Oslo, can you …?" states before it asks; "I live in Oslo, right?" does not.
        return any(_ASKS.match(part) and len(part.split()) > 3 for part in later)
    return True
