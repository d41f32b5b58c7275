"""What went wrong, told in one message: which server, which address, what to do; never a password, never a traceback."""

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import typer

USAGE = 2


class Failed(Exception):
    """A command cannot do what it was asked for; the message says why and what to do."""


class WrongUsage(Failed):
    """The arguments do not go together."""


def check_store(store: str, there: Collection[str]) -> None:
    """Raise `WrongUsage` for a store that is not among those that `there` are for a command."""
    if store not in there:
        known = ", ".join(there)
        raise WrongUsage(
            f"the store {store} is not installed here: there are {known}. LEARNING_STORES names stores of your own"
        )


def place_of(url: str) -> str:
    """Host and port of a server's URL, and the database; without user and password."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return f"{parts.hostname or 'localhost'}{port}{parts.path if parts.path not in ('', '/') else ''}"


@contextmanager
def reaching_postgres(url: str, variable: str) -> Iterator[None]:
    """Turn what Postgres or the way to it does wrong into `Failed`, which names the server and the variable."""
    import psycopg
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)):
            raise Failed(
                f"Postgres at {place_of(url)} has no tables of Learning Machine: run `learning-machine migrate`"
            ) from None
        if not isinstance(cause, (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege)):
            raise
        raise Failed(f"Postgres at {place_of(url)} ({variable}): {_first_line(cause)}") from None


@contextmanager
def reaching_redis(url: str, variable: str = "LEARNING_REDIS_URL") -> Iterator[None]:
    """The same for Redis."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError, ValueError) as error:
        raise Failed(f"Redis at {place_of(url)} ({variable}): {_first_line(error)}") from None


def _first_line(error: BaseException | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def tell(message: str) -> None:
    """Print an error on stderr, in red where that is a terminal."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True, highlight=False).print(Text(message, style="red"))


def run_app(app: typer.Typer) -> int:
    """Run it and give the exit status. What is no error of ours is passed on, with its traceback."""
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:
        status = _status(error)
        if status is None:
            raise
        tell(_told(error))
        sys.stdout.flush()
        return status
    return 0


def _told(error: Exception) -> str:
    """The message; of a database driver's error the first line, since the others repeat statements and values."""
    driver = _driver_errors()
    return _first_line(getattr(error, "orig", None) or error) if driver and isinstance(error, driver) else str(error)


def _status(error: Exception) -> int | None:
    """The exit status for an error of ours; None for any other."""
    from learning_ops.extras import MissingExtra

    if isinstance(error, (MissingExtra, WrongUsage)):
        return USAGE
    if isinstance(error, Failed):
        return 1
    if isinstance(error, _known()):
        return 1
    return None


def _known() -> tuple[type[Exception], ...]:
    """Our own errors; nothing is imported here that the command had not."""
    names = {
        "learning_schemas.errors": "LearningMachineError",
        "learning_ops.embedded.data_directory": "DataDirectoryError",
        "learning_ops.embedded.system_user": "NoSystemUser",
        "learning_ops.process": "ProcessError",
    }
    ours = tuple(getattr(sys.modules[module], name) for module, name in names.items() if module in sys.modules)
    return ours + _driver_errors()


def _driver_errors() -> tuple[type[Exception], ...]:
    """That a server is away; a statement that is wrong is an error of ours, and keeps its traceback."""
    names = {"sqlalchemy.exc": "OperationalError", "psycopg": "OperationalError", "redis.exceptions": "ConnectionError"}
    return tuple(getattr(sys.modules[module], name) for module, name in names.items() if module in sys.modules)
