"""Traces: set up by the standard OTEL_* variables, and the spans of a cycle, written when it is recorded.

One trace a cycle, with the ids of domain.trace. A cycle's own span and its phases' are made of its record, by its own
times: so they are the same whichever workers it ran on, whoever of them died, and where it was terminated too. Should
the record be written twice, the same spans are sent twice, with the same ids.

With none of the variables set nothing is imported, exported or said.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from domain.cycle import CycleStatus, PhaseTiming
from domain.trace import Trace
from observability import names

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.util.types import AttributeValue

SOON = "1000"
"""Milliseconds until a span is sent, where OTEL_BSP_SCHEDULE_DELAY says nothing: what a killed worker had not sent yet
is lost.
"""

_ON = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")

_given: ContextVar[tuple[int, int] | None] = ContextVar("given ids", default=None)


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the variables ask for traces. Raises ValueError where they ask for what is not here."""
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    if not any(environment.get(name, "").strip() for name in _ON):
        return False
    protocol = (
        environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
        or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or "http/protobuf"
    )
    if exporter not in ("", "otlp") or protocol != "http/protobuf":
        raise ValueError(
            f"traces go out as OTLP over http/protobuf alone, and not as {exporter or protocol!r}: unset "
            "OTEL_TRACES_EXPORTER and OTEL_EXPORTER_OTLP_PROTOCOL, and name an endpoint that takes it (port 4318)"
        )
    return True


def tracing(environment: Mapping[str, str], patience: float | None = None) -> "Tracing | None":
    """The process's tracing, where the variables ask for it; to be closed in the end.

    patience: seconds that are waited for the collector at the most, where not the variables' or the default.
    Raises ValueError, as `wanted`.
    """
    if not wanted(environment):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {} if environment.get("OTEL_SERVICE_NAME") else {"service.name": names.SERVICE}
    provider = TracerProvider(resource=Resource.create(named), id_generator=_ids(), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(timeout=patience)
    delay = float(environment.get("OTEL_BSP_SCHEDULE_DELAY") or SOON)
    provider.add_span_processor(_claude_calls())
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=delay))
    return Tracing(provider)


class Tracing:
    """Writes spans. Safe to use from any thread; nothing here ever fails a cycle."""

    def __init__(self, provider: "TracerProvider") -> None:
        self.provider = provider
        self._tracer = provider.get_tracer("ktrdr.research")

    def close(self) -> None:
        """Send what is left. Blocks, at most as long as the exporter waits."""
        self.provider.shutdown()

    def keeps(self, trace_id: int) -> bool:
        """Whether a trace that nobody has decided on is kept."""
        return self.provider.sampler.should_sample(None, trace_id, names.CYCLE_SPAN).decision.is_sampled()

    @contextmanager
    def starting(self, cycle_id: str) -> Iterator[None]:
        """The span of who starts a cycle, which the cycle's own span then belongs to."""
        with self._tracer.start_as_current_span(names.START_SPAN, attributes={names.OPERATION_ID: cycle_id}):
            yield

    def cycle_ended(self, cycle: CycleStatus) -> None:
        """Write the cycle's span and those of its phases."""
        if cycle.trace is None or cycle.ended_at is None:
            return
        above = _above(cycle.trace)
        attributes = {names.OPERATION_ID: cycle.cycle_id, **_outcome(cycle)}
        self._write(names.CYCLE_SPAN, cycle.trace.span_id, cycle.trace, above, cycle.started_at, cycle.ended_at)(
            attributes, cycle
        )
        here = _beneath(cycle.trace, cycle.trace.span_id, self)
        ids = cycle.trace.phase_ids(timing.phase.value for timing in cycle.timings)
        for span_id, timing in zip(ids, cycle.timings, strict=True):
            if (name := names.PHASE_SPANS.get(timing.phase.value)) and timing.ended_at:
                failed = cycle if cycle.failure and cycle.failure.phase is timing.phase else None
                self._write(name, span_id, cycle.trace, here, timing.started_at, timing.ended_at)(
                    _of_phase(cycle, timing), failed
                )
