"""`make bench-retrieval`: LoCoMo's evidence found by recall's own SQL, beside BM25 and rank fusion, in one run.

`--vectors FILE` adds embeddings of a real model: JSON lines of {"text": …, "vector": […]}, unit length, for every turn
(`speaker: text`), observation and question. Ends with 1 where a goal is missed.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psycopg

from benchmarks.place import bench_place
from benchmarks.retrieval import dataset
from benchmarks.retrieval.baselines import Dense, Fused, Lexical
from benchmarks.retrieval.dataset import Conversation, Memory
from benchmarks.retrieval.figures import (
    CATEGORY_HEADING,
    DEPTHS,
    SUMMARY_HEADING,
    Answer,
    by_category,
    judged,
    recall_at_10,
    summary,
)
from benchmarks.retrieval.memory import KINDS, Ranker, Vectors, fill, learning_id
from learning_ops.offline.embeddings import embed
from learning_stores.ranking import DEFAULT_WEIGHTS, HASHED_FEATURES_WEIGHTS

GOALS = {"turns": 1.05, "observations": 1.0}
"""Of the best baseline's recall@10."""
HASHED, GIVEN = "hashed features", "given vectors"
Best = Callable[[Conversation, str, str], Sequence[Memory]]


def main() -> int:
    """Run, and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, default=dataset.default_path())
    arguments.add_argument("--vectors", type=Path)
    options = arguments.parse_args()
    if not options.data.exists():
        print(
            f"no {options.data}: set LEARNING_FIXTURES to the folder of locomo-dev.json, or pass --data",
            file=sys.stderr,
        )
        return 2
    conversations = dataset.read(options.data)
    embeddings = {HASHED: _hashed(conversations)}
    if options.vectors:
        embeddings[GIVEN] = _given(options.vectors)
    started = time.monotonic()
    with bench_place() as place:
        fill(place.superuser_url, conversations, embeddings)
        with psycopg.connect(place.app_url) as connection:
            met = [_compare(connection, conversations, kind, embeddings) for kind in KINDS]
    print(f"\n{sum(len(each.questions) for each in conversations)} questions, {time.monotonic() - started:.0f} s")
    return 0 if all(met) else 1


def _compare(
    connection: psycopg.Connection, conversations: Sequence[Conversation], kind: str, embeddings: dict[str, Vectors]
) -> bool:
    """One kind of memory, every way of ranking; whether the goal is met without embeddings."""
    baselines: dict[str, list[Answer]] = {}
    for conversation in conversations:
        memories = conversation.memories(kind)
        plain = Lexical(connection, memories, stemmed=False)
        stemmed = Lexical(connection, memories, stemmed=True)
        arms: dict[str, Lexical | Dense | Fused] = {"BM25": plain, "BM25, stemmed, dated": stemmed}
        for model, vectors in embeddings.items():
            dense = Dense(memories, vectors)
            arms |= {
                f"cosine, {model}": dense,
                f"rank fusion of BM25 and {model}": Fused(plain, dense),
                f"rank fusion of stemmed BM25 and {model}": Fused(stemmed, dense),
            }
        for name, arm in arms.items():
            answers = baselines.setdefault(name, [])
            for question in conversation.questions:
                order = (-arm.scores(question.text)).argsort(kind="stable")[: DEPTHS[-1]]
                answers.append(judged(conversation.name, question, [memories[place] for place in order]))
    alone = replace(DEFAULT_WEIGHTS, neighbours=())
    rankers = {
        "ranking, words alone": Ranker(connection, alone),
        "ranking": Ranker(connection, DEFAULT_WEIGHTS),
        f"ranking with {HASHED}": Ranker(connection, HASHED_FEATURES_WEIGHTS, HASHED, embeddings[HASHED]),
    }
    if GIVEN in embeddings:
        rankers[f"ranking with {GIVEN}, no neighbours"] = Ranker(connection, alone, GIVEN, embeddings[GIVEN])
        rankers[f"ranking with {GIVEN}"] = Ranker(connection, DEFAULT_WEIGHTS, GIVEN, embeddings[GIVEN])
    ours = {name: _answers(ranker, conversations, kind) for name, ranker in rankers.items()}
    print(f"\n{kind} as memories\n{SUMMARY_HEADING}")
    for name, answers in {**baselines, **ours}.items():
        print(summary(name, answers))
    print(f"\n{CATEGORY_HEADING}")
    best = max(baselines, key=lambda name: recall_at_10(baselines[name]))
    for name in dict.fromkeys(["BM25", "BM25, stemmed, dated", best]):
        print("\n".join(by_category(name, baselines[name])))
    for name in [name for name in ours if name == "ranking" or "ranking with" in name]:
        print("\n".join(by_category(name, ours[name])))
    print()
    goal, baseline = GOALS[kind], recall_at_10(baselines[best])
    for name in [name for name in ours if name == "ranking" or "ranking with" in name]:
        print(f"{name}: recall@10 {recall_at_10(ours[name]) / baseline:.3f} x that of {best} (goal {goal:g})")
    return recall_at_10(ours["ranking"]) >= goal * baseline


def _answers(ranker: Ranker, conversations: Sequence[Conversation], kind: str) -> list[Answer]:
    answers = []
    for conversation in conversations:
        by_id = {
            learning_id(conversation.name, kind, number): memory
            for number, memory in enumerate(conversation.memories(kind))
        }
        for question in conversation.questions:
            found = ranker.best(conversation, kind, question.text, DEPTHS[-1])
            answers.append(judged(conversation.name, question, [by_id[each] for each in found]))
    return answers


def _hashed(conversations: Sequence[Conversation]) -> Vectors:
    texts = {each.text for conversation in conversations for kind in KINDS for each in conversation.memories(kind)}
    texts |= {each.text for conversation in conversations for each in conversation.questions}
    return {each: embed(each) for each in texts}


def _given(path: Path) -> Vectors:
    with path.open() as lines:
        return {row["text"]: row["vector"] for row in map(json.loads, lines)}


sys.exit(main())
