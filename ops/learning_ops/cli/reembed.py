"""`learning-machine reembed`: how far the vectors are, and moving what is remembered to another embedding model."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learning_ops.cli.option import Json, examples, prose

if TYPE_CHECKING:
    from learning_stores.database import Database

_GIVE_UP_SECONDS = 600.0
"""So long in a row may the model bring nothing."""
_BYTES_A_TOKEN = 4  # of English; an estimate


def reembed(
    model: Annotated[str | None, typer.Argument(help="The embedding model to move to.")] = None,
    dimensions: Annotated[
        int | None, typer.Option(min=1, max=16_000, help="Ask for so many; else the model's own.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant; else all of them.")] = None,
    status: Annotated[bool, typer.Option("--status", help="Show how far each tenant's models are.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be embedded, and its price.")] = False,
    drop_others: Annotated[
        bool, typer.Option("--drop-others", help="At the end, delete the vectors of the tenant's other models.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Embed what is remembered with another model, tenant by tenant. What was done stays done when it is interrupted: run it
    again to go on. Agents and workers work on meanwhile, and what is learned meanwhile gets the vectors of both models.

    A tenant can be read with the model once no live learning lacks its vector; that is checked as it is switched. Agents read
    with the model that LEARNING_EMBEDDING_MODEL names for them: change it when this is done, and run it with `--drop-others`
    when no agent names another one any more. Until then everything learned waits for the vectors of all of a tenant's models:
    to give a move up, run `reembed` with the model that is read and `--drop-others`.

    Needs LEARNING_DATABASE_URL, LEARNING_DISPATCHER_DATABASE_URL where no tenant is named, and the model's address and key as
    the workers have them.
    """
    from learning_ops.cli.failure import WrongUsage, reaching_postgres
    from learning_ops.extras import require_extra
    from learning_stores.database import Database
    from learning_stores.embedding_endpoint import embedding_name
    from learning_stores.settings import ServiceSettings

    if (model is None) is not status:
        raise WrongUsage("give either a model to move to, or --status")
    require_extra("worker", "structlog")
    settings = ServiceSettings.load()
    url = settings.database()
    with reaching_postgres(url, "LEARNING_DATABASE_URL"), Database(url, pool_size=2) as database:
        tenants = _tenants(settings) if tenant is None else [tenant]
        if model is None:
            _status(database, settings, tenants, as_json)
        elif dry_run:
            _dry_run(database, settings, tenants, embedding_name(model, dimensions), as_json)
        else:
            done = _Move(database, settings, embedding_name(model, dimensions), dimensions).run(tenants, drop_others)
            _tell_index(database, done)
            if as_json:
                from learning_ops.cli.output import print_json

                print_json(done)


def _tenants(settings: Any) -> list[str]:
    from learning_ops.cli.failure import reaching_postgres
    from learning_stores.database import Database
    from learning_stores.embedding_tenants import every_tenant

    url = settings.dispatcher_database()
    with (
        reaching_postgres(url, "LEARNING_DISPATCHER_DATABASE_URL"),
        Database(url, pool_size=1, field="dispatcher_database_url") as database,
    ):
        return database.run(None, every_tenant)


def _status(database: "Database", settings: Any, tenants: Iterable[str], as_json: bool) -> None:
    from learning_ops.cli.output import moment, print_json
    from learning_ops.cli.reembed_note import unfinished_of
    from learning_ops.cli.table import PlainTable, console
    from learning_ops.cli.tenant_memory import note
    from learning_stores.embedding_coverage import coverage, due

    found: list[dict[str, Any]] = [
        {"tenant": tenant, "due": database.run(tenant, due, tenant), "models": database.run(tenant, coverage, tenant)}
        for tenant in tenants
    ]
    if as_json:
        print_json(found)
        return
    numbers = ("live", "embedded", "refused", "due")
    table = PlainTable("Embeddings", "tenant", "model", "state", "since", *numbers, "waits for", numbers=numbers)
    for each in found:
        for model in each["models"]:
            table.add_row(
                each["tenant"], model.model, model.state, moment(model.since), f"{model.live:,}", f"{model.embedded:,}",
                f"{model.refused:,}", f"{each['due']:,}", f"{model.note} until {moment(model.not_before)}" if model.note else "",
            )  # fmt: skip  # one line a half
        if not each["models"]:
            table.add_row(each["tenant"], "none", "", "", "", "", "", f"{each['due']:,}", "")
    console(whole=True).print(table)
    if not found:
        note("Nothing is remembered yet.")
    endpoint = settings.embedding_endpoint()
    for each in found:
        for told in unfinished_of(each["tenant"], each["models"], None if endpoint is None else endpoint.name):
            note(told)


def _dry_run(database: "Database", settings: Any, tenants: Iterable[str], name: str, as_json: bool) -> None:
    from learning_ops.cli.output import print_json
    from learning_ops.cli.table import PlainTable, console
    from learning_ops.cli.tenant_memory import note
    from learning_stores.embedding_coverage import remaining
    from learning_workers.models import load_catalogue

    known = load_catalogue(settings).embedding_model(name)
    found: list[dict[str, Any]] = []
    for tenant in tenants:
        left = database.run(tenant, remaining, tenant, name)
        tokens = -(-left.text_bytes // _BYTES_A_TOKEN)
        found.append(
            {"tenant": tenant, "learnings": left.learnings, "about_tokens": tokens, "about_usd": known.cost(tokens)}
        )
    if as_json:
        print_json({"model": name, "tenants": found})
        return
    numbers = ("learnings", "about tokens", "about USD")
    table = PlainTable(f"To be embedded with {name}", "tenant", *numbers, numbers=numbers)
    for row in found:
        price = "unknown" if row["about_usd"] is None else f"{row['about_usd']:.4f}"
        table.add_row(row["tenant"], f"{row['learnings']:,}", f"{row['about_tokens']:,}", price)
    console(whole=True).print(table)
    note("Nothing was embedded. Tokens are estimated at four bytes each.")


def _tell_index(database: "Database", done: list[dict[str, Any]]) -> None:
    """What the owner may do for large scopes: an index cannot be made by the role that embeds."""
    from learning_ops.cli.tenant_memory import note
    from learning_stores.embedding_coverage import INDEXED_FROM, missing_index

    for each in done:
        if each["embedded"] > INDEXED_FROM:
            statement = database.run(each["tenant"], missing_index, each["model"], each["dimensions"])
            if statement is not None:
                note(
                    f"so that large scopes are searched by {each['model']}, run as the owner of the tables:\n{statement};"
                )
            return


class _Move:
    """Moving tenants to a model."""

    def __init__(self, database: "Database", settings: Any, name: str, dimensions: int | None) -> None:
        from learning_ops.cli.failure import WrongUsage
        from learning_workers.embedding import Embedder, EmbeddingReport
        from learning_workers.log import configure_logging
        from learning_workers.models import load_catalogue

        configure_logging("ERROR")  # what goes wrong is told as progress
        self._database, self._name = database, name
        catalogue = load_catalogue(settings)
        self._known = catalogue.embedding_model(name)
        self._dimensions = dimensions or self._known.dimensions
        endpoint = catalogue.embedding_endpoint(name)
        if endpoint is None:
            raise WrongUsage(
                f"no address of {name} is known: set LEARNING_EMBEDDING_MODEL and LEARNING_EMBEDDING_BASE_URL, or add it to "
                "the models file"
            )
        self._address, self._key_variable = endpoint.base_url, self._known.key_variable
        configured = settings.embedding_endpoint()
        if configured is not None and configured.model == endpoint.model:  # not the models file's
            self._key_variable = "LEARNING_EMBEDDING_API_KEY" + (" or OPENAI_API_KEY" if endpoint.is_openai else "")
        self._embedder = Embedder(database, catalogue, settings)
        self._report = EmbeddingReport()

    def run(self, tenants: Iterable[str], drop_others: bool) -> list[dict[str, Any]]:
        """Move each in turn. Returns what became of each."""
        try:
            return [self._tenant(tenant, drop_others) for tenant in tenants]
        except KeyboardInterrupt:
            from learning_ops.cli.tenant_memory import note

            note("interrupted: what was embedded is kept; run this again to go on")
            raise
        finally:
            self._embedder.close()

    def _tenant(self, tenant: str, drop_others: bool) -> dict[str, Any]:
        from learning_ops.cli.failure import Failed
        from learning_ops.cli.tenant_memory import note
        from learning_stores.embedding_coverage import coverage, other_models, remaining, try_refused_again
        from learning_stores.embeddings import begin, switch
        from learning_workers.embedding import EmbeddingReport

        self._report = EmbeddingReport()
        self._database.run(tenant, begin, tenant, self._name, self._dimensions)
        self._database.run(tenant, try_refused_again, tenant, self._name)
        left = self._database.run(tenant, remaining, tenant, self._name).learnings
        note(f"{tenant}: {left:,} learnings to embed with {self._name}")
        switched = False
        # What is learned during a pass is the workers' to embed; where none runs, the next pass finds it.
        while left:
            self._pass(tenant, left)
            switched = self._database.run(tenant, switch, tenant, self._name) or switched
            left = self._database.run(tenant, remaining, tenant, self._name).learnings
        switched = self._database.run(tenant, switch, tenant, self._name) or switched
        [found] = [each for each in self._database.run(tenant, coverage, tenant) if each.model == self._name]
        if found.live and found.state != "reading":
            raise Failed(f"{tenant}: {self._name} refused every text; `reembed --status` counts them")
        others = self._database.run(tenant, other_models, tenant, self._name)
        dropped = [self._drop(tenant, other) for other in others] if drop_others and found.live else []
        refused = f", {found.refused:,} refused" if found.refused else ""
        told = f"can be read with {self._name}" if found.live else "has nothing to embed"
        note(f"{tenant}: {told} ({found.embedded:,} embedded{refused}){_also(others, dropped)}")
        return {
            "tenant": tenant, "model": self._name, "dimensions": found.dimensions, "state": found.state,
            "embedded_now": self._report.embedded,
            "embedded": found.embedded, "refused": found.refused, "tokens": self._report.tokens, "switched": switched,
            "usd": self._known.cost(self._report.tokens), "dropped": dropped,
        }  # fmt: skip  # two a line

    def _pass(self, tenant: str, left: int) -> None:
        from learning_stores.embedding_coverage import lacking
        from learning_workers.embedding import TAKEN_AT_ONCE, ModelWaits

        began, worked, told, before = time.monotonic(), time.monotonic(), time.monotonic(), self._report.embedded
        after = None
        while rows := self._database.run(tenant, lacking, tenant, self._name, after, TAKEN_AT_ONCE):
            try:
                self._embedder.embed(tenant, self._name, rows, self._report)
            except ModelWaits as waits:
                self._wait(tenant, waits, worked)
                continue
            worked, after = time.monotonic(), rows[-1].learning_id
            if worked - told >= 1.0:
                told, done = worked, self._report.embedded - before
                _progress(tenant, done, left, done / (worked - began))

    def _wait(self, tenant: str, waits: Any, worked: float) -> None:
        from learning_ops.cli.failure import Failed
        from learning_ops.cli.tenant_memory import note

        if waits.misconfigured:  # somebody has to change something, and is here
            key = f"the key ({self._key_variable})"
            names = "the model's name and the address (LEARNING_EMBEDDING_BASE_URL, else the models file)"
            check = {"HTTP 401": key, "HTTP 403": key, "HTTP 404": names}.get(waits.note[:8], f"{names}, and {key}")
            raise Failed(
                f"{tenant}: {self._name} at {self._address} does not embed: {waits.note}. Check {check}, and run this again: "
                "what was embedded is kept"
            )
        if time.monotonic() + waits.seconds - worked > _GIVE_UP_SECONDS:
            raise Failed(f"{tenant}: {waits}. What was embedded is kept; run this again to go on")
        note(f"{tenant}: {waits}; trying again in {waits.seconds:.0f} s")
        time.sleep(waits.seconds)

    def _drop(self, tenant: str, model: str) -> str:
        from learning_stores.embedding_coverage import drop_model, drop_vectors

        self._database.run(tenant, drop_model, tenant, model)
        after = None
        while after := self._database.run(tenant, drop_vectors, tenant, model, after, 5_000):
            pass
        return model


def _also(others: list[str], dropped: list[str]) -> str:
    if dropped:
        return f"; dropped {', '.join(dropped)}"
    return f"; also with {', '.join(others)}" if others else ""


def _progress(tenant: str, done: int, left: int, rate: float) -> None:
    from learning_ops.cli.output import span
    from learning_ops.cli.tenant_memory import note

    to_go = f", about {span((left - done) / rate)} to go" if rate and done < left else ""
    note(f"{tenant}: {min(done, left):,} of {left:,} ({rate:,.0f} a second{to_go})")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        help=prose(reembed),
        epilog=examples(
            "reembed --status",
            "reembed text-embedding-3-large --dimensions 1024 --dry-run",
            "reembed text-embedding-3-small",
        ),
    )(reembed)
