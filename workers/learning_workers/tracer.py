"""Sending traces from a service: on where the standard `OTEL_EXPORTER_OTLP_ENDPOINT` says where to, off everywhere else.

Spans go out in batches from a thread of their own, in a bounded queue; a collector that is away costs spans, and no work.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from learning_schemas.errors import ConfigurationError

logger = structlog.get_logger("learning.traces")

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
SEND_SECONDS = 5.0
"""How long one batch may take, and at the end of the process all that is left."""


def start_traces(service: str) -> Callable[[], None]:
    """Send this process's spans under a service's name, unless `OTEL_SERVICE_NAME` names another; returns what ends it.

    Raises `ConfigurationError` where an endpoint is set and the extra `otel` is not installed.
    """
    endpoint = next((name for name in ENDPOINTS if os.environ.get(name, "").strip()), None)
    if endpoint is None or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return lambda: None
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            endpoint, f"is set, and {missing.name} is not installed", "Run: pip install 'learning-machine[otel]'"
        ) from None
    named = {} if os.environ.get("OTEL_SERVICE_NAME", "").strip() else {SERVICE_NAME: service}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=SEND_SECONDS)))
    trace.set_tracer_provider(provider)
    logger.info("traces are sent", by=endpoint)

    def end() -> None:
        # A thread, since a collector that hangs would hold each batch that is left for as long as one may take.
        last = threading.Thread(target=provider.shutdown, name="traces", daemon=True)
        last.start()
        last.join(SEND_SECONDS)

    return end


@contextmanager
def sending_traces(service: str) -> Iterator[None]:
    """The same for as long as the block runs."""
    stop = start_traces(service)
    try:
        yield
    finally:
        stop()
