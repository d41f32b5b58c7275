"""A collector of traces: takes what OTLP exporters send over HTTP, and keeps the spans."""

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, kw_only=True)
class Span:
    """A span as it was sent; ids in hexadecimal, '' where there is no parent."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    attributes: Mapping[str, str]
    failed: bool


class Collector:
    """What came so far."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.spans: list[Span] = []
        self.bodies: list[bytes] = []

    def named(self, name: str, trace: str | None = None) -> list[Span]:
        """The spans whose name begins so, of one trace or of any."""
        return [
            each for each in list(self.spans) if each.name.startswith(name) and (trace is None or each.trace == trace)
        ]

    def take(self, body: bytes) -> None:
        """Keep what one request brought."""
        self.bodies.append(body)
        sent = ExportTraceServiceRequest.FromString(body)
        for resource in sent.resource_spans:
            about = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for each in scope.spans:
                    values = {
                        pair.key: str(getattr(pair.value, pair.value.WhichOneof("value"))) for pair in each.attributes
                    }
                    span = Span(
                        service=about["service.name"],
                        name=each.name,
                        trace=each.trace_id.hex(),
                        id=each.span_id.hex(),
                        parent=each.parent_span_id.hex(),
                        links=tuple(link.trace_id.hex() for link in each.links),
                        attributes=values,
                        failed=each.status.code == each.status.STATUS_CODE_ERROR,
                    )
                    self.spans.append(span)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: it is a test's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
