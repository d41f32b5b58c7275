"""The database that agno's `db` names, where it is one that ours can be."""

from typing import Any

from learning_schemas.errors import ConfigurationError
from learning_stores.database import driver_url

_REMEDY = "Run `learning-machine up` in this directory, set LEARNING_DATABASE_URL, or give database_url="


def url_of(db: Any) -> str:
    """The URL of agno's PostgresDb or AsyncPostgresDb. Raises `ConfigurationError` for none and for other databases.

    Its role should be `learning_app`, as of every agent: for a superuser, tenants are not kept apart by the database.
    """
    if db is None:
        raise ConfigurationError(
            "database_url",
            "neither the argument nor LEARNING_DATABASE_URL nor .learning/env nor any db names it",
            _REMEDY,
        )
    url = getattr(db, "db_url", None)
    engine = getattr(db, "db_engine", None)
    if not url and engine is not None:
        url = engine.url.render_as_string(hide_password=False)
    if not isinstance(url, str):
        raise ConfigurationError("db", f"is a {type(db).__name__}, and our memory needs Postgres", _REMEDY)
    return driver_url(url, "db").set(drivername="postgresql").render_as_string(hide_password=False)
