"""The deployment that is looked at: its settings, and short, bounded ways to its servers. Nothing here changes anything."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError
from redis.retry import Retry
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import Session

from learning_ops.cli.failure import place_of
from learning_ops.doctor.finding import Unreachable
from learning_schemas.errors import ConfigurationError
from learning_stores.database import Database
from learning_stores.settings import ServiceSettings

CONNECT_SECONDS = 3
ANSWER_SECONDS = 5.0

Role = Literal["app", "dispatcher", "owner"]
Server = Literal["streams", "broker"]


@dataclass(kw_only=True)
class Deployment:
    """Where to look. `clock` is this host's (seconds since the epoch)."""

    settings: ServiceSettings
    clock: Callable[[], float] = time.time
    _databases: dict[Role, Database] = field(default_factory=dict)

    def address(self, role: Role) -> tuple[str, str]:
        """The URL of a role and the variable that names it. Raises `Unreachable` where none does."""
        settings, (variable, url) = self.settings, ("", "")
        try:
            match role:
                case "app":
                    variable, url = "LEARNING_DATABASE_URL", settings.database()
                case "dispatcher":
                    variable, url = "LEARNING_DISPATCHER_DATABASE_URL", settings.dispatcher_database()
                case "owner":
                    variable, url = "LEARNING_OWNER_DATABASE_URL", settings.owner_database()
        except ConfigurationError as error:
            raise Unreachable(f"{error.field}: {error.problem}", error.remedy) from None
        return url, variable

    @contextmanager
    def postgres(self, role: Role = "dispatcher", tenant: str | None = None) -> Iterator[Session]:
        """A transaction that only reads. Raises `Unreachable`."""
        url, variable = self.address(role)
        try:
            database = self._databases.get(role)
            if database is None:
                database = self._databases[role] = Database(
                    url, pool_size=8, field=variable, connect_seconds=CONNECT_SECONDS, answer_seconds=ANSWER_SECONDS
                )
        except ConfigurationError as error:
            raise Unreachable(f"{error.field} {error.problem}", error.remedy) from None
        try:
            with database.snapshot(tenant) as session:
                yield session
        except (DBAPIError, NoConnection, psycopg.Error, OSError) as error:
            raise _postgres_away(error, url, variable) from None

    @contextmanager
    def redis(self, server: Server = "streams") -> Iterator[Redis]:
        """A client. Raises `Unreachable`; what it may not do is left to the caller (`NoPermissionError`)."""
        settings = self.settings
        variable = "LEARNING_BROKER_URL" if server == "broker" and settings.broker_url else "LEARNING_REDIS_URL"
        try:
            url = settings.broker() if server == "broker" else settings.redis()
        except ConfigurationError as error:
            raise Unreachable(f"{error.field}: {error.problem}", error.remedy) from None
        try:
            with Redis.from_url(
                url,
                socket_timeout=CONNECT_SECONDS,
                socket_connect_timeout=CONNECT_SECONDS,
                retry=Retry(NoBackoff(), 0),
                decode_responses=True,
            ) as client:
                yield client
        except NoPermissionError as error:
            remedy = f"give the user in {variable} +ping +info +time; docs/deploy.md has the whole line"
            raise Unreachable(f"Redis at {place_of(url)} ({variable}): {_first_line(error)}", remedy) from None
        except (RedisError, OSError, ValueError) as error:
            remedy = f"start it, or correct {variable}"
            raise Unreachable(f"Redis at {place_of(url)} ({variable}): {_first_line(error)}", remedy) from None

    def one_redis(self) -> bool:
        """Whether streams and broker share a server and a database."""
        return self.settings.broker_url is None or self.settings.broker() == self.settings.redis()

    def close(self) -> None:
        """Give back the connections."""
        for database in self._databases.values():
            database.close()


def rows(session: Session, statement: str, **values: Any) -> list[Any]:
    """The rows of a query."""
    return list(session.execute(text(statement), values))


def _postgres_away(error: Exception, url: str, variable: str) -> Unreachable:
    cause = getattr(error, "orig", None) or error
    where = f"Postgres at {place_of(url)} ({variable})"
    if isinstance(cause, (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)):
        return Unreachable(f"{where} lacks tables of Learning Machine", "learning-machine migrate")
    if isinstance(cause, psycopg.errors.InsufficientPrivilege):
        remedy = f"learning-machine migrate, or correct the user in {variable}"
        return Unreachable(f"{where}: {_first_line(cause)}", remedy)
    return Unreachable(f"{where}: {_first_line(cause)}", f"start it, or correct {variable}")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
