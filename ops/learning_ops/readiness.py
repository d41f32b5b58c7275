"""When a child has begun to do its work; that its process exists says little."""

import http.client
import time

from learning_ops.process import ManagedProcess, wait_until

# Of each shard its reader; null where it has none.
_SHARD_OWNERS = "SELECT CASE WHEN lease_until > clock_timestamp() THEN owner END FROM learning.shard_lease"


def says_ready(worker: ManagedProcess) -> bool:
    """Whether a Celery worker has said that it takes work: among the first that it says, whatever it has done since."""
    return " ready." in worker.log_head()


def serves(process: ManagedProcess, port: int, path: str) -> bool:
    """Whether this very process answers `path` on its loopback port with 200."""
    from learning_ops.embedded.inspection import listens

    # Who listens is asked first: the port may be another program's by now.
    return process.pid is not None and listens(process.pid, port) and _answers(port, path)


def _answers(port: int, path: str) -> bool:
    # http.client, since urllib would ask a proxy where the environment names one.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def until_dispatching(dispatcher: ManagedProcess, url: str, timeout: float) -> None:
    """Wait until every shard is read: by it, or by one that was started by hand and keeps its leases.

    `url` is the dispatcher role's. Raises ProcessError.
    """
    from sqlalchemy import text

    from learning_stores.database import Database
    from learning_stores.shards import LEASE_SECONDS

    began = time.monotonic()
    with Database(url, pool_size=1) as database:

        def reads_all() -> bool:
            with database.transaction() as session:
                owners = session.execute(text(_SHARD_OWNERS)).scalars().all()
            ours = [owner for owner in owners if owner and f":{dispatcher.pid}:" in owner]
            # A live lease may be that of one that was killed; after so long it is not.
            outlived = time.monotonic() > began + LEASE_SECONDS + 2
            return bool(owners) and (len(ours) == len(owners) or (outlived and all(owners)))

        wait_until(reads_all, timeout, "dispatcher taking events in", alive=[dispatcher])
