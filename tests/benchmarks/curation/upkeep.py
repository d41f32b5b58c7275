"""The curator on a benchmark's place: jobs from beginning to end, with a judge whose errors are counted, and undo."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from hashlib import blake2b

from sqlalchemy import text

from harness import Place
from learning_stores.curator.judging import Inquiry, Judge, Verdicts
from learning_stores.curator.neighbours import Pair, candidates
from learning_stores.curator.runs import Run
from learning_stores.database import Database
from learning_stores.registry import installed
from learning_stores.settings import ServiceSettings
from learning_stores.undo import named, of_run, undo
from learning_workers.curator import Curator

_LIVE = text("SELECT id, content FROM learning.learning WHERE tenant = :tenant AND status = 'active' ORDER BY id")


class ErringJudge:
    """Knows which texts state one fact, or which deny one another, and says the contrary of a share of the pairs.

    Which of them is a matter of their texts, so that a run repeats. `wrong` counts them.
    """

    def __init__(self, fact_of: Mapping[str, str], denied: Mapping[str, str], share: float) -> None:
        self._fact_of, self._denied, self._share = fact_of, denied, share
        self.asked = self.wrong = 0

    def ask(self, inquiry: Inquiry) -> Verdicts:
        """A verdict on each pair."""
        inside = inquiry.data.split("<pairs>\n", 1)[1].split("\n</pairs>", 1)[0]
        told = [self._verdict(json.loads(line)) for line in inside.split("\n")]
        return Verdicts(answer=inquiry.answer.model_validate({"verdicts": told}), calls=1, cost_usd=Decimal(0))

    def _verdict(self, pair: Mapping[str, Mapping[str, str] | str]) -> dict[str, str]:
        names = ("a", "b") if "a" in pair else ("older", "newer")
        one, other = (pair[name]["text"] for name in names)  # type: ignore[index]  # two statements
        if names[0] == "a":
            right, words = self._fact_of[one] == self._fact_of[other], ("same", "different")
        else:
            right, words = self._denied.get(self._fact_of[other]) == self._fact_of[one], ("contradicts", "compatible")
        self.asked += 1
        if self._errs(one, other):
            self.wrong += 1
            right = not right
        return {"pair": str(pair["id"]), "verdict": words[0] if right else words[1]}

    def _errs(self, *texts: str) -> bool:
        drawn = int.from_bytes(blake2b("\0".join(sorted(texts)).encode(), digest_size=8).digest())
        return drawn < self._share * 2**64


class Upkeep:
    """Jobs, candidates and undo of tenants of one store."""

    def __init__(self, place: Place, store: str) -> None:
        self.app = Database(place.app_url, pool_size=2)
        self._place, self._store = place, store

    def run(self, job: str, tenant: str, judge: Judge | None = None) -> Run:
        """One run to its end."""
        settings = ServiceSettings.load(
            database_url=self._place.app_url,
            dispatcher_database_url=self._place.dispatcher_url,
            curator_max_calls=100_000,
            curator_model="off",
        )
        curator = Curator(settings, installed(), "benchmark", judge=judge)
        try:
            done = curator.drive(curator.ask(job, tenant, self._store, by="benchmark", dry_run=False))
        finally:
            curator.close()
        assert done.state == "done", done
        return done

    def candidates(self, tenant: str, scope: str, *, same_target: bool = True) -> list[Pair]:
        """What a judge would be asked about, as things are."""
        return self.app.run(tenant, candidates, tenant, self._store, scope, same_target=same_target)

    def undo(self, tenant: str, run: Run) -> int:
        """Take back all that a run did, the newest change first; how many changes."""
        sources = self.app.run(tenant, of_run, tenant, run.id)
        for source in sources:
            (found,) = self.app.run(tenant, named, tenant, [source.id])
            self.app.run(tenant, undo, tenant, found, by="benchmark")
        return len(sources)

    def live(self, tenant: str) -> dict[object, str]:
        """What is live: texts by id."""
        return self.app.run(
            tenant, lambda session: {row.id: row.content for row in session.execute(_LIVE, {"tenant": tenant})}
        )


@contextmanager
def upkeep_of(place: Place, store: str) -> Iterator[Upkeep]:
    """With connections that are given back."""
    made = Upkeep(place, store)
    try:
        yield made
    finally:
        made.app.close()
