"""Running every check: each in a thread of its own, for a bounded time, and whatever becomes of the others."""

import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from learning_ops.doctor import clocks, deliveries, embedding, models, redis_server, rights, schema, spool, versions
from learning_ops.doctor import workers as running
from learning_ops.doctor.deployment import Deployment
from learning_ops.doctor.finding import LEVELS, Finding, Level, Unreachable

Check = Callable[[Deployment], Iterable[Finding]]

CHECK_SECONDS = 15.0
"""What one check may take. They run side by side, so that all of them take no longer."""

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "python": versions.python,
        "postgres": versions.postgres,
        "extensions": versions.extensions,
        "redis": versions.redis,
        "schema": schema.revision,
        "roles": rights.roles,
        "logins": rights.logins,
        "policies": rights.policies,
        "persistence": redis_server.persistence,
        "eviction": redis_server.eviction,
        "clocks": clocks.skew,
        "dispatchers": running.dispatchers,
        "workers": running.workers,
        "schedule": running.schedule,
        "embedding": embedding.coverage_of_tenants,
        "models": models.unknown,
        "deliveries": deliveries.dead,
        "spool": spool.directory,
    }
)
"""By name, in the order in which they are told."""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What was found, when and where."""

    at: datetime
    host: str
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The gravest level of them."""
        return max((each.level for each in self.findings), key=LEVELS.index, default="ok")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "level": self.level}


def examine(
    deployment: Deployment, checks: Mapping[str, Check] = CHECKS, seconds: float = CHECK_SECONDS
) -> Examination:
    """Run the checks and gather what they found. Raises nothing for what a deployment does."""
    at = datetime.now(UTC)
    found: dict[str, tuple[Finding, ...]] = {}
    away: dict[str, Unreachable] = {}

    def run(name: str, check: Check) -> None:
        try:
            found[name] = tuple(replace(each, check=name) for each in check(deployment))
        except Unreachable as unreachable:
            away[name] = unreachable
        except Exception as fault:
            # Its text may repeat what a row holds.
            what = f"the check failed ({type(fault).__name__})"
            remedy = "report it with the output of `learning-machine doctor --json`"
            found[name] = (Finding(level="error", check=name, what=what, remedy=remedy),)

    threads = {
        name: threading.Thread(target=run, args=(name, check), name=f"check-{name}", daemon=True)
        for name, check in checks.items()
    }
    for thread in threads.values():
        thread.start()
    until = time.monotonic() + seconds
    for thread in threads.values():
        thread.join(max(0.0, until - time.monotonic()))
    ended, not_reached = dict(found), dict(away)  # a check that ends later is too late
    findings = [*_unreachable(not_reached)]
    for name in checks:
        findings += ended.get(name, () if name in not_reached else (_late(name, seconds),))
    return Examination(at=at, host=socket.gethostname(), findings=tuple(findings))


def _unreachable(away: Mapping[str, Unreachable]) -> Iterable[Finding]:
    """One finding for each thing that is not there, with the checks that it kept from being made."""
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, unreachable in sorted(away.items()):
        names[unreachable.what, unreachable.remedy].append(name)
    for (what, remedy), kept in names.items():
        yield Finding(level="error", check=kept[0], what=f"{what}; not looked at: {', '.join(kept)}", remedy=remedy)


def _late(name: str, seconds: float) -> Finding:
    return Finding(
        level="error",
        check=name,
        what=f"no answer within {seconds:g} s",
        remedy="run it again; where it stays so, look at the load of the server that it asks",
    )
