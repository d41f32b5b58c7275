"""The server around the application: a loopback socket, a start that can be waited for, a stop that leaves nothing behind."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from learning_ops.offline.application import Application, Settings
from learning_ops.offline.faults import Faults

__all__ = ["Faults", "NotLoopback", "OfflineModel", "Settings", "running", "serve"]

_GRACE = 2  # seconds that answers under way get when the server stops


class NotLoopback(ValueError):
    """The offline model serves this machine only: give a loopback address such as 127.0.0.1 or ::1 as the host."""


class _Server(uvicorn.Server):
    """Says when it serves, and leaves signals to whoever runs it."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def loopback_socket(host: str, port: int) -> socket.socket:
    """A bound socket; raises NotLoopback for a host that others could reach, OSError where the port is taken."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError as error:
        raise NotLoopback(NotLoopback.__doc__) from error
    if not parsed.is_loopback:
        raise NotLoopback(NotLoopback.__doc__)
    family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
    # The protocol is named because asyncio sets TCP_NODELAY only then: without it each answer waits 40 ms for an acknowledgement.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound


def base_url(bound: socket.socket) -> str:
    """The URL that a client takes as its base, ending in /v1."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


async def serve(settings: Settings, *, ready: Callable[[str, Application], None], stop: asyncio.Event) -> None:
    """Serve until `stop` is set; `ready` is called once with the base URL and the application when requests are taken."""
    bound = loopback_socket(settings.host, settings.port)
    try:
        application = Application(settings)
        config = uvicorn.Config(
            application.asgi,
            lifespan="off",
            log_level="error",
            access_log=False,
            loop="asyncio",
            http="h11",
            ws="none",
            timeout_graceful_shutdown=_GRACE,
        )
        server = _Server(config, lambda: ready(base_url(bound), application))

        async def end() -> None:
            await stop.wait()
            application.stopping.set()
            server.should_exit = True

        ending = asyncio.create_task(end())
        try:
            await server.serve(sockets=[bound])
        finally:
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)
            application.close()
    finally:
        bound.close()


class OfflineModel:
    """A running offline model: its base URL, its count of model requests, and its faults, which may be replaced at any time."""

    def __init__(self, url: str, application: Application) -> None:
        self.url = url
        self._application = application

    @property
    def requests(self) -> int:
        """How many model requests (responses, chat completions, embeddings) it has taken."""
        return self._application.requests

    @property
    def faults(self) -> Faults:
        """How it misbehaves from the next request on."""
        return self._application.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._application.faults = faults


@contextmanager
def running(settings: Settings | None = None) -> Iterator[OfflineModel]:
    """An offline model in a thread of this process, stopped at the end of the block; raises what its start raised."""
    started = threading.Event()
    models: list[OfflineModel] = []
    failures: list[BaseException] = []
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def ready(url: str, application: Application) -> None:
        models.append(OfflineModel(url, application))
        started.set()

    async def body() -> None:
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        await serve(settings or Settings(), ready=ready, stop=stop)

    def run() -> None:
        try:
            asyncio.run(body())
        except BaseException as failure:
            failures.append(failure)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="offline-model", daemon=True)
    thread.start()
    started.wait()
    if not models:
        thread.join()
        raise failures[0]
    try:
        yield models[0]
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join()
    if failures:
        raise failures[0]
