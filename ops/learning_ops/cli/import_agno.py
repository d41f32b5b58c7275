"""`learning-machine import --from-agno`: what agno remembered comes into a tenant, and what has no equal is listed."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from learning_stores.import_agno import AgnoLearnings
    from learning_stores.importing import Import


_INSIGHTS = (
    "not looked at: insights (learned_knowledge), which agno keeps in its knowledge base and not in this table:"
    " they are not imported"
)
_MAX_TOLD, _MAX_REASON = 120, 400


def import_from_agno(
    url: str,
    table: str,
    *,
    user: str | None,
    shared: bool,
    by: str | None,
    tenant: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Read agno's table, say what it would bring and what not, ask, and bring it in; user by user.

    Raises `Failed` where a database cannot be reached, `NotImported` where there is no such table.
    """
    from learning_ops.cli.asking import confirmed, counted
    from learning_ops.cli.failure import reaching_postgres
    from learning_ops.cli.import_ import told_of
    from learning_ops.cli.output import print_json
    from learning_ops.cli.tenant_memory import note
    from learning_schemas.errors import SubjectClosed
    from learning_stores.database import Database
    from learning_stores.import_agno import read_agno
    from learning_stores.import_record import NotImported
    from learning_stores.importing import plan, run_import
    from learning_stores.settings import AgentSettings

    with reaching_postgres(url, "--from-agno"):
        found = read_agno(url, table)
    left: list[dict[str, Any]] = [{"row": each.row, "what": each.what, "why": each.why} for each in found.left]
    ours = AgentSettings.load().database()
    with reaching_postgres(ours, "LEARNING_DATABASE_URL"), Database(ours, pool_size=1) as database:
        imports: list[Import] = []
        brings: Counter[str] = Counter()
        entities = known = 0
        for each in _imports(found, tenant=tenant, user=user, shared=shared, by=by):
            try:
                planned = plan(database, each)
            except (SubjectClosed, NotImported) as error:
                left.append({"row": None, "what": f"user {each.user_id}", "why": str(error)})
                continue
            imports.append(each)
            brings += planned.learnings
            entities += planned.entities
            known += planned.known
        told = ", ".join(f"{count:,} {status}" for status, count in sorted(brings.items())) or "none"
        note(
            f"to import from {counted(found.rows, 'row')} of {table} into tenant {tenant}: learnings: {told}"
            f" ({known:,} were imported before); {counted(entities, 'entity', 'entities')}; left out: {len(left):,}"
        )
        for one in left:
            where = f"row {_short(one['row'])}, " if one["row"] is not None else ""
            note(f"left out: {where}{_short(one['what'])}: {_short(one['why'], _MAX_REASON)}")
        note(_INSIGHTS)
        if dry_run:
            if as_json:
                print_json({"learnings": dict(brings), "entities": entities, "known": known, "left": left})
            return
        confirmed(f"Import it into tenant {tenant}?", yes=yes)
        done: Counter[str] = Counter()
        for each in imports:
            done += run_import(database, each)
    if as_json:
        print_json({**done, "left": left})
    else:
        typer.echo(told_of(done))


def _short(told: str, most: int = _MAX_TOLD) -> str:
    """A value of the table's on one line that no terminal obeys."""
    from learning_ops.cli.table import plain

    line = plain(" ".join(told.split())).plain
    return line if len(line) <= most else f"{line[:most]}…"


def _imports(found: "AgnoLearnings", *, tenant: str, user: str | None, shared: bool, by: str | None) -> "list[Import]":
    """An import for each user who is asked for, and one for what belongs to none."""
    from learning_stores.importing import Import

    return [
        Import(source=each, tenant=tenant, user_id=each.user_id, by=by, shared=shared)
        for each in found.users
        if (shared if each.shared else user in (None, each.user_id)) and not (each.shared and user is not None)
    ]
