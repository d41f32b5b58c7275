"""The job `statistics`: counts the words of large scopes anew, by which ranking weighs them (`learning.scope_statistics`)."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_stores.curator.job import Cursor, Job, JobContext, Step
from learning_stores.ranking import keep_statistics, large_places

# Those of places that are large no more would go on weighing by what they were.
_DROP = text("""
    DELETE FROM learning.scope_statistics s WHERE s.tenant = :tenant AND NOT EXISTS (
        SELECT FROM unnest(cast(:stores AS text[]), cast(:scopes AS text[])) AS w (store, scope)
        WHERE w.store = s.store AND w.scope = s.scope)
    RETURNING true
""")


class Statistics(Job):
    """One large place a step."""

    name = "statistics"

    def step(self, context: JobContext, cursor: Cursor | None) -> Step:
        """Count the next place; at the end drop what is kept of places that are no longer large."""
        places = context.memo.get("places")
        if places is None:
            places = context.memo["places"] = sorted(context.read("app", large_places, context.tenant))
        after = ("", "") if cursor is None else (str(cursor["store"]), str(cursor["scope"]))
        following = [place for place in places if place > after]

        def work(session: Session) -> Step:
            if following:
                store, scope = following[0]
                keep_statistics(session, context.tenant, store, scope)
                return Step(cursor={"store": store, "scope": scope}, looked_at=1, changed=1, report={"counted": 1})
            kept = {"stores": [store for store, _ in places], "scopes": [scope for _, scope in places]}
            dropped = len(session.scalars(_DROP, {"tenant": context.tenant, **kept}).all())
            return Step(cursor=None, changed=dropped, report={"dropped": dropped})

        return context.commit("app", work)
