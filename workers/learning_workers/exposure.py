"""What a process shows over HTTP, where LEARNING_METRICS_PORT is set: `/metrics`, `/livez` and `/readyz`; no password protects it.

Each answer is bounded in time, and so are the requests at once. It listens on loopback unless LEARNING_METRICS_HOST says otherwise.
"""

import os
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from learning_schemas.errors import ConfigurationError
from learning_workers.pulse import Verdict

logger = structlog.get_logger("learning.exposure")

REQUESTS_AT_ONCE = 16
REQUEST_SECONDS = 5.0
"""How long somebody may take to say what they want, and to take the answer."""

Page = Callable[[str], tuple[int, str, bytes]]


class Exposure:
    """The pages of one process, served by threads of its own until `close`."""

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        *,
        live: Callable[[], Verdict],
        ready: Callable[[], Verdict],
    ) -> None:
        """Listen; raises `ConfigurationError` where that cannot be. Nothing is answered before `start`."""

        def metrics(accepts: str) -> tuple[int, str, bytes]:
            encode, kind = choose_encoder(accepts)
            return 200, kind, encode(registry)

        pages: dict[str, Page] = {"/metrics": metrics, "/livez": _verdict(live), "/readyz": _verdict(ready)}
        try:
            self._server = _Server(host, port, pages)
        except OSError as error:
            raise ConfigurationError(
                "LEARNING_METRICS_PORT",
                f"{host}:{port} cannot be listened on: {error.strerror or error}",
                "Give each process of a host a port of its own, and LEARNING_METRICS_HOST an address of this host",
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="exposure", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        logger.info("metrics and probes are served", host=str(self._server.server_address[0]), port=self.port)
        return self

    def close(self) -> None:
        """Give the port back."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def _verdict(judge: Callable[[], Verdict]) -> Page:
    def page(_: str) -> tuple[int, str, bytes]:
        verdict = judge()
        return (200 if verdict.ok else 503), "text/plain; charset=utf-8", f"{verdict.told}\n".encode()

    return page


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, pages: Mapping[str, Page]) -> None:
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        self.pages = pages
        self._room = threading.Semaphore(REQUESTS_AT_ONCE)
        super().__init__((host, port), _Handler)
        # A child of this process, such as beat beside a worker, would keep the port when this one is killed.
        alive = weakref.ref(self)

        def close_in_child() -> None:
            if (server := alive()) is not None:
                server.socket.close()

        os.register_at_fork(after_in_child=close_in_child)

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the resolver for this host's name, and waits for it. A process that takes the place of one
        # that was just asked something does not wait for the kernel to forget that connection.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.warning("a request was not answered", cause=type(sys.exception()).__name__)


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS
    server: _Server

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            status, kind, body = 404, "text/plain; charset=utf-8", b"/metrics, /livez, /readyz\n"
        else:
            status, kind, body = page(self.headers.get("Accept", ""))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: a scrape every few seconds would be most of the log."""
