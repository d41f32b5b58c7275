"""Embedding: a tenant's work list, a bounded batch at a time, with no connection held while a model is asked.

A failure of the provider leaves the model alone for a while, for this tenant in the database and for all in this process;
the rows stay on the work list. A text that the model refuses is found by halving the batch, noted, and left out from then on;
that it is the text, and not the request as it is made here, is tried with a harmless one first.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from learning_schemas.ids import uuid7
from learning_stores.database import Database
from learning_stores.embedding_client import Embedded, EmbeddingClient, EmbeddingFailed
from learning_stores.embeddings import (
    DimensionsDiffer,
    Due,
    begin,
    models_of,
    pause,
    record,
    settle,
    switch_first,
    take,
)
from learning_stores.reservations import Begun, Offer
from learning_stores.settings import ServiceSettings
from learning_workers.backoff import MAX_BACKOFF_SECONDS, backoff, spread
from learning_workers.calls import EMBEDDING, CallRecord, estimated
from learning_workers.gate import Gate, Held, Verdict
from learning_workers.models import Catalogue, EmbeddingModel
from learning_workers.purse import NoBudget, Purse

logger = structlog.get_logger("learning.embedding")

TAKEN_AT_ONCE = 256
SLICE_SECONDS = 5.0
"""How long one task works for one tenant; the dispatcher nudges again where more is due, and others have had their turn."""
BACKOFF_SECONDS = 1.0
CONFIGURATION_SECONDS = 60.0
"""What somebody has to change here is looked at again this soon."""
BYTES_A_TOKEN = 2
"""Fewer than any language has, so that no request is over its limit."""
_PROBE = "hello"


class ModelWaits(Exception):
    """A model is left alone for `seconds`, because of `note`; where it is `misconfigured`, waiting alone helps nothing."""

    def __init__(self, name: str, seconds: float, note: str, *, misconfigured: bool = False) -> None:
        super().__init__(f"{name} waits: {note}")
        self.name, self.seconds, self.note, self.misconfigured = name, seconds, note, misconfigured


@dataclass(kw_only=True)
class EmbeddingReport:
    """What came of it, in counts; `waits` are the models that are left alone for now, and why."""

    embedded: int = 0
    refused: int = 0
    calls: int = 0
    tokens: int = 0
    reading: str | None = None  # a model that the tenant can be read with from now on
    waits: dict[str, str] = field(default_factory=dict)

    def as_result(self) -> dict[str, Any]:
        """For Flower."""
        return {name: value for name, value in self.__dict__.items() if value}


class Embedder:
    """One process's embedding. Safe in threads."""

    def __init__(
        self,
        database: Database,
        catalogue: Catalogue,
        settings: ServiceSettings,
        gate: Gate | None = None,
        purse: Purse | None = None,
    ) -> None:
        """`gate` and `purse` are one of a process; made from the settings where none is given."""
        self._purse = purse or Purse(database, catalogue, settings.model_deadline)
        self._gate = gate or Gate.of(settings)
        self._own_gate = gate is None
        self._database = database
        self._catalogue = catalogue
        self._deadline = settings.model_deadline
        self._default = settings.embedding_endpoint()
        self._clients: dict[str, EmbeddingClient] = {}
        self._resting: dict[str, tuple[float, str]] = {}  # until when (monotonic), and why

    def close(self) -> None:
        """Give back the connections to the models."""
        for client in self._clients.values():
            client.close()
        if self._own_gate:
            self._gate.close()

    def work(self, tenant: str, stopping: Callable[[], bool] = lambda: False) -> EmbeddingReport:
        """Work on a tenant's list for a slice of time, or until nothing is ready. Raises what the database raises."""
        report = EmbeddingReport()
        until = time.monotonic() + SLICE_SECONDS
        while not stopping() and time.monotonic() < until:
            ids, rows = self._database.run(tenant, self._take, tenant, report)
            if not ids:
                break
            for name in sorted({name for row in rows for name in row.missing}):
                try:
                    self.embed(tenant, name, [row for row in rows if name in row.missing], report)
                except ModelWaits as waits:
                    report.waits[name] = waits.note
            self._database.run(tenant, settle, tenant, ids, BACKOFF_SECONDS)
            if report.waits:
                break
        report.reading = self._database.run(tenant, switch_first, tenant)
        if report.reading:
            logger.info("embedding model is read with", tenant=tenant, model=report.reading)
        return report

    def _take(self, session: Session, tenant: str, report: EmbeddingReport) -> tuple[list[UUID], list[Due]]:
        models = models_of(session, tenant)
        if not models and self._default is not None:
            known = self._catalogue.embedding_model(self._default.name)
            begin(session, tenant, self._default.name, self._default.dimensions or known.dimensions)
        elif all(model.waits for model in models):
            report.waits |= {model.model: model.note or "" for model in models}
            return [], []
        return take(session, tenant, TAKEN_AT_ONCE, self._deadline * (len(models) + 1) + 5)

    def embed(self, tenant: str, name: str, rows: Sequence[Due], report: EmbeddingReport) -> None:
        """Embed these with one model, as many requests as its limits make of them, and write the vectors.

        Raises `ModelWaits` once the model is to be left alone.
        """
        until, note = self._resting.get(name, (0.0, ""))
        if (left := until - time.monotonic()) > 0:
            self._database.run(tenant, pause, tenant, name, left, note)
            raise ModelWaits(name, left, note)
        limits = self._catalogue.embedding_model(name)
        for batch in batches(rows, limits):
            self._embed(tenant, name, batch, limits, report, at_fault=False)

    def _embed(
        self,
        tenant: str,
        name: str,
        rows: Sequence[Due],
        limits: EmbeddingModel,
        report: EmbeddingReport,
        *,
        at_fault: bool,
    ) -> None:
        """One batch; `at_fault` says that a text in it is known to be refused, and not the request as such."""
        try:
            found = self._ask(tenant, name, [shortened(row.text, limits) for row in rows], report)
            vectors = {row.learning_id: vector for row, vector in zip(rows, found.vectors, strict=True)}
            if limits.dimensions is not None and "@" not in name and len(found.vectors[0]) != limits.dimensions:
                raise EmbeddingFailed(
                    "refused_request", f"{len(found.vectors[0])} dimensions came, and it has {limits.dimensions}"
                )
            report.embedded += self._database.run(tenant, record, tenant, name, vectors)
        except Held as held:
            self._pause(tenant, name, held.seconds, held.note)
        except DimensionsDiffer as differ:
            self._rest(tenant, name, EmbeddingFailed("refused_request", str(differ)))
        except EmbeddingFailed as failure:
            if failure.outcome != "refused":
                self._rest(tenant, name, failure)
            if not at_fault:
                self._probe(tenant, name, report)
            if len(rows) == 1:
                self._database.run(tenant, record, tenant, name, {}, {rows[0].learning_id: failure.note})
                report.refused += 1
                logger.warning(
                    "text refused", tenant=tenant, learning_id=str(rows[0].learning_id), model=name, cause=failure.note
                )
                return
            for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
                self._embed(tenant, name, half, limits, report, at_fault=True)

    def _probe(self, tenant: str, name: str, report: EmbeddingReport) -> None:
        try:
            self._ask(tenant, name, [_PROBE], report)
        except Held as held:
            self._pause(tenant, name, held.seconds, held.note)
        except EmbeddingFailed as failure:
            outcome = "refused_request" if failure.outcome == "refused" else failure.outcome
            self._rest(tenant, name, EmbeddingFailed(outcome, failure.note, failure.retry_after))

    def _ask(self, tenant: str, name: str, texts: Sequence[str], report: EmbeddingReport) -> Embedded:
        """One call, recorded when it returns, whatever becomes of its vectors. Raises `EmbeddingFailed`, and `Held`."""
        client, limits = self._client(name), self._catalogue.embedding_model(name)
        tokens = sum(-(-len(text.encode()) // BYTES_A_TOKEN) for text in texts)
        call_id = uuid7()
        begun = Begun(
            tenant=tenant,
            id=call_id,
            extraction_id=call_id,  # made for no extraction
            store=EMBEDDING,
            purpose=EMBEDDING,
            prompt_name=EMBEDDING,
            prompt_version="1",
            events=len(texts),
            seconds=self._purse.seconds,
        )
        try:
            most = self._purse.begin(begun, Offer(model=name, usd=limits.cost(tokens))).usd
        except NoBudget as none:
            # Looked at again soon, because nobody is told when a budget is raised.
            raise Held(spread(min(none.seconds, CONFIGURATION_SECONDS)), none.note) from None
        try:
            passed = self._gate.enter(limits.rate(name), tokens)
        except Held:
            self._purse.give_up(tenant, call_id)
            raise
        report.calls += 1
        began = time.monotonic()

        def record(outcome: str, model: str | None, used: int | None) -> None:
            cost = None if used is None else limits.cost(used)
            self._purse.write(
                CallRecord(
                    tenant=tenant,
                    id=call_id,
                    extraction_id=call_id,
                    store=EMBEDDING,
                    purpose=EMBEDDING,
                    model_asked=name,
                    model=model,
                    prompt_name=EMBEDDING,
                    prompt_version="1",
                    outcome=outcome,
                    events=len(texts),
                    tokens_input=used,
                    cost_usd=cost,
                    estimated_usd=estimated(outcome, cost, used, most),
                    seconds=time.monotonic() - began,
                )
            )

        try:
            found = client.embed(texts, self._deadline)
        except EmbeddingFailed as failure:
            paused = self._gate.leave(passed, _verdict(failure), failure.note, failure.retry_after)
            if paused is not None:
                failure.retry_after = max(failure.retry_after or 0.0, paused)
            record(failure.outcome, failure.model, failure.tokens)
            raise
        self._gate.leave(passed, "answered")
        record("ok", found.model, found.tokens)
        report.tokens += found.tokens or 0
        return found

    def _client(self, name: str) -> EmbeddingClient:
        if (client := self._clients.get(name)) is None:
            endpoint = self._catalogue.embedding_endpoint(name)
            if endpoint is None:
                raise EmbeddingFailed("refused_request", f"no address of {name} is known here")
            client = self._clients.setdefault(name, EmbeddingClient(endpoint))
        return client

    def _rest(self, tenant: str, name: str, failure: EmbeddingFailed) -> NoReturn:
        """Leave the model alone for a while: as it asks, else exponentially longer, with jitter. Raises `ModelWaits`."""
        models = self._database.run(tenant, models_of, tenant)
        failures = next((each.failures for each in models if each.model == name), 0)
        seconds = backoff(failures, BACKOFF_SECONDS)
        if failure.outcome == "refused_request":
            seconds = min(seconds, CONFIGURATION_SECONDS)
        if failure.retry_after is not None:
            seconds = min(MAX_BACKOFF_SECONDS, max(failure.retry_after, 0.1))
        # The whole process: that others ask the same server in vain helps nobody, with or without the gate.
        self._resting[name] = (time.monotonic() + seconds, failure.note)
        self._pause(tenant, name, seconds, failure.note, misconfigured=failure.outcome == "refused_request")

    def _pause(self, tenant: str, name: str, seconds: float, note: str, *, misconfigured: bool = False) -> NoReturn:
        self._database.run(tenant, pause, tenant, name, seconds, note)
        logger.warning("embedding waits", model=name, tenant=tenant, cause=note, seconds=round(seconds, 1))
        raise ModelWaits(name, seconds, note, misconfigured=misconfigured) from None


def _verdict(failure: EmbeddingFailed) -> Verdict:
    """What a call tells of the provider, as with extraction."""
    if failure.outcome == "rate_limited" or failure.retry_after is not None:
        return "throttled"
    return "failed" if failure.outcome in ("server_error", "timeout", "unreachable") else "answered"


def shortened(text: str, limits: EmbeddingModel) -> str:
    """As much of a text as the model takes; of a longer one, its beginning."""
    most = limits.tokens_each * BYTES_A_TOKEN
    encoded = text.encode()
    return text if len(encoded) <= most else encoded[:most].decode(errors="ignore")


def batches(rows: Sequence[Due], limits: EmbeddingModel) -> Iterator[list[Due]]:
    """The rows in requests that the model takes."""
    batch: list[Due] = []
    tokens = 0
    for row in rows:
        size = -(-len(shortened(row.text, limits).encode()) // BYTES_A_TOKEN)
        if batch and (len(batch) == limits.inputs or tokens + size > limits.tokens):
            yield batch
            batch, tokens = [], 0
        batch.append(row)
        tokens += size
    if batch:
        yield batch
