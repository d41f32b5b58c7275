"""What is said in the end-to-end benchmark: each turn says one thing that every store can keep, and names one project.

A user has one session. Sessions are interleaved: of those that are open at the same time each has its first turn before any
has its second.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import uuid7

OPEN_SESSIONS = 100
USERS_A_PROJECT = 5

# So that few words are in everything that is said.
_THINGS = (
    *(
        "paint",
        "glass",
        "timber",
        "cement",
        "wiring",
        "furniture",
        "medicine",
        "printer",
        "carpet",
        "engine",
        "fabric",
        "steel",
    ),
    *("generator", "lighting", "insulation", "software", "elevator", "boiler", "marble"),
)
_PLACES = (
    *(
        "harbour",
        "factory",
        "warehouse",
        "airport",
        "quarry",
        "workshop",
        "laboratory",
        "terminal",
        "refinery",
        "mill",
        "office",
    ),
    *("foundry", "depot"),
)

_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aiou"]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One event: whose, of which session, and its two messages."""

    user: str
    session: str
    messages: list[dict[str, str]]
    occurred_at: datetime

    def event(self, spec: str) -> ConversationCompleted:
        """As a producer sends it."""
        return ConversationCompleted.make(
            {
                "id": uuid7(),
                "user_id": self.user,
                "session_id": self.session,
                "occurred_at": self.occurred_at,
                "spec": spec,
                "history": "delta",
                "messages": self.messages,
            }
        )


def word(number: int) -> str:
    """A made-up word for a number; other numbers have other words."""
    letters = ""
    while True:
        number, rest = divmod(number, len(_SYLLABLES))
        letters += _SYLLABLES[rest]
        if not number:
            return letters


def turns(events: int, a_session: int, first_session: int = 0) -> Iterator[Turn]:
    """So many events in sessions of so many turns each, interleaved."""
    began = datetime.now(UTC) - timedelta(hours=1)
    sessions = -(-events // a_session)
    number = 0
    for opened in range(0, sessions, OPEN_SESSIONS):
        for position in range(a_session):
            for session in range(opened, min(opened + OPEN_SESSIONS, sessions)):
                if number == events:
                    return
                yield _turn(first_session + session, position, began + timedelta(milliseconds=number))
                number += 1


def question(session: int) -> str:
    """What its user may ask: about the project that the session is on."""
    return f"What is {_project(session)} waiting for?"


def user_of(session: int) -> str:
    """Whose session it is."""
    return f"user-{session}"


def _turn(session: int, position: int, at: datetime) -> Turn:
    project = _project(session)
    order = f"{word(session + 300)}-{position}"
    thing, place = _THINGS[(session + 5 * position) % len(_THINGS)], _PLACES[(3 * session + position) % len(_PLACES)]
    said = (
        f"{project} waits for {order}: the {thing} left the {place} this morning, and nobody has called yet. "
        "Could you see where it is, and tell me before the call at four?"
    )
    answer = f"It passed the border at nine and is due by two. Whoever brings {order} has the number of the {place}."
    return Turn(
        user=user_of(session),
        session=f"session-{session}",
        messages=[{"role": "user", "content": said}, {"role": "assistant", "content": answer}],
        occurred_at=at,
    )


def _project(session: int) -> str:
    return f"Project {word(session // USERS_A_PROJECT + 100).capitalize()}"
