"""The Postgres that the tests start where they are given none."""

import atexit
import shutil
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from learning_ops.addresses import Addresses
from learning_ops.embedded import DataDirectory, EmbeddedServices
from learning_ops.migration import migrate
from learning_ops.stack import DATABASE
from learning_stores.roles import APP, DISPATCHER, OWNER


@cache
def embedded_database() -> Addresses:
    """A migrated database in a directory of its own, for as long as this process lives."""
    with ExitStack() as stack:
        directory = tempfile.mkdtemp(prefix="learning-conformance-")
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        data = stack.enter_context(DataDirectory(Path(directory) / "data"))
        services = stack.enter_context(EmbeddedServices(data))
        postgres = services.postgres
        postgres.create_database(DATABASE)
        urls = {role: postgres.url(DATABASE, role, data.secret(role)) for role in (APP, DISPATCHER, OWNER)}
        migrate(postgres.url(DATABASE), urls)
        atexit.register(stack.pop_all().close)
    return Addresses(
        database_url=urls[APP],
        dispatcher_database_url=urls[DISPATCHER],
        owner_database_url=urls[OWNER],
        redis_url=services.redis.url,
    )
