"""The answers behind `learning-machine probe`: of one process by HTTP, of the deployment by what Postgres and Redis show.

Every answer comes within its time: what may hang is asked in a thread that is left behind. No message shows a password.
"""

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Question = Literal["live", "ready"]

_PATHS: dict[Question, str] = {"live": "/livez", "ready": "/readyz"}
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Yes or no, and why."""

    ok: bool
    told: str


def ask_process(question: Question, host: str, port: int, timeout: float) -> Answer:
    """What the process that listens there says of itself. One that is stopped says nothing, and is not alive."""
    where = _ANYWHERE.get(host, host)

    def ask() -> Answer:
        # http.client, since urllib would ask a proxy where the environment names one.
        connection = http.client.HTTPConnection(where, port, timeout=timeout)
        try:
            connection.request("GET", _PATHS[question])
            response = connection.getresponse()
            told = response.read(2_000).decode("utf-8", "replace").strip()
            return Answer(ok=response.status == 200, told=told or f"HTTP {response.status}")
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return Answer(ok=False, told=f"{where}:{port} does not answer: {cause}")
        finally:
            connection.close()

    return within(timeout, ask, f"{where}:{port} does not answer")


def judge(question: Question, store: str | None, timeout: float) -> Answer:
    """What the servers show of a store's workers, or of the dispatchers where there is no store. Raises `ConfigurationError`."""
    # Before the time begins: loading code hangs on no server.
    from learning_ops import deployment_probe
    from learning_stores.settings import ServiceSettings

    settings = ServiceSettings.load()
    ask = deployment_probe.asking(question, settings, store)
    return within(timeout, ask, f"no answer within {timeout:g} s")


def within(timeout: float, ask: Callable[[], Answer], told: str) -> Answer:
    """What `ask` answers, or `told` where it takes longer. Raises what it raises."""
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="probe", daemon=True)
    thread.start()
    thread.join(timeout)
    if errors:
        raise errors[0]
    return answers[0] if answers else Answer(ok=False, told=told)
