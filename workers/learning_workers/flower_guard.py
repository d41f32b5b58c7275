"""What Flower leaves open, closed: however it is started with our app, it asks who is there.

Flower without authentication shows task arguments to everybody and lets them revoke tasks; and it leaves `/metrics` and
`/healthcheck` open where it has one.
"""

import sys
from typing import Any

import click

REFUSED = """\
Flower does not start without authentication: FLOWER_BASIC_AUTH or FLOWER_AUTH is missing.
Set FLOWER_BASIC_AUTH=user:password (a variable: an option would stand in the process list),
or FLOWER_AUTH and FLOWER_AUTH_PROVIDER for OAuth."""

_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-Ip")
_LOOPBACK = frozenset({"127.0.0.1", "::1"})


def guard_flower() -> None:
    """In Flower's process, once its options are read: end it where nobody has to log in, and close what it leaves open."""
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "flower":
        return
    options = _options()
    passwords = [each.partition(":")[2] for each in options.basic_auth or ()]
    if not options.auth and not (passwords and all(passwords)):
        print(REFUSED, file=sys.stderr)  # noqa: T201 - Flower has no log before it serves
        raise SystemExit(2)
    _close()


def _options() -> Any:
    from tornado.options import options

    return options


def _close() -> None:
    """`/metrics` for who is logged in; `/healthcheck` for them and for this host, unless it asks on behalf of another."""
    from flower.views.monitor import Healthcheck, Metrics
    from tornado.web import authenticated

    healthy = Healthcheck.get
    asked = authenticated(healthy)

    async def get(handler: Any) -> None:
        request = handler.request
        forwarded = any(name in request.headers for name in _FORWARDED)
        answer = healthy if request.remote_ip in _LOOPBACK and not forwarded else asked
        if (found := answer(handler)) is not None:
            await found

    Healthcheck.get = get
    Metrics.get = authenticated(Metrics.get)
