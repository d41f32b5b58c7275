"""Pairs of entities whose names are near: candidates for being one thing. Whether they are is not decided here.

Compared is what has the same type, by all of its names: equal but for case, forms of characters, punctuation and spaces; the
words of one among those of the other; initials; an alias that both have; trigrams. Names whose numbers differ are never near
("Server 1", "Server 2"). The legal form at a name's end is set aside ("Acme Corp", "Acme Inc."), save that it keeps two names from
being equal: a judge is asked. Each way looks a name up by what is rarest in it, so that no two names are held against each other
that share only what many have.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import combinations
from typing import Literal, NamedTuple
from uuid import UUID

from learning_stores.grounding import fold

Why = Literal["equal", "alias", "initials", "words", "letters", "description"]
_ORDER: Sequence[Why] = ("letters", "words", "initials", "alias", "equal")

NEAR = 0.5
"""Trigrams that two names share, of those that either has, from which they are near."""
OF_ONE = 10
"""Pairs of one entity, at most, the nearest."""
SHARED_BY = 200
"""Names that have a word or initials in common, beyond which that tells nothing; and that one is held against by its letters."""

_BETWEEN = re.compile(r"(?<!\d)[.']|[.'](?!\d)")  # the points of numbers stay
_PUNCTUATION = re.compile(r"[\s,;:\"()\[\]{}/_\u2010-\u2015-]+")
_NUMBER = re.compile(r"\d+(?:\.\d+)*")
# As they are once a name is normal: "S.A." is "sa", and "GmbH & Co. KG" ends with four of them.
_LEGAL_FORMS = frozenset({
    "&", "and", "ab", "ag", "asa", "bv", "co", "company", "corp", "corporation", "gbr", "gmbh", "inc", "incorporated", "kg", "kgaa",
    "kk", "limited", "llc", "llp", "lp", "ltd", "mbh", "nv", "ohg", "oy", "oyj", "plc", "pte", "pty", "pvt", "sa", "sarl", "sas",
    "se", "spa", "srl", "ug",
})  # fmt: skip  # a table
_LEAST_INITIALS = 2


@dataclass(frozen=True, kw_only=True)
class Named:
    """An entity by its names, its own first."""

    id: UUID
    type: str
    names: tuple[str, ...]


class NamePair(NamedTuple):
    """Two entities in the order of their ids, and the strongest reason to compare them."""

    a: UUID
    b: UUID
    why: Why


def normal_name(name: str) -> str:
    """A name as it is compared: "Coca-Cola, Inc." is "coca cola inc"; signs that tell things apart stay ("C#", "C++")."""
    return " ".join(_PUNCTUATION.sub(" ", _BETWEEN.sub("", fold(name))).split()) or fold(name)


def without_form(name: str) -> str:
    """A normal name without the legal form at its end, if anything is left: "acme corp" is "acme"."""
    words = name.split()
    while len(words) > 1 and words[-1] in _LEGAL_FORMS:
        words.pop()
    return " ".join(words)


def name_pairs(entities: Iterable[Named]) -> list[NamePair]:
    """The candidates among these, in order of their ids."""
    by_type: dict[str, list[Named]] = defaultdict(list)
    for each in entities:
        by_type[each.type].append(each)
    return sorted(pair for group in by_type.values() if len(group) > 1 for pair in _Group(group).pairs())


def with_described(
    pairs: Sequence[NamePair], described: Iterable[tuple[UUID, UUID]], entities: Mapping[UUID, Named]
) -> list[NamePair]:
    """The pairs, and those that are described alike, unless the numbers in their own names differ."""
    found = {(pair.a, pair.b): pair for pair in pairs}
    for a, b in described:
        if a in entities and b in entities and _numbers(entities[a]) == _numbers(entities[b]):
            found.setdefault((a, b), NamePair(a, b, "description"))
    return sorted(found.values())


def _numbers(entity: Named) -> list[str]:
    return _NUMBER.findall(normal_name(entity.names[0]))


class _Group:
    """The entities of one type."""

    def __init__(self, entities: Sequence[Named]) -> None:
        self.entities = entities
        self.names = [tuple(dict.fromkeys(map(normal_name, each.names))) for each in entities]
        self.bare = [tuple(map(without_form, names)) for names in self.names]
        self.numbers = [[frozenset(_NUMBER.findall(name)) for name in names] for names in self.names]
        self.found: dict[tuple[int, int], tuple[int, float]] = {}

    def pairs(self) -> list[NamePair]:
        """Of each entity the nearest, and all that are equal."""
        self._equal()
        self._initials()
        self._words()
        self._letters()
        near: dict[int, list[tuple[tuple[int, float], tuple[int, int]]]] = defaultdict(list)
        for pair, score in self.found.items():
            for each in pair:
                near[each].append((score, pair))
        equal = _ORDER.index("equal")
        kept = {pair for pair, (rank, _) in self.found.items() if rank == equal}
        kept |= {pair for each in near.values() for _, pair in nlargest(OF_ONE, each)}
        return [self._pair(pair) for pair in kept]

    def _pair(self, pair: tuple[int, int]) -> NamePair:
        a, b = sorted(self.entities[each].id for each in pair)
        return NamePair(a, b, _ORDER[self.found[pair][0]])

    def _keep(self, one: int, other: int, why: Why, score: float = 1.0) -> None:
        if one != other:
            pair = (one, other) if one < other else (other, one)
            self.found[pair] = max(self.found.get(pair, (-1, 0.0)), (_ORDER.index(why), score))

    def _equal(self) -> None:
        named: dict[str, list[int]] = defaultdict(list)
        for each, names in enumerate(self.names):
            for name in names:
                named[name].append(each)
        for name, those in named.items():
            own = [each for each in those if self.names[each][0] == name]
            for one, other in combinations(own[:SHARED_BY], 2):
                self._keep(one, other, "equal")
            for one, other in combinations(those[:SHARED_BY], 2):
                self._keep(one, other, "alias")

    def _initials(self) -> None:
        whole: dict[str, list[int]] = defaultdict(list)
        for each, entity in enumerate(self.entities):
            for name in entity.names:
                if name.isupper() and name.isalpha():  # as initials are written
                    whole[fold(name)].append(each)
        for each, names in enumerate(self.names):
            for name in {*names, *self.bare[each]}:
                initials = "".join(word[0] for word in name.split() if word not in ("of", "the", "and", "for"))
                if len(initials) >= _LEAST_INITIALS:
                    for other in whole.get(initials, ())[:SHARED_BY]:
                        self._keep(each, other, "initials")

    def _words(self) -> None:
        """Those all of whose words another name has, legal forms aside."""
        having: dict[str, list[tuple[int, int]]] = defaultdict(list)
        words = [[frozenset(name.split()) for name in names] for names in self.bare]
        for each, of in enumerate(words):
            for place, own in enumerate(of):
                for word in own:
                    having[word].append((each, place))
        for each, of in enumerate(words):
            for place, own in enumerate(of):
                rarest = min((having[word] for word in own), key=len)
                for other, there in rarest if len(rarest) <= SHARED_BY else ():
                    if own <= words[other][there] and self._same_numbers(each, place, other, there):
                        self._keep(each, other, "words", len(own) / len(words[other][there]))

    def _letters(self) -> None:
        """Those with enough trigrams in common: near names share one of their rarest."""
        grams = [[_trigrams(name) for name in names] for names in self.bare]
        frequency = Counter(gram for of in grams for own in of for gram in own)
        having: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for each, of in enumerate(grams):
            for place, own in enumerate(of):
                rare = sorted(own, key=lambda gram: (frequency[gram], gram))
                met: set[tuple[int, int]] = set()
                room = SHARED_BY
                for gram in rare[: len(own) - math.ceil(NEAR * len(own)) + 1]:
                    last = having[gram][-room:] if room else ()
                    met.update(last)
                    room -= len(last)
                    having[gram].append((each, place))
                for other, there in met:
                    shared = len(own & grams[other][there])
                    score = shared / (len(own) + len(grams[other][there]) - shared)
                    if score >= NEAR and self._same_numbers(each, place, other, there):
                        self._keep(each, other, "letters", score)

    def _same_numbers(self, one: int, place: int, other: int, there: int) -> bool:
        return self.numbers[one][place] == self.numbers[other][there]


def _trigrams(name: str) -> frozenset[str]:
    return frozenset(_grams(name))


def _grams(name: str) -> Iterator[str]:
    for word in name.split():
        padded = f"  {word} "
        for first in range(len(padded) - 2):
            yield padded[first : first + 3]
