"""What ranking is compared with: BM25 of rank_bm25, plain and stemmed, exact cosine, and plain rank fusion."""

import re
from collections.abc import Sequence

import numpy as np
import psycopg
from rank_bm25 import BM25Okapi

from benchmarks.retrieval.dataset import Memory
from benchmarks.retrieval.memory import Vectors

FUSION_K = 60
"""Of reciprocal rank fusion (Cormack et al., 2009)."""

_WORD = re.compile(r"\w+")


class Lexical:
    """BM25 over the words as they are; or, `stemmed`, over what Postgres makes of the text and its date, without stop words."""

    def __init__(self, connection: psycopg.Connection, memories: Sequence[Memory], *, stemmed: bool) -> None:
        self._connection = connection
        self._stemmed = stemmed
        if stemmed:
            texts = [f"{each.said_at.day} {each.said_at:%B} {each.said_at.year} {each.text}" for each in memories]
        else:
            texts = [each.text for each in memories]
        self._bm25 = BM25Okapi(self._words(texts))
        self._asked: dict[str, np.ndarray] = {}  # every fusion asks again

    def scores(self, question: str) -> np.ndarray:
        """One a memory."""
        if question not in self._asked:
            (words,) = self._words([question])
            self._asked[question] = np.asarray(self._bm25.get_scores(words))
        return self._asked[question]

    def _words(self, texts: list[str]) -> list[list[str]]:
        if not self._stemmed:
            return [_WORD.findall(each.casefold()) for each in texts]
        rows = self._connection.execute(
            """
            SELECT ARRAY(SELECT w.lexeme FROM unnest(to_tsvector('english', t.text)) AS w, unnest(w.positions))
            FROM unnest(%s::text[]) WITH ORDINALITY AS t (text, number) ORDER BY t.number
            """,
            (texts,),
        )
        return [row[0] for row in rows]


class Dense:
    """Exact cosine of unit vectors."""

    def __init__(self, memories: Sequence[Memory], vectors: Vectors) -> None:
        self._vectors = vectors
        self._matrix = np.array([vectors[each.text] for each in memories])

    def scores(self, question: str) -> np.ndarray:
        """One a memory."""
        return np.asarray(self._matrix @ np.array(self._vectors[question]))


class Fused:
    """The sum of 1 / (60 + rank) over the arms."""

    def __init__(self, *arms: Lexical | Dense) -> None:
        self._arms = arms

    def scores(self, question: str) -> np.ndarray:
        """One a memory."""
        return np.sum([1 / (FUSION_K + _ranks(arm.scores(question))) for arm in self._arms], axis=0)


def _ranks(scores: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(scores))
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return ranks
