"""LoCoMo's observations three times, twice reworded by fixed tables, with contradictions planted: what is a duplicate is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from benchmarks.retrieval.dataset import Conversation, Memory
from learning_stores.curator.deduplicate import normal

CONTRADICTIONS = 5
"""In each conversation."""

# The first rewording is one of writing alone, the second one of words. Both are applied to every observation, in this order.
WRITING = ((", ", "; "), ("'", "’"), (" and ", "  and "), (" - ", " – "))
WORDS = (
    (" is ", " remains "), (" are ", " remain "), (" has ", " possesses "), (" had ", " possessed "), (" likes ", " enjoys "),
    (" loves ", " adores "), (" enjoys ", " takes pleasure in "), (" wants to ", " would like to "), (" and ", " as well as "),
    (" because ", " since "), (" recently ", " lately "), (" feels ", " is feeling "), (" thinks ", " believes "),
    (" started ", " began "), (" bought ", " purchased "), (" kids", " children"), (" job", " position"), (" mom", " mother"),
    (" dad", " father"), (" very ", " really "), (" help", " assist"), (" movie", " film"), (" went to ", " visited "),
    (" planning ", " preparing "), (" finds ", " considers "), (" through ", " by means of "), (" about ", " regarding "),
    (" to ", " in order to "), (" was ", " has been "), (" with ", " together with "),
)  # fmt: skip  # a table
DENIED = (
    (" is ", " is not "), (" has ", " no longer has "), (" likes ", " dislikes "), (" loves ", " hates "),
    (" enjoys ", " does not enjoy "), (" wants ", " does not want "), (" was ", " was not "),
)  # fmt: skip  # the same


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A conversation whose observations are the loaded ones. `fact_of` says of each text which fact it states.

    `reworded` and `contradicted` are pairs of texts that were planted: the fact as it was observed, and what was made of it.
    """

    conversation: Conversation
    fact_of: Mapping[str, str]
    reworded: Sequence[tuple[str, str]]
    contradicted: Sequence[tuple[str, str]]

    @property
    def facts(self) -> frozenset[str]:
        """Every distinct fact, the contradictions among them."""
        return frozenset(self.fact_of.values())

    def lost(self, live: Sequence[str]) -> int:
        """How many facts no live text states."""
        return len(self.facts - {self.fact_of[text] for text in live})

    def doubles(self, live: Sequence[str]) -> int:
        """How many live texts there are beyond one a fact."""
        return len(live) - len({self.fact_of[text] for text in live})


def made_of(conversation: Conversation, name: str) -> Corpus:
    """The corpus of one conversation, under another name. Observations that say nothing new, or cite no turn, are left out."""
    observed: dict[str, Memory] = {}
    for memory in conversation.observations:
        if memory.turns & conversation.places.keys():
            observed.setdefault(normal(memory.text), memory)
    fact_of: dict[str, str] = {}
    reworded: list[tuple[str, str]] = []
    loaded: list[Memory] = []
    for fact, memory in observed.items():
        written, worded = _written(memory.text), _worded(memory.text)
        for text, minutes in ((memory.text, 0), (written, 1), (worded, 2)):
            if fact_of.setdefault(text, fact) == fact:
                loaded.append(replace(memory, text=text, said_at=memory.said_at + timedelta(minutes=minutes)))
        if normal(worded) != fact:
            reworded.append((memory.text, worded))
    contradicted = []
    for memory in _deniable(list(observed.values())):
        denied = _first(DENIED, memory.text)
        fact_of[denied] = normal(denied)
        loaded.append(replace(memory, text=denied, said_at=conversation.observations[-1].said_at + timedelta(days=1)))
        contradicted.append((memory.text, denied))
    return Corpus(
        conversation=replace(conversation, name=name, turns=(), observations=tuple(loaded)),
        fact_of=fact_of,
        reworded=reworded,
        contradicted=contradicted,
    )


def alone(conversation: Conversation, name: str) -> Conversation:
    """The conversation with each observation once, as it was observed: what nothing has to be done about."""
    observed = {
        normal(each.text): each
        for each in reversed(conversation.observations)
        if each.turns & conversation.places.keys()
    }
    return replace(conversation, name=name, turns=(), observations=tuple(reversed(observed.values())))


def _written(text: str) -> str:
    for old, new in WRITING:
        text = text.replace(old, new)
    return f"{text[0].lower()}{text[1:].rstrip('.')}!"


def _worded(text: str) -> str:
    for old, new in WORDS:
        text = text.replace(old, new)
    return text


def _deniable(observed: Sequence[Memory]) -> Sequence[Memory]:
    """Five of those that can be denied by the table, evenly from the first to the last."""
    found = [each for each in observed if _first(DENIED, each.text) != each.text]
    return [found[len(found) * number // CONTRADICTIONS] for number in range(CONTRADICTIONS)]


def _first(table: Sequence[tuple[str, str]], text: str) -> str:
    for old, new in table:
        if old in text:
            return text.replace(old, new, 1)
    return text
