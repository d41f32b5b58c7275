"""Recall and nDCG of ranked memories, and the tables of them."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.retrieval.dataset import CATEGORIES, HELD_OUT, TUNED_ON, Memory, Question

DEPTHS = (5, 10, 20)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How well one question's evidence was found: recall at 5, 10, 20, and nDCG at 10."""

    conversation: str
    category: int
    recall: tuple[float, ...]
    ndcg: float


def judged(conversation: str, question: Question, found: Sequence[Memory]) -> Answer:
    """`found`: the best memories, best first. A memory is right when it brings a turn of the evidence not found above it."""
    covered: set[str] = set()
    gain, recall = 0.0, []
    for place, memory in enumerate(found, 1):
        new = (memory.turns & question.evidence) - covered
        if new and place <= 10:
            gain += 1 / math.log2(place + 1)
        covered |= new
        if place in DEPTHS:
            recall.append(len(covered) / len(question.evidence))
    recall += [len(covered) / len(question.evidence)] * (len(DEPTHS) - len(recall))
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(len(question.evidence), 10) + 1))
    return Answer(conversation=conversation, category=question.category, recall=tuple(recall), ndcg=gain / ideal)


def recall_at_10(answers: Iterable[Answer]) -> float:
    """The mean over these questions."""
    return _mean(answers, lambda answer: answer.recall[1])


def summary(name: str, answers: Sequence[Answer]) -> str:
    """One line: over all conversations, then those tuned on, then those held out."""
    chosen = (TUNED_ON + HELD_OUT, TUNED_ON, HELD_OUT)
    figures = (_figures([answer for answer in answers if answer.conversation in each]) for each in chosen)
    return "  ".join([f"{name:46}", *figures])


SUMMARY_HEADING = (
    f"{'':46}  {'all five conversations':27}  {'tuned on (26, 30, 41)':27}  {'held out (42, 43)':27}\n{'':46}  "
    + "  ".join(["  r@5   r@10   r@20 nDCG@10"] * 3)
)


def by_category(name: str, answers: Sequence[Answer]) -> list[str]:
    """A line a category, over all five conversations."""
    lines = []
    for number, category in CATEGORIES.items():
        chosen = [answer for answer in answers if answer.category == number]
        lines.append(f"{name:46}  {category:12} {len(chosen):4}  {_figures(chosen)}")
    return lines


CATEGORY_HEADING = f"{'':46}  {'category':12} {'n':>4}    r@5   r@10   r@20 nDCG@10"


def _figures(answers: Sequence[Answer]) -> str:
    recalls = [_mean(answers, lambda answer, place=place: answer.recall[place]) for place in range(len(DEPTHS))]  # type: ignore[misc]  # a default binds the loop's value
    return " ".join(f"{figure:6.3f}" for figure in recalls) + f" {_mean(answers, lambda answer: answer.ndcg):6.3f} "


def _mean(answers: Iterable[Answer], figure: Callable[[Answer], float]) -> float:
    figures = [figure(answer) for answer in answers]
    return sum(figures) / len(figures) if figures else math.nan
