"""The job `reconcile`: does every accepted event have its deliveries, and every pending delivery a mailbox? (`reconcile`)"""

from sqlalchemy.orm import Session

from learning_stores.curator.job import Cursor, Job, JobContext, Step
from learning_stores.reconcile import reconcile


class Reconcile(Job):
    """One step: it is bounded by what indexes find at once. Its report is what it mended and found."""

    name = "reconcile"
    per_tenant = False

    def step(self, context: JobContext, cursor: Cursor | None) -> Step:
        """Mend and count."""

        def work(session: Session) -> Step:
            done = reconcile(session)
            reopened = done.counts["mailboxes_reopened"]
            found = {name: count for name, count in done.counts.items() if count}
            # What stays is told once; in status and the metrics it stays.
            return Step(cursor=None, changed=reopened, report=found, warns=bool(reopened or (done.changed and found)))

        return context.commit("dispatcher", work)
