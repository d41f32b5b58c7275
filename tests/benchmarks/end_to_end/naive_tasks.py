"""The naive design, as a Celery app: four tasks an event, one for each store; `celery -A benchmarks.end_to_end.naive_tasks worker`.

Each task loads the event's text from its row, asks the model with the openai SDK, and writes what it said in one transaction.
It is acknowledged late, so that a worker that is killed loses nothing. It does less than an extraction has to: what is known is
not read, no quote is checked, nothing keeps two turns of one session in order, and the tables have no row-level security.
"""

import os
from functools import cache
from typing import Any
from uuid import UUID

import openai
import psycopg
from celery import Celery
from celery.signals import worker_init
from psycopg_pool import ConnectionPool
from pydantic import BaseModel

STORES = ("user_profile", "session_context", "entity_memory", "learned_knowledge")
INSTRUCTIONS = "Say in one sentence what of this conversation is worth remembering for: "

TABLES = """
    CREATE SCHEMA naive;
    CREATE TABLE naive.event (id uuid PRIMARY KEY, user_id text NOT NULL, session_id text NOT NULL, said text NOT NULL);
    CREATE TABLE naive.learning (
        event_id uuid NOT NULL REFERENCES naive.event, store text NOT NULL, user_id text NOT NULL, session_id text NOT NULL,
        content text NOT NULL, written_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (event_id, store));
    CREATE INDEX ON naive.learning (user_id, store);
"""

_LOAD = "SELECT user_id, session_id, said FROM naive.event WHERE id = %s"
_WRITE = """
    INSERT INTO naive.learning (event_id, store, user_id, session_id, content) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (event_id, store) DO NOTHING
"""

app = Celery("naive", broker=os.environ.get("LEARNING_REDIS_URL"))
app.conf.update(task_ignore_result=True, task_acks_late=True)


class Learned(BaseModel):
    """What the model answers with."""

    content: str


@cache
def _pool() -> ConnectionPool:
    size = int(os.environ["NAIVE_THREADS"])
    return ConnectionPool(
        os.environ["NAIVE_DATABASE_URL"], min_size=size, max_size=size, kwargs={"autocommit": True}, open=True
    )


@cache
def _client() -> openai.OpenAI:
    return openai.OpenAI(
        base_url=os.environ["LEARNING_MODEL_BASE_URL"], api_key=os.environ["LEARNING_MODEL_API_KEY"], max_retries=0
    )


@worker_init.connect
def _connect(**_: Any) -> None:
    _pool()  # before the threads, which would each make one
    _client()


def _extract(store: str, event_id: str) -> None:
    with _pool().connection() as connection:
        row = connection.execute(_LOAD, (UUID(event_id),)).fetchone()
    assert row is not None
    user, session, said = row
    answer = _client().responses.parse(
        model=os.environ["LEARNING_MODEL"], instructions=INSTRUCTIONS + store, input=said, text_format=Learned
    )
    assert answer.output_parsed is not None
    with _pool().connection() as connection:
        connection.execute(_WRITE, (UUID(event_id), store, user, session, answer.output_parsed.content))


_AGAIN = (openai.APIError, psycopg.OperationalError)


@app.task(name="naive.user_profile", autoretry_for=_AGAIN, retry_backoff=True)
def user_profile(event_id: str) -> None:
    """What it says about the user."""
    _extract("user_profile", event_id)


@app.task(name="naive.session_context", autoretry_for=_AGAIN, retry_backoff=True)
def session_context(event_id: str) -> None:
    """What the session is about."""
    _extract("session_context", event_id)


@app.task(name="naive.entity_memory", autoretry_for=_AGAIN, retry_backoff=True)
def entity_memory(event_id: str) -> None:
    """What it says of named things."""
    _extract("entity_memory", event_id)


@app.task(name="naive.learned_knowledge", autoretry_for=_AGAIN, retry_backoff=True)
def learned_knowledge(event_id: str) -> None:
    """What holds beyond it."""
    _extract("learned_knowledge", event_id)
