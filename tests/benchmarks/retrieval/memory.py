"""The conversations as learnings in a database, and recall's own SQL asked for them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid5

import psycopg

from benchmarks.retrieval.dataset import Conversation, Memory
from learning_stores.ranking import RANK, RankRequest, Weights

STORE = "user_profile"
KINDS = ("turns", "observations")
Vectors = Mapping[str, Sequence[float]]

_NAMES = UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")  # any: ids are made of names, so that a run repeats


def learning_id(conversation: str, kind: str, number: int) -> UUID:
    """The id of a conversation's how many-th memory of a kind."""
    return uuid5(_NAMES, f"{conversation}/{kind}/{number}")


def scope_of(kind: str) -> str:
    """Where memories of a kind lie: a conversation is a tenant, a kind a user."""
    return f"user/{kind}"


def fill(superuser_url: str, conversations: Sequence[Conversation], embeddings: Mapping[str, Vectors]) -> None:
    """Write every turn and every observation as a learning, with its evidence, and its vector by each model."""
    now = datetime.now(UTC)
    with psycopg.connect(superuser_url) as connection, connection.cursor() as cursor:
        columns = "tenant, scope, position, key, event_id, index, role"
        with cursor.copy(f"COPY learning.session_message ({columns}) FROM STDIN") as copy:
            for each in conversations:
                for session, index in each.places.values():
                    event = _event(each, session)
                    copy.write_row((each.name, f"session/{session}", index, b"", event, index, "user"))
        columns = "tenant, id, store, kind, scope, content, content_key, status, valid_from, live_from, origin"
        with cursor.copy(f"COPY learning.learning ({columns}) FROM STDIN") as copy:
            for each, kind, number, memory in _all(conversations):
                key = learning_id(each.name, kind, number)
                where = (each.name, key, STORE, "memory", scope_of(kind))
                copy.write_row((*where, memory.text, str(number), "active", memory.said_at, now, "import"))
        columns = "tenant, id, learning_id, origin, event_id, message, occurred_at"
        with cursor.copy(f"COPY learning.evidence ({columns}) FROM STDIN") as copy:
            for each, kind, number, memory in _all(conversations):
                key = learning_id(each.name, kind, number)
                for turn in sorted(memory.turns & each.places.keys()):
                    session, index = each.places[turn]
                    row = (each.name, uuid5(key, turn), key, "import", _event(each, session), index, memory.said_at)
                    copy.write_row(row)
        with cursor.copy("COPY learning.learning_embedding (tenant, learning_id, model, embedding) FROM STDIN") as copy:
            for model, vectors in embeddings.items():
                for each, kind, number, memory in _all(conversations):
                    vector = "[" + ",".join(f"{place:.6g}" for place in vectors[memory.text]) + "]"
                    copy.write_row((each.name, learning_id(each.name, kind, number), model, vector))
        connection.commit()
        connection.autocommit = True
        cursor.execute("ANALYZE learning.learning, learning.evidence, learning.learning_embedding")


def _all(conversations: Sequence[Conversation]) -> Iterator[tuple[Conversation, str, int, Memory]]:
    for each in conversations:
        for kind in KINDS:
            for number, memory in enumerate(each.memories(kind)):
                yield each, kind, number, memory


def _event(conversation: Conversation, session: int) -> UUID:
    return uuid5(_NAMES, f"{conversation.name}/{session}")


class Ranker:
    """The product's ranking of one conversation's memories, as the app role."""

    def __init__(
        self, connection: psycopg.Connection, weights: Weights, model: str | None = None, vectors: Vectors | None = None
    ) -> None:
        self._connection = connection
        self._weights = weights
        self._model = model
        self._vectors = vectors or {}

    def best(self, conversation: Conversation, kind: str, question: str, limit: int) -> list[UUID]:
        """The ids of the memories that matter most, best first."""
        request = RankRequest(
            places=((STORE, scope_of(kind)),),
            query=question,
            vector=self._vectors.get(question),
            model=self._model,
            limit=limit,
            weights=self._weights,
        )
        with self._connection.transaction():
            self._connection.execute("SELECT set_config('learning.tenant', %s, true)", (conversation.name,))
            return [row[0] for row in self._connection.execute(RANK, request.parameters())]
