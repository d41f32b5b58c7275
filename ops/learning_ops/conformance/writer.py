"""One writer of many: a process of its own that states one thing."""

from collections.abc import Sequence
from multiprocessing.synchronize import Barrier

from learning_stores.admission import AT_ONCE
from learning_stores.database import Database
from learning_stores.operations import Operation
from learning_stores.place import Place
from learning_stores.writing import write

MEETING_SECONDS = 60.0


def state(url: str, place: Place, operations: Sequence[Operation], meeting: Barrier) -> None:
    """Connect, wait until every writer has, and write."""
    with Database(url, pool_size=1) as database:
        database.run(place.tenant, lambda session: None)
        meeting.wait(MEETING_SECONDS)
        database.run(place.tenant, write, place, operations, AT_ONCE, origin="tool", action="stated")
