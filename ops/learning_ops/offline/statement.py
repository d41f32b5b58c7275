"""One thing that a user said of themselves, and its words as a memory."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One thing said: its slot and value, as a memory's words, and the span of the message that says it.

    `ended` statements say that it holds no longer. `topic` tells apart the values of one slot ("favourite" of what).
    """

    slot: str
    value: str
    ended: bool = False
    topic: str = ""
    start: int = 0
    end: int = 0

    @property
    def content(self) -> str:
        """The statement as a memory: short and without a subject."""
        value = _turned(self.value)
        match self.slot:
            case "role" if re.search(r"\b(?:student|pupil|apprentice|trainee|intern)\b", value, re.IGNORECASE):
                return f"Is {'an' if value[0].lower() in 'aeiou' else 'a'} {value}"
            case "role":
                plain = re.match(r"(?:head|director|president|vp|chief|vice|ceo|cto|cfo|coo)\b", value, re.IGNORECASE)
                return (
                    f"Works as {value}" if plain else f"Works as {'an' if value[0].lower() in 'aeiou' else 'a'} {value}"
                )
            case "like" if self.topic:
                return f"Favourite {self.topic} is {value}"
            case "diet" if value.startswith("no "):
                return f"Does not eat {value[3:]}"
            case "diet":
                return f"Is {value}"
            case "allergy":
                return f"Is allergic to {value}"
            case "plan" if re.match(r"\w+ing\b", value):
                return f"Is {value}"
            case "plan":
                return f"Plans {value}" if re.match(r"(?:a|an|the|their|another)\s", value) else f"Plans to {value}"
            case "preference":
                return f"Prefers {value}"
            case _:
                return f"{_LEADS[self.slot]} {value}"


_LEADS = {
    "name": "Name is",
    "preferred_name": "Prefers to be called",
    "employer": "Works at",
    "place": "Lives in",
    "origin": "Is from",
    "like": "Likes",
    "dislike": "Dislikes",
}


def _turned(value: str) -> str:
    """First-person words in a value turned to speak of the user from outside."""
    turns = {"my": "their", "me": "them", "myself": "themselves", "our": "their", "us": "them", "mine": "theirs"}
    return re.sub(r"\b(?:my|me|myself|our|us|mine)\b", lambda found: turns[found[0]], value)
