"""Models that machines or settings name and the models file does not know, or knows no price of."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from learning_ops.doctor.deployment import Deployment, rows
from learning_ops.doctor.finding import Finding, error, note, ok, warning
from learning_ops.extras import require_extra
from learning_schemas.errors import ConfigurationError

# Specs themselves are not taken apart in SQL: `stores` has names of the user's own.
_SPECS = "SELECT tenant, spec::text AS spec FROM learning.machine_spec"
_BUDGETED = "SELECT EXISTS (SELECT FROM learning.budget)"


def unknown(deployment: Deployment) -> Iterator[Finding]:
    """By name, with who names it."""
    require_extra("worker", "structlog")
    from learning_workers.models import load_catalogue

    settings = deployment.settings
    try:
        catalogue = load_catalogue(settings)
    except ConfigurationError as wrong:
        yield error(f"{wrong.field}: {wrong.problem}", wrong.remedy)
        return
    named: dict[str, set[str]] = defaultdict(set)
    named[settings.model].add("LEARNING_MODEL")
    with deployment.postgres() as session:
        for row in rows(session, _SPECS):
            for each in _models_of(row.spec):
                named[each].add(f"machines of tenant {row.tenant}")
        [[budgeted]] = rows(session, _BUDGETED)
    file = settings.models_file or Path("models.toml")
    fine = True
    for name, by in sorted(named.items()):
        who = _told(sorted(by))
        if (model := catalogue.get(name)) is None:
            fine = False
            yield error(
                f"the model {name!r} is not in the models file, and what it is to extract waits; named by {who}",
                f'add [models."{name}"] to {file} (LEARNING_MODELS_FILE), or name another model',
            )
        elif model.cost(1, 0, 1) is None:
            fine = False
            what, remedy = (
                f"the price of {name} is not known ({who})",
                f'give [models."{name}"] in {file} input and output',
            )
            if budgeted:
                yield warning(f"{what}: where a budget holds, it is not asked", f"{remedy}; 0 where it costs nothing")
            else:
                yield note(f"{what}: `cost` says so, and no budget can hold", f"{remedy}; 0 where it costs nothing")
    endpoint = settings.embedding_endpoint()
    if endpoint is not None and catalogue.embedding_model(endpoint.name).price is None:
        fine = False
        yield note(
            f"the price of the embedding model {endpoint.model} is not known",
            f'give [embeddings."{endpoint.model}"] in {file} a price; 0 where it costs nothing',
        )
    if fine:
        yield ok(f"every model that is named is known, with its price: {', '.join(sorted(named))}")


def _models_of(spec: str) -> Iterator[str]:
    found = json.loads(spec)
    for part in (found, *found.get("stores", {}).values()):
        if part.get("model"):
            yield part["model"]


def _told(names: list[str], most: int = 3) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
