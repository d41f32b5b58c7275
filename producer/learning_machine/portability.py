"""What a machine gives to the user whom it remembers: everything that is held about them."""

import asyncio

from learning_machine.arguments import checked_id
from learning_machine.asking import Asking, unavailable
from learning_stores.database import Database
from learning_stores.export import Export, export


class Portability(Asking):
    """The part of a machine that exports."""

    def export(self, user_id: str) -> Export:
        """Everything that is held about a user in this tenant: a header, then the records, to go through with `for`.

        The header has the format and its version, tenant, user, when, how many records of each kind follow, and what is left
        out. Of learnings that users share there is only the evidence of this user. It is read in one snapshot, or in several
        where that takes longer than 20 s; the header names their moments. Records wait in a temporary file, so that neither
        memory nor a transaction is held by a slow reader. Raises `InvalidArgument`, `MemoryUnavailable`.
        """
        return self._exported(self.tenant, checked_id("user_id", user_id))

    async def aexport(self, user_id: str) -> Export:
        """`export` for asyncio, read in a thread: `async for record in await machine.aexport(user_id)`."""
        return await asyncio.to_thread(self._exported, self.tenant, checked_id("user_id", user_id))

    def _exported(self, tenant: str, user_id: str) -> Export:
        url = self._database.url.render_as_string(hide_password=False)
        # One of its own: the machine's is for quick answers.
        with unavailable(), Database(url, pool_size=1) as database:
            return export(database, tenant, user_id)
