"""Reading agno's table of learnings as sources of an import: one for each user, and one for what users share.

Only what the table says is taken: agno keeps insights in a knowledge base of its own and not there. Every row, and every part of
one, that has no equal here is listed with its reason.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from learning_stores.database import driver_url
from learning_stores.import_agno_row import MAX_ROW_BYTES, AgnoRow, Left, Mapped, row_of
from learning_stores.import_agno_rows import mapped
from learning_stores.import_record import Imported, NotImported

SHARED_BY = "agno"
"""Whose import it is, of what belongs to no user."""

_READ_AT_ONCE = 500
_CONNECT_SECONDS = 10
"""For a server that is silent, and for a table that somebody holds."""
# No such table, schema or column, or no name of one; but not that it may not be read.
_NO_SUCH_TABLE = re.compile("42(?!501)...|3F000|0A000")
_TEXTS = [
    "learning_id",
    "learning_type",
    "namespace",
    "user_id",
    "agent_id",
    "team_id",
    "session_id",
    "entity_id",
    "entity_type",
]
# As text, whatever type a table of this name gives them: Python cannot read all JSON that Postgres holds, and a driver that
# fails on one row fails on all.
_COLUMNS = ", ".join(f"cast({name} AS text) AS {name}" for name in _TEXTS) + (
    ", CASE WHEN octet_length(cast(content AS text)) <= :most THEN cast(content AS text) END AS content"
)


@dataclass(frozen=True, kw_only=True)
class AgnoUser:
    """An `ImportSource`: what agno remembers of one user, or of none (`shared`)."""

    user_id: str
    shared: bool
    found: Sequence[Mapped]
    name: str = "agno"

    def records(self) -> Iterator[tuple[str, Imported]]:
        """The learnings and entities, each with the row that it stands in."""
        for each in self.found:
            yield each.where, each.record


@dataclass(frozen=True, kw_only=True)
class AgnoLearnings:
    """What a table of agno's holds: by user, and what is left out of it, with the reasons."""

    users: Sequence[AgnoUser]
    left: Sequence[Left]
    rows: int


def read_agno(url: str, table: str = "ai.agno_learnings") -> AgnoLearnings:
    """Read the table in one snapshot, and change nothing there. `table` may name its schema.

    Raises `NotImported` where there is no such table, `ConfigurationError` for what is no Postgres URL.
    """
    engine = create_engine(driver_url(url, "from_agno"), connect_args={"connect_timeout": _CONNECT_SECONDS})
    try:
        with engine.connect() as connection:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            connection.execute(text(f"SET LOCAL lock_timeout = '{_CONNECT_SECONDS}s'"))
            return _read(connection, table)
    except DBAPIError as error:
        if _NO_SUCH_TABLE.fullmatch(getattr(error.orig, "sqlstate", None) or ""):
            raise NotImported(
                table, "is no table of agno's learnings in this database: --table names another, as schema.table"
            ) from None
        raise
    finally:
        engine.dispose()


def _read(connection: Connection, table: str) -> AgnoLearnings:
    name = ".".join(connection.dialect.identifier_preparer.quote(part) for part in table.split("."))
    rows = connection.execution_options(yield_per=_READ_AT_ONCE).execute(
        text(f"SELECT {_COLUMNS}, created_at, updated_at FROM {name} ORDER BY created_at, learning_id"),  # noqa: S608 - quoted above
        {"most": MAX_ROW_BYTES},
    )
    found: list[AgnoRow] = [row_of(row._asdict()) for row in rows]
    names: dict[Any, dict[str | None, str]] = defaultdict(dict)
    for row in found:
        if row.learning_type == "entity_memory":
            names[row.scope, row.entity_id][row.entity_type] = row.entity_name
    by_user: dict[str | None, list[Mapped]] = defaultdict(list)
    left: list[Left] = []
    for row in found:
        kept, without_equal = mapped(row, names)
        by_user[row.owner] += kept
        left += without_equal
    users = [
        AgnoUser(user_id=SHARED_BY if user is None else user, shared=user is None, found=_consistent(records))
        for user, records in sorted(by_user.items(), key=lambda item: (item[0] is not None, item[0] or ""))
        if records
    ]
    return AgnoLearnings(users=users, left=left, rows=len(found))


def _consistent(records: list[Mapped]) -> list[Mapped]:
    """Each record once: agno may hold one statement twice in a row."""
    seen: dict[Any, Mapped] = {}
    for each in records:
        seen.setdefault(getattr(each.record, "id", each.record), each)
    return list(seen.values())
