"""How far the clocks of this host, Postgres and Redis are apart."""

from collections.abc import Callable, Iterator
from functools import partial

from learning_ops.doctor.deployment import Deployment, Server, rows
from learning_ops.doctor.finding import Finding, Unreachable, error, ok, warning
from learning_schemas.limits import MAX_CLOCK_SKEW_SECONDS

APART_SECONDS = 1.0
"""The models' limits are counted by the workers' clocks, which must agree to about that."""

_REMEDY = "run a time service (chrony, systemd-timesyncd) on both hosts, and wait until they agree"


def skew(deployment: Deployment) -> Iterator[Finding]:
    """Of Postgres and of each Redis to this host; what cannot be reached is said, and the others are compared."""
    servers: tuple[Server, ...] = ("streams",) if deployment.one_redis() else ("streams", "broker")
    ways: list[tuple[str, Callable[[], tuple[float, float]]]] = [("Postgres", partial(_postgres, deployment))]
    ways += [(f"Redis ({server})", partial(_redis, deployment, server)) for server in servers]
    away: Unreachable | None = None
    for name, way in ways:
        try:
            ahead, unsure = way()
        except Unreachable as unreachable:
            away = unreachable
            continue
        yield _judged(name, ahead, unsure)
    if away is not None:
        yield error(f"{away.what}; its clock was not compared", away.remedy)


def _judged(name: str, ahead: float, unsure: float) -> Finding:
    apart, told = (
        abs(ahead),
        f"the clock of {name} is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this host's",
    )
    if apart - unsure > MAX_CLOCK_SKEW_SECONDS:
        return error(f"{told}: events are refused as being of the future, or expire at once", _REMEDY)
    if apart - unsure > APART_SECONDS:
        return warning(f"{told}: limits of models and dates of what was said are off by as much", _REMEDY)
    return ok(f"the clock of {name} is this host's, to {max(apart, unsure):.2f} s")


def _postgres(deployment: Deployment) -> tuple[float, float]:
    with deployment.postgres() as session:
        return _compared(
            deployment,
            lambda: float(rows(session, "SELECT extract(epoch FROM clock_timestamp())")[0][0]),
        )


def _redis(deployment: Deployment, server: Server) -> tuple[float, float]:
    def asked() -> float:
        seconds, microseconds = client.time()
        return seconds + microseconds / 1e6

    with deployment.redis(server) as client:
        return _compared(deployment, asked)


def _compared(deployment: Deployment, ask: Callable[[], float]) -> tuple[float, float]:
    """How far a server's clock is ahead (seconds), and how far that may be off: half the time that asking took."""
    ask()  # the first question also connects
    before = deployment.clock()
    theirs = ask()
    after = deployment.clock()
    return theirs - (before + after) / 2, (after - before) / 2
