"""Traces: spans of what this system does, where OpenTelemetry is in use; nothing at all where it is not.

OpenTelemetry is an extra. Nothing here imports it: a process that traces has imported it before. Spans carry ids of events,
names and counts; never what anybody said, nor whose it was.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

Kind = Literal["internal", "producer", "consumer", "client"]
Value = str | int | float | bool

_SCOPE = "learning_machine"


class Trace:
    """A span under way; one that is not recorded takes everything and keeps nothing."""

    def __init__(self, span: Any = None) -> None:
        self._span = span

    @property
    def traceparent(self) -> str | None:
        """The span as the W3C's `traceparent`, for what is caused by it; None where there is no trace."""
        if self._span is None:
            return None
        context = self._span.get_span_context()
        if not context.is_valid:
            return None
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def note(self, **attributes: Value | None) -> None:
        """Add attributes; `_` stands for a dot in their names where two of them stand, and what is None is left out."""
        if self._span is not None:
            for name, value in attributes.items():
                if value is not None:
                    self._span.set_attribute(name.replace("__", "."), value)

    def failed(self, kind: str) -> None:
        """What was done did not succeed: by the kind of error alone, since its message may quote somebody."""
        if self._span is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_attribute("error.type", kind)
            self._span.set_status(Status(StatusCode.ERROR, kind))


_NONE = Trace()


def is_tracing() -> bool:
    """Whether this process has OpenTelemetry in use: it records spans, or somebody's trace is under way in it."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return False
    # Libraries load it in processes that trace nothing, and a span that is none takes nearly a tenth of an emit.
    recording = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    return recording or trace.get_current_span() is not trace.INVALID_SPAN


@contextmanager
def span(
    name: str,
    kind: Kind = "internal",
    *,
    parent: str | None = None,
    links: Iterable[str | None] = (),
    began_at: int | None = None,
    attributes: Mapping[str, Value] | None = None,
) -> Iterator[Trace]:
    """A span for as long as the block runs, under `parent` (a `traceparent`) or under the span that is current.

    `links` are the traceparents of other causes; `began_at` is in nanoseconds since 1970, default now. What is raised ends it
    as failed.
    """
    if not is_tracing():
        yield _NONE
        return
    from opentelemetry import trace

    context = None
    if parent is not None and (remote := _read(parent)) is not None:
        context = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    causes = [trace.Link(found) for each in links if each is not None and (found := _read(each)) is not None]
    with trace.get_tracer(_SCOPE).start_as_current_span(
        name,
        context=context,
        kind=trace.SpanKind[kind.upper()],
        links=causes,
        start_time=began_at,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as under_way:
        traced = Trace(under_way)
        try:
            yield traced
        except BaseException as error:
            traced.failed(type(error).__name__)
            raise


def _read(traceparent: str) -> Any:
    """The span that a `traceparent` names; None where it is malformed, as a producer in any language may write it."""
    from opentelemetry.trace import SpanContext, TraceFlags

    parts = traceparent.split("-")
    if len(parts) < 4 or [len(part) for part in parts[:4]] != [2, 32, 16, 2] or parts[0] == "ff":
        return None
    try:
        trace_id, span_id, flags = (int(part, 16) for part in parts[1:4])
    except ValueError:
        return None
    found = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags & 1))
    return found if found.is_valid else None
