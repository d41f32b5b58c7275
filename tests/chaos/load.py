"""What a run is made of: how many events of how many sessions, by whom, how fast, and what they say.

The words are made up, one for each event, so that every fact is said once in a run and is surely extracted.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Self

STORES = ("user_profile", "session_context")
BURST = 4
"""Events of one session in a row at most: what follows at once is what gets out of order."""

_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aiou"]
_LONGEST = 1_000  # events of a session
_LETTERS = 4  # syllables of a word: 56 to the fourth words


@dataclass(frozen=True, kw_only=True)
class Load:
    """The load of a run. `rate` is events a second over all producers; seconds and fractions elsewhere."""

    seed: int = 1
    first: int = 0  # the number of the first session
    events: int = 10_000
    sessions: int = 500
    sessions_per_user: int = 2
    producers: int = 4
    lanes: int = 4  # emitting at the same time in one producer; a session belongs to one lane
    rate: float = 40.0
    latency: float = 0.05
    fault_rate: float = 0.05
    spool: bool = False  # whether producers have a spool directory

    def to_json(self) -> str:
        """For a producer's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote."""
        return cls(**json.loads(text))

    def user(self, session: int) -> str:
        """Whose session it is."""
        return f"user-{session // self.sessions_per_user}"

    def speaks_of_work(self, session: int) -> bool:
        """Whether the session's events say where the user works: one session of each user, so that the last word is one."""
        return session % self.sessions_per_user == 0

    def length(self, session: int) -> int:
        """How many events a session has."""
        return self.events // self.sessions + (session - self.first < self.events % self.sessions)

    def lane(self, producer: int, lane: int) -> Iterator[tuple[int, int]]:
        """The (session, position) pairs that a lane emits, in its order: sessions mixed, in bursts."""
        chance = random.Random(f"{self.seed}:{producer}:{lane}")
        mine = range(self.first + producer * self.lanes + lane, self.first + self.sessions, self.producers * self.lanes)
        left = {session: self.length(session) for session in mine if self.length(session)}
        while left:
            session = chance.choice(list(left))
            for _ in range(min(chance.randint(1, BURST), left[session])):
                yield session, self.length(session) - left[session]
                left[session] -= 1
            if not left[session]:
                del left[session]

    def word(self, session: int, position: int) -> str:
        """The word that this event alone says."""
        assert position < _LONGEST
        return _word(session * _LONGEST + position)


def said(word: str, *, work: bool) -> list[dict[str, str]]:
    """One turn: a liking, and where the user works now."""
    told = f"I love {word} tea." + (f" I work at {word.capitalize()}." if work else "")
    return [{"role": "user", "content": told}, {"role": "assistant", "content": "Noted."}]


def remembered(word: str) -> str:
    """What the offline rules make of the liking."""
    return f"Likes {word} tea"


def _word(number: int) -> str:
    """The number in syllables; different numbers give different words, near ones no similar ones."""
    size = len(_SYLLABLES) ** _LETTERS
    assert number < size, "words are made for sessions up to number 9,834"
    number = number * 7_340_033 % size  # odd and no multiple of 7: a permutation of the words
    word = ""
    for _ in range(_LETTERS):
        number, place = divmod(number, len(_SYLLABLES))
        word += _SYLLABLES[place]
    return word
