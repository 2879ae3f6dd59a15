"""One OpenTelemetry trace for each job, from the request to the effect. The trace's id is the job's id.

So no context travels with the job: the API, the relay and the workers know the trace of a job from its id, also when
the relay publishes the job again a day later. Without `traces_url` OpenTelemetry is not imported and nothing recorded.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from uuid import UUID

Span = Callable[[str, str, bool], AbstractContextManager[object]]
_span: Span | None = None
HALF = 2**64 - 1  # a span's id is the second half of a trace's id for the job's first span


def span(name: str, job_id: str, *, first: bool = False) -> AbstractContextManager[object]:
    """A span in the trace of a job, for the time of the block. `first` is the span that all others are under."""
    return _span(name, job_id, first) if _span else nullcontext()


def trace(url: str, service: str) -> None:
    """From now on, send this process's spans to `url` (OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces)."""
    from opentelemetry.context import Context, get_current
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        get_current_span,
        set_span_in_context,
        use_span,
    )

    class Ids(RandomIdGenerator):
        """Random ids, but for a job's first span: its ids come from the job's id."""

        def generate_trace_id(self) -> int:
            return first_of.get() or super().generate_trace_id()

        def generate_span_id(self) -> int:
            return first_of.get() & HALF or super().generate_span_id()

    first_of = ContextVar("first_of", default=0)
    provider = TracerProvider(resource=Resource({"service.name": f"system-{service}"}), id_generator=Ids())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url, timeout=2), schedule_delay_millis=500))
    tracer = provider.get_tracer("system")

    @contextmanager
    def begin(name: str, job_id: str, first: bool) -> Iterator[None]:
        number = _number(job_id)
        root = SpanContext(number, number & HALF, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
        if first:
            context = Context()
        elif get_current_span().get_span_context().trace_id == number:
            context = get_current()
        else:
            context = set_span_in_context(NonRecordingSpan(root))
        token = first_of.set(number if first else 0)
        try:
            started = tracer.start_span(name, context, attributes={"job": job_id})
        finally:
            first_of.reset(token)
        with use_span(started, end_on_exit=True):
            yield

    global _span
    _span = begin


def _number(job_id: str) -> int:
    """The job's id as a number; a task that was sent past the store may have any id."""
    try:
        return UUID(job_id).int
    except ValueError:
        return UUID(bytes=job_id.encode()[:16].ljust(16, b"\0")).int
