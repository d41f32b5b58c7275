"""The commands of `learning-machine`, one module each.

Invariants: what a command prints for machines (`--json`) is all that is on stdout; what went wrong is one message on stderr,
without a traceback and without a password, and the exit status is 1, or 2 for wrong usage or a missing extra. A command's
own imports are made when it runs, so that `--help` costs nothing.
"""

import typer

from learning_ops.cli.budget import register as register_budget
from learning_ops.cli.cost import register as register_cost
from learning_ops.cli.curate import register as register_curate
from learning_ops.cli.dead import register as register_dead
from learning_ops.cli.demo import register as register_demo
from learning_ops.cli.dispatcher import register as register_dispatcher
from learning_ops.cli.doctor import register as register_doctor
from learning_ops.cli.emit import register as register_emit
from learning_ops.cli.entities import register as register_entities
from learning_ops.cli.export import register as register_export
from learning_ops.cli.failure import run_app
from learning_ops.cli.forget import register as register_forget
from learning_ops.cli.import_ import register as register_import
from learning_ops.cli.learnings import register as register_learnings
from learning_ops.cli.migrate import register as register_migrate
from learning_ops.cli.probe import register as register_probe
from learning_ops.cli.proposals import register as register_proposals
from learning_ops.cli.recall import register as register_recall
from learning_ops.cli.reembed import register as register_reembed
from learning_ops.cli.replay import register as register_replay
from learning_ops.cli.run_script import register as register_run_script
from learning_ops.cli.schema import register as register_schema
from learning_ops.cli.skip import register as register_skip
from learning_ops.cli.spool import register as register_spool
from learning_ops.cli.status import register as register_status
from learning_ops.cli.trace import register as register_trace
from learning_ops.cli.undo import register as register_undo
from learning_ops.cli.up import register as register_up

__all__ = ["app", "run"]

app = typer.Typer(
    name="learning-machine",
    help="Memory for AI agents: run it, feed it, look into it.\n\n"
    "Start with [bold]learning-machine demo[/], then [bold]learning-machine up[/].",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _register in (
    register_demo,
    register_up,
    register_run_script,
    register_migrate,
    register_dispatcher,
    register_emit,
    register_recall,
    register_learnings,
    register_proposals,
    register_entities,
    register_status,
    register_probe,
    register_doctor,
    register_trace,
    register_cost,
    register_budget,
    register_skip,
    register_forget,
    register_dead,
    register_replay,
    register_undo,
    register_spool,
    register_export,
    register_import,
    register_reembed,
    register_curate,
    register_schema,
):
    _register(app)


def run() -> int:
    """Run the command that the arguments name; gives the exit status."""
    return run_app(app)
