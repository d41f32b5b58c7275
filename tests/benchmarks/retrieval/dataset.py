"""LoCoMo (Maharana et al., 2024): conversations, what is remembered of them, and questions whose evidence is known."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TUNED_ON = ("conv-26", "conv-30", "conv-41")
HELD_OUT = ("conv-42", "conv-43")
CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}

_TURN_ID = re.compile(r"D\d+:\d+")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """One remembered thing: a turn, or an observation with the turns that it came from."""

    text: str
    turns: frozenset[str]
    said_at: datetime


@dataclass(frozen=True, kw_only=True)
class Question:
    """`evidence` are the turns that answer it."""

    text: str
    evidence: frozenset[str]
    category: int


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """`places` says of each turn in which session it was said, as the how many-th message."""

    name: str
    turns: tuple[Memory, ...]
    observations: tuple[Memory, ...]
    questions: tuple[Question, ...]
    places: Mapping[str, tuple[int, int]]

    def memories(self, kind: str) -> tuple[Memory, ...]:
        """`turns` or `observations`."""
        return self.turns if kind == "turns" else self.observations


def default_path() -> Path:
    """LEARNING_FIXTURES (a folder), else `shared/fixtures` beside the checkout."""
    folder = os.environ.get("LEARNING_FIXTURES")
    root = Path(__file__).resolve().parents[3]
    return (Path(folder) if folder else root.parent / "shared" / "fixtures") / "locomo-dev.json"


def read(path: Path) -> list[Conversation]:
    """All conversations of the file. Questions without known evidence are left out."""
    return [_conversation(each) for each in json.loads(path.read_text())]


def _conversation(given: Mapping[str, Any]) -> Conversation:
    turns, observations, places = [], [], {}
    for number, said_at, messages in _sessions(given["conversation"]):
        for index, message in enumerate(messages):
            places[message["dia_id"]] = number, index
            turns.append(
                Memory(
                    text=f"{message['speaker']}: {message['text']}",
                    turns=frozenset({message["dia_id"]}),
                    said_at=said_at,
                )
            )
        for observed in given["observation"].get(f"session_{number}_observation", {}).values():
            observations += [
                Memory(text=words, turns=_turn_ids(cited), said_at=said_at) for words, cited, *_ in observed
            ]
    questions = (
        Question(
            text=question["question"],
            evidence=_turn_ids(question["evidence"]) & places.keys(),
            category=question["category"],
        )
        for question in given["qa"]
    )
    return Conversation(
        name=given["sample_id"],
        turns=tuple(turns),
        observations=tuple(observations),
        questions=tuple(question for question in questions if question.evidence),
        places=places,
    )


def _sessions(conversation: Mapping[str, Any]) -> Iterator[tuple[int, datetime, list[dict[str, str]]]]:
    numbers = sorted(int(name.removeprefix("session_")) for name in conversation if re.fullmatch(r"session_\d+", name))
    for number in numbers:
        told = conversation[f"session_{number}_date_time"]
        said_at = datetime.strptime(told, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
        yield number, said_at, conversation[f"session_{number}"]


def _turn_ids(cited: str | list[str]) -> frozenset[str]:
    return frozenset(_TURN_ID.findall(" ".join([cited] if isinstance(cited, str) else cited)))
