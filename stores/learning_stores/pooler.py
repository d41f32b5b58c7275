"""Poolers between this process and Postgres: one server connection there serves many of ours, a transaction each.

So nothing may be left on a connection that the next transaction counts on, and nothing may stay there that a stranger's would
find: no prepared statements, no settings of a session. Whether there is a pooler is asked once a connection: it has given us a
process id of its own, and the server knows its own. That works with any of them, and nobody has to set anything.
"""

from typing import Any

import psycopg
from psycopg.rows import tuple_row

_BACKEND = "SELECT pg_backend_pid()"


def stop_preparing_if_pooled(connection: "psycopg.Connection[Any]") -> None:
    """Make a new connection usable through a pooler: one round trip. It is closed where that fails. Raises psycopg.Error."""
    try:
        connection.autocommit = True
        [backend] = connection.cursor(row_factory=tuple_row).execute(_BACKEND).fetchone() or (None,)
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise
    if backend != connection.info.backend_pid:
        connection.prepare_threshold = None


async def astop_preparing_if_pooled(connection: "psycopg.AsyncConnection[Any]") -> None:
    """The same for asyncio."""
    try:
        await connection.set_autocommit(True)
        found = await (await connection.cursor(row_factory=tuple_row).execute(_BACKEND)).fetchone()
        await connection.set_autocommit(False)
    except BaseException:
        await connection.close()
        raise
    if (found or (None,))[0] != connection.info.backend_pid:
        connection.prepare_threshold = None
