"""Whether a process can work: its servers answer, within a bound. That they do not is no reason to start it again."""

from collections.abc import Callable

import psycopg
import redis
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from learning_schemas.errors import ConfigurationError
from learning_stores.backlog import bound
from learning_stores.database import Database
from learning_workers.pulse import Verdict
from learning_workers.reading import Reading
from learning_workers.streams import brief_client

ANSWER_SECONDS = 3.0
FRESH_SECONDS = 1.0


class Servers:
    """Postgres and the Redis servers of one process, asked whether they answer. Each has `ANSWER_SECONDS` at most."""

    def __init__(self, url: str, field: str, redis_urls: dict[str, str]) -> None:
        """`redis_urls` by what people call each of them; one that is no Redis (another broker) is not asked."""
        self._database = Database(url, pool_size=1, field=field, connect_seconds=2, answer_seconds=2.0)
        self._clients: dict[str, redis.Redis] = {}
        for name, address in redis_urls.items():
            try:
                self._clients[name] = brief_client(address)
            except ValueError:
                continue
        self._asked = {
            "Postgres": Reading(self._ask_postgres, seconds=ANSWER_SECONDS, fresh=FRESH_SECONDS),
            **{
                name: Reading(_ping(client), seconds=ANSWER_SECONDS, fresh=FRESH_SECONDS)
                for name, client in self._clients.items()
            },
        }

    def answer(self) -> Verdict:
        """Whether all of them answer; else which one does not, and what it does instead."""
        for name, ask in self._asked.items():
            try:
                ask()
            except TimeoutError:
                return Verdict(ok=False, told=f"{name} did not answer within {ANSWER_SECONDS:g} s")
            except (SQLAlchemyError, psycopg.Error, redis.exceptions.RedisError, OSError) as error:
                # By type: a driver's text names users and addresses.
                return Verdict(ok=False, told=f"{name}: {type(getattr(error, 'orig', None) or error).__name__}")
        return Verdict(ok=True, told=f"{' and '.join(self._asked)} answer")

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()
        for client in self._clients.values():
            client.close()

    def _ask_postgres(self) -> None:
        self._database.run(None, _answers)


def _answers(session: Session) -> None:
    bound(session, 2)
    session.execute(text("SELECT 1"))


def _ping(client: redis.Redis) -> Callable[[], None]:
    def ping() -> None:
        client.ping()

    return ping


def redis_urls(streams: str | None, broker: str | None) -> dict[str, str]:
    """The Redis servers to ask: one where both are the same."""
    if streams is None and broker is None:
        raise ConfigurationError("redis_url", "is not set", "Set LEARNING_REDIS_URL")
    if streams is None or broker is None or streams == broker:
        return {"Redis": streams or broker or ""}
    return {"Redis": streams, "the broker": broker}
