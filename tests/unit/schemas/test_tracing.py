"""Spans where OpenTelemetry is in use, and nothing where it is not."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from learning_schemas.tracing import span

CAUSE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(otel, "get_tracer", provider.get_tracer)
    monkeypatch.setattr(otel, "get_tracer_provider", lambda: provider)
    yield kept
    provider.shutdown()


def test_given_no_opentelemetry_in_the_process_then_there_is_no_trace_and_nothing_is_imported_for_it() -> None:
    code = (
        "import sys; from learning_schemas.tracing import span\n"
        "with span('a', parent='x', links=['y']) as trace: trace.note(b=1); trace.failed('c'); print(trace.traceparent)\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout.split("\n")[:2] == ["None", "[]"]


def test_given_opentelemetry_that_records_nothing_when_traced_then_no_span_is_made_unless_somebodys_trace_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    tracer = otel.get_tracer("tests")
    monkeypatch.setattr(otel, "get_tracer", lambda name: made.append(name) or tracer)
    with span("a") as trace:
        assert (trace.traceparent, made) == (None, [])

    remote = otel.SpanContext(1, 2, is_remote=True, trace_flags=otel.TraceFlags(1))
    with otel.use_span(otel.NonRecordingSpan(remote)), span("a") as trace:
        assert trace.traceparent == f"00-{1:032x}-{2:016x}-01"


def test_given_a_cause_when_traced_then_the_span_is_in_its_trace_and_names_itself_for_what_follows(
    spans: InMemorySpanExporter,
) -> None:
    with span("learning.extract", "consumer", parent=CAUSE, links=[CAUSE, None, "no"]) as traced:
        traced.note(learning__events=2, learning__outcome=None)

    (kept,) = spans.get_finished_spans()
    assert kept.context is not None
    assert kept.parent is not None
    assert (f"{kept.context.trace_id:032x}", f"{kept.parent.span_id:016x}") == tuple(CAUSE.split("-")[1:3])
    assert traced.traceparent == f"00-{kept.context.trace_id:032x}-{kept.context.span_id:016x}-01"
    assert dict(kept.attributes or {}) == {"learning.events": 2}
    assert len(kept.links) == 1


@pytest.mark.parametrize(
    "malformed",
    ["", "x", "00-1-2-3", CAUSE.replace("0af7", "zzzz"), "ff" + CAUSE[2:], "00-" + "0" * 32 + "-b7ad6b7169203331-01"],
)
def test_given_a_malformed_cause_when_traced_then_the_span_begins_a_trace(
    spans: InMemorySpanExporter, malformed: str
) -> None:
    with span("learning.intake", parent=malformed):
        pass

    (kept,) = spans.get_finished_spans()
    assert kept.parent is None


def test_given_an_error_when_traced_then_only_its_kind_is_told(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="Kestrel"), span("learning.commit"):
        raise ValueError("Kestrel")

    (kept,) = spans.get_finished_spans()
    assert (kept.status.description, dict(kept.attributes or {}), kept.events) == (
        "ValueError",
        {"error.type": "ValueError"},
        (),
    )
