"""What a ranking request sends, and what comes back."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from learning_stores.ranking import (
    DEFAULT_WEIGHTS,
    HASHED_FEATURES_WEIGHTS,
    RankRequest,
    ranked,
    vector_index,
    vector_index_statement,
    weights_for,
)


def test_given_a_request_when_its_parameters_are_made_then_they_are_in_the_order_of_the_call() -> None:
    then = datetime(2026, 1, 2, tzinfo=UTC)
    request = RankRequest(
        places=(("user_profile", "user/a"), ("entity_memory", "namespace/global")),
        query="who",
        language="simple",
        vector=(0.5, 1.0),
        model="m",
        limit=7,
        as_of=then,
    )
    *sent, weights = request.parameters()
    stores, scopes = ["user_profile", "entity_memory"], ["user/a", "namespace/global"]
    assert sent == [stores, scopes, "who", "simple", "{0.5,1}", "m", 7, then]
    assert json.loads(weights)["neighbours"] == list(DEFAULT_WEIGHTS.neighbours)


def test_given_a_query_with_a_zero_character_when_its_parameters_are_made_then_postgres_can_take_it() -> None:
    assert RankRequest(places=(), query="a\0b").parameters()[2] == "a b"


def test_given_a_row_when_it_is_read_then_every_reason_has_its_name() -> None:
    found = ranked((UUID(int=1), 1.5, 2.0, None, 0.25, 0.05, 0.025))
    assert (found.id, found.score, found.text_score, found.vector_score) == (UUID(int=1), 1.5, 2.0, None)
    assert (found.neighbour_score, found.recency_score, found.confidence_score) == (0.25, 0.05, 0.025)


def test_given_embeddings_without_meaning_when_weights_are_chosen_then_they_count_less_than_words() -> None:
    assert HASHED_FEATURES_WEIGHTS.vector < DEFAULT_WEIGHTS.vector < 1


@pytest.mark.parametrize(("model", "dimensions"), [("text-embedding-3-large", 1024), ("o'brien/e5", 384)])
def test_given_another_model_when_its_index_is_named_then_the_statement_quotes_it(model: str, dimensions: int) -> None:
    statement = vector_index_statement(model, dimensions)
    assert f'"{vector_index(model, dimensions)}"' in statement
    assert f"halfvec({dimensions})" in statement
    assert statement.endswith("'" + model.replace("'", "''") + "'")


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        ("offline-rules-1", HASHED_FEATURES_WEIGHTS),
        ("offline-rules-1@64", HASHED_FEATURES_WEIGHTS),
        ("text-embedding-3-small@256", DEFAULT_WEIGHTS),
        (None, DEFAULT_WEIGHTS),
    ],
)
def test_given_a_model_with_or_without_dimensions_when_its_weights_are_looked_up_then_they_are_the_models(
    model: str | None, weights: object
) -> None:
    assert weights_for(model) is weights
