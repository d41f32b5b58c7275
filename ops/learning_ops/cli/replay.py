"""`learning-machine replay`: extract events anew, in place of what they gave before."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from learning_ops.cli.option import Json, Tenant, examples, prose
from learning_ops.cli.tenant_memory import SessionId, Store, User

if TYPE_CHECKING:
    from learning_stores.database import Database
    from learning_stores.replay import Given, Replayed
    from learning_stores.replay_mailbox import Box
    from learning_stores.replay_selection import Choice, Selected

FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S"]
_SHOWN = 20

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what it would do; change nothing.")]
Operator = Annotated[str, typer.Option(help="Who does it; kept with the change.")]


def replay(
    user: User = None,
    session: SessionId = None,
    since: Annotated[
        datetime | None, typer.Option(formats=FORMATS, help="Events accepted since then (UTC where no zone is said).")
    ] = None,
    until: Annotated[datetime | None, typer.Option(formats=FORMATS, help="Events accepted before then.")] = None,
    store: Store = None,
    prompt_version: Annotated[
        str | None, typer.Option(help="What was extracted by this version of a prompt: 1-e3a23274, or 1.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="What was extracted by this model.")] = None,
    extraction: Annotated[UUID | None, typer.Option(help="What was extracted by this extraction.")] = None,
    event: Annotated[UUID | None, typer.Option(help="This event.")] = None,
    dry_run: DryRun = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="The same with its estimated cost; asks no model, changes nothing.")
    ] = False,
    yes: Yes = False,
    by: Operator = "operator",
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Extract events anew, by the prompts and models of today, in place of what they gave before.

    All options hold together. What was read together with a chosen event is extracted anew with it; of a session's context,
    everything from the first chosen event to the session's end. What the events gave stays until their new extraction is
    there, except for a session's context, which goes back at once to what it was before.

    Events go through the workers as new ones do. Shows first what will be withdrawn and what stays, and asks. Needs
    LEARNING_DATABASE_URL; --plan also the models file as the workers have it.
    """
    from learning_ops.cli.failure import WrongUsage
    from learning_stores.replay_selection import Choice

    choice = Choice(
        user_id=user,
        session_id=session,
        since=utc(since),
        until=utc(until),
        store=store,
        prompt_version=prompt_version,
        model=model,
        extraction_id=extraction,
        event_id=event,
    )
    if not choice.named:
        raise WrongUsage("name what is to be replayed: --user, --session, --since, --store, --extraction, --event, …")
    run_replay(tenant, choice, dry_run=dry_run, plan=plan, yes=yes, by=by, as_json=as_json)


def utc(moment: datetime | None) -> datetime | None:
    """A moment with its zone."""
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def run_replay(tenant: str, choice: "Choice", *, dry_run: bool, plan: bool, yes: bool, by: str, as_json: bool) -> None:
    """Show what is chosen, ask, and set it back to pending, a mailbox at a time."""
    from learning_ops.cli.asking import confirmed
    from learning_ops.cli.failure import reaching_postgres
    from learning_ops.cli.output import print_json
    from learning_stores.database import Database
    from learning_stores.settings import AgentSettings

    url = AgentSettings.load().database()
    with reaching_postgres(url, "LEARNING_DATABASE_URL"), Database(url, pool_size=1) as database:
        found = _Outlook(database, tenant, choice, plan=plan)
        shows_only = dry_run or plan
        if not as_json:
            found.show()
        elif shows_only:
            print_json(found.as_dict())
        if shows_only or not found.boxes:
            if as_json and not shows_only:
                print_json({"mailboxes": 0, "deliveries": 0, "withdrawn": 0, "restored": 0})
            return
        confirmed(f"Replay {found.deliveries:,} deliveries of tenant {tenant}?", yes=yes)
        _apply(database, tenant, found.boxes, choice, by, as_json)


class _Outlook:
    """What a replay would take, read mailbox by mailbox."""

    def __init__(self, database: "Database", tenant: str, choice: "Choice", *, plan: bool) -> None:
        from learning_stores.replay import accumulates, given
        from learning_stores.replay_selection import boxes, select, waiting

        self.tenant = tenant
        self.boxes: list[Box] = []
        self.selected: list[Selected] = []
        self.fates = Counter[str]()
        self.learnings: list[Given] = []
        self.estimate = _estimate() if plan else None
        self.waiting = database.run(tenant, waiting, tenant, choice)
        self.left = 0
        for box in database.run(tenant, boxes, tenant, choice):
            with database.transaction(tenant) as session:
                selected = select(session, box, choice, accumulates=accumulates(box.store))
                self.left += selected.left
                if not selected.events:
                    continue
                learnings = given(session, selected)
                if self.estimate is not None:
                    self.estimate.add(session, selected)
            self.boxes.append(box)
            self.selected.append(selected)
            self.fates.update(each.fate for each in learnings)
            self.learnings += [each for each in learnings if each.fate == "alone"]

    @property
    def deliveries(self) -> int:
        return sum(len(each.events) for each in self.selected)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        events = {event for each in self.selected for event in each.events}
        found: dict[str, Any] = {
            "mailboxes": len(self.boxes),
            "events": len(events),
            "deliveries": self.deliveries,
            "chosen": sum(each.chosen for each in self.selected),
            "extractions": sum(len(each.extractions) for each in self.selected),
            "left_without_messages": self.left,
            "waiting_already": self.waiting,
            "learnings": {fate: self.fates[fate] for fate in ("alone", "supported", "overtaken", "taken back")},
            "stands_on_them_alone": [each.__dict__ for each in self.learnings],
        }
        if self.estimate is not None:
            found["estimate"] = {name: cost.__dict__ for name, cost in self.estimate.models.items()}
            found["estimate_without"] = self.estimate.unread
        return found

    def show(self) -> None:
        """For people."""
        from learning_ops.cli.asking import counted

        told = self.as_dict()
        if not self.boxes:
            typer.echo(f"Nothing of tenant {self.tenant} that can be replayed is meant by that.")
        else:
            more = told["deliveries"] - told["chosen"]
            typer.echo(
                f"{counted(told['deliveries'], 'delivery', 'deliveries')} of {counted(told['events'], 'event')} in "
                f"{counted(told['mailboxes'], 'mailbox', 'mailboxes')}, by {counted(told['extractions'], 'extraction')}"
                + (f"; {more:,} of them because they were read together or build on the chosen" if more else "")
            )
            for fate, meaning in _FATES.items():
                if self.fates[fate]:
                    typer.echo(f"  {counted(self.fates[fate], 'learning')} {meaning}")
            self._list_alone()
            typer.echo("What the model will say is not known before: only what it may change is shown here.")
        if self.left:
            left = counted(self.left, "delivery", "deliveries")
            typer.echo(f"{left} left as they are: the messages are no longer in the log")
        if self.waiting:
            typer.echo(f"{counted(self.waiting, 'delivery', 'deliveries')} wait to be extracted anyway")
        if self.estimate is not None:
            self._show_cost()

    def _list_alone(self) -> None:
        from learning_ops.cli.table import plain

        for each in self.learnings[:_SHOWN]:
            typer.echo(f"    {each.id}  {each.kind}: {plain(each.content).plain}")
        if len(self.learnings) > _SHOWN:
            typer.echo(f"    and {len(self.learnings) - _SHOWN:,} more: --json lists them")

    def _show_cost(self) -> None:
        from learning_ops.cli.asking import counted

        assert self.estimate is not None
        for name, cost in sorted(self.estimate.models.items()):
            price = "a price that is not known" if cost.usd is None else f"about ${cost.usd:.4f}"
            typer.echo(
                f"{name}: about {counted(cost.calls, 'call')}, {cost.tokens_input:,} tokens in and "
                f"{cost.tokens_output:,} out, {price}"
            )
        if self.estimate.unread:
            typer.echo(
                f"{counted(self.estimate.unread, 'window')} not estimated: their spec or store is not known here"
            )


_FATES = {
    "alone": "that stand on these events alone: withdrawn, unless said again",
    "supported": "that others support too: stay",
    "overtaken": "that something has taken the place of since: history, and stay so",
    "taken back": "that were taken back: come back where these events did so and do not again",
}


def _estimate() -> Any:
    from learning_ops.extras import require_extra
    from learning_ops.replay_cost import Estimate
    from learning_stores.settings import ServiceSettings
    from learning_workers.models import load_catalogue

    require_extra("worker", "structlog")
    settings = ServiceSettings.load()
    return Estimate(load_catalogue(settings), settings)


def _apply(database: "Database", tenant: str, found: "Sequence[Box]", choice: "Choice", by: str, as_json: bool) -> None:
    from learning_ops.cli.asking import counted
    from learning_ops.cli.output import print_json
    from learning_stores.replay import replay_box

    done: list[Replayed] = [database.run(tenant, replay_box, box, choice, by=by) for box in found]
    withdrawn = [each.withdrawn for each in done if each.withdrawn is not None]
    told = {
        "mailboxes": sum(each.deliveries > 0 for each in done),
        "deliveries": sum(each.deliveries for each in done),
        "withdrawn": sum(len(each.retired) for each in withdrawn),
        "restored": sum(len(each.restored) for each in withdrawn),
    }
    if as_json:
        print_json(told)
        return
    boxes = counted(told["mailboxes"], "mailbox", "mailboxes")
    again = "is" if told["deliveries"] == 1 else "are"
    typer.echo(f"{counted(told['deliveries'], 'delivery', 'deliveries')} {again} pending again, in {boxes}")
    if withdrawn:
        typer.echo(
            f"of session contexts {counted(told['withdrawn'], 'learning')} went at once, {told['restored']:,} came back"
        )


def register(app: typer.Typer) -> None:
    """Add the command."""
    an_id = "0198c0de-1111-7222-8333-444455556666"
    app.command(
        help=prose(replay),
        epilog=examples(
            "replay --user alex@example.com --dry-run",
            "replay --prompt-version 2 --store user_profile --plan",
            f"replay --event {an_id} --yes",
        ),
    )(replay)
