"""The spans of a cycle, written when it is recorded, and those of what happens meanwhile.

One trace a cycle, with the ids of domain.trace. A cycle's own span and its phases' are made of its record, by its own
times: so they are the same whichever workers it ran on, whoever of them died, and where it was terminated too. Should
the record be written twice, the same spans are sent twice, with the same ids.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from domain.cycle import CycleStatus, PhaseUsage
from domain.gates import GateResult
from domain.trace import Trace
from observability import names

SOON = 1000.0
"""Milliseconds until a span is sent, where OTEL_BSP_SCHEDULE_DELAY says nothing: what a killed worker had not sent yet
is lost.
"""

CLOSING = 5.0
"""Seconds that a process waits at its end for a collector to take what is left. One that hangs would hold it for half a
minute, and whoever stops it has less patience.
"""

_given: ContextVar[tuple[int, int] | None] = ContextVar("given ids", default=None)
"""Trace and span id of the span that is just being made, where a rule gives them."""

Attributes = dict[str, AttributeValue]


def exporting(delay: float | None, patience: float | None) -> "Tracing":
    """Tracing to where the variables say. delay: milliseconds until a span is sent. Raises ValueError."""
    logging.getLogger(OTLPSpanExporter.__module__).addFilter(_SELDOM)
    provider = TracerProvider(resource=_resource(), id_generator=_Ids(), shutdown_on_exit=False)
    provider.add_span_processor(_ClaudeCalls())
    exporter = OTLPSpanExporter(timeout=patience)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=delay or SOON))
    return Tracing(provider, patience or CLOSING)


def _resource() -> Resource:
    """As the variables say; our name where they give none."""
    given = Resource.create()
    unnamed = str(given.attributes.get("service.name", "")).startswith("unknown_service")
    return given.merge(Resource({"service.name": names.SERVICE})) if unnamed else given


class Tracing:
    """Writes spans. Safe to use from any thread. patience: seconds that its end may take."""

    def __init__(self, provider: TracerProvider, patience: float = CLOSING) -> None:
        self.provider = provider
        self._patience = patience
        self._tracer = provider.get_tracer(names.SERVICE)

    def close(self) -> None:
        """Send what is left. Blocks for as long as patience says; what nobody has taken by then is lost."""
        sending = threading.Thread(target=self.provider.shutdown, name="traces", daemon=True)
        sending.start()
        sending.join(self._patience)

    def keeps(self, trace_id: int) -> bool:
        """Whether a trace that nobody has decided on is kept."""
        return (
            self.provider.sampler.should_sample(None, trace_id, names.CYCLE_SPAN).decision is Decision.RECORD_AND_SAMPLE
        )

    @contextmanager
    def starting(self) -> Iterator[None]:
        """The span of who starts a cycle; the cycle's own belongs to it."""
        with self._tracer.start_as_current_span(names.START_SPAN):
            yield

    def attempt_failed(self, started_at: datetime, activity: str, attempt: int, code: str, message: str) -> None:
        """Write what ends now, in the present context. Of what belongs to no trace nothing is written."""
        if not trace.get_current_span().get_span_context().is_valid:
            return
        span = self._tracer.start_span(
            names.ATTEMPT_SPAN,
            start_time=_nanoseconds(started_at),
            attributes={names.ACTIVITY: activity, names.ATTEMPT: attempt},
        )
        _fail(span, code, message, datetime.now(UTC))
        span.end()

    def cycle_ended(self, cycle: CycleStatus) -> None:
        """Write the cycle's span and those of its phases. One that has not ended, or tells no trace, has none."""
        if cycle.trace is None or cycle.ended_at is None:
            return
        own = self._write(
            names.CYCLE_SPAN,
            cycle.trace.span_id,
            cycle.trace,
            _above(cycle.trace),
            (cycle.started_at, cycle.ended_at),
            of_cycle(cycle),
            cycle if cycle.failure else None,
        )
        beneath = trace.set_span_in_context(own, Context())
        for span_id, timing in zip(cycle.trace.phase_ids(t.phase for t in cycle.timings), cycle.timings, strict=True):
            if (name := names.PHASE_SPANS.get(timing.phase)) and timing.ended_at:
                failed = cycle.failure is not None and cycle.failure.phase is timing.phase
                self._write(
                    name,
                    span_id,
                    cycle.trace,
                    beneath,
                    (timing.started_at, timing.ended_at),
                    {names.PHASE: timing.phase.value, **_OF_PHASE[name](cycle)},
                    cycle if failed else None,
                )

    def _write(
        self,
        name: str,
        span_id: str,
        within: Trace,
        parent: Context,
        times: tuple[datetime, datetime],
        attributes: Attributes,
        failed: CycleStatus | None,
    ) -> trace.Span:
        began, ended = times
        given = _given.set((int(within.trace_id, 16), int(span_id, 16)))
        try:
            span = self._tracer.start_span(name, parent, attributes=attributes, start_time=_nanoseconds(began))
        finally:
            _given.reset(given)
        if failed and failed.failure:
            _fail(span, failed.failure.code.value, failed.failure.message, ended)
        span.end(_nanoseconds(ended))
        return span


def of_cycle(cycle: CycleStatus) -> Attributes:
    """What the cycle's own span tells."""
    told: Attributes = {names.OPERATION_ID: cycle.cycle_id}
    if cycle.outcome:
        told[names.OUTCOME] = cycle.outcome.value
    for gate in cycle.gates:
        told |= _of_gate(gate)
    return told


def _of_gate(gate: GateResult) -> Attributes:
    told: Attributes = {names.gate(gate.gate.value, "passed"): gate.passed}
    return told if gate.passed else {**told, names.gate(gate.gate.value, "reason"): gate.reason}


def _of_design(cycle: CycleStatus) -> Attributes:
    strategy: Attributes = {names.STRATEGY_NAME: cycle.strategy.name} if cycle.strategy else {}
    return {**strategy, **_tokens(cycle.usage.get("design"))}


def _of_training(cycle: CycleStatus) -> Attributes:
    if cycle.training is None:
        return {}
    return {
        names.TRAINING_ACCURACY: cycle.training.validation_accuracy,
        names.TRAINING_LOSS: cycle.training.validation_loss.final,
    }


def _of_backtest(cycle: CycleStatus) -> Attributes:
    if cycle.backtest is None:
        return {}
    figures = {names.BACKTEST_WIN_RATE: cycle.backtest.win_rate, names.BACKTEST_SHARPE: cycle.backtest.sharpe_ratio}
    return {name: value for name, value in figures.items() if value is not None}


def _of_assess(cycle: CycleStatus) -> Attributes:
    verdict: Attributes = {names.VERDICT: cycle.assessment.verdict.value} if cycle.assessment else {}
    return {**verdict, **_tokens(cycle.usage.get("assess"))}


_OF_PHASE = {
    names.PHASE_SPANS["designing"]: _of_design,
    names.PHASE_SPANS["training"]: _of_training,
    names.PHASE_SPANS["backtesting"]: _of_backtest,
    names.PHASE_SPANS["assessing"]: _of_assess,
}


def _tokens(usage: PhaseUsage | None) -> Attributes:
    return {names.TOKENS_INPUT: usage.prompt, names.TOKENS_OUTPUT: usage.output} if usage else {}


def _fail(span: trace.Span, code: str, message: str, at: datetime) -> None:
    span.set_attributes({names.ERROR_TYPE: code, names.ERROR_MESSAGE: message})
    exception = {names.EXCEPTION_TYPE: code, names.EXCEPTION_MESSAGE: message}
    span.add_event(names.EXCEPTION_EVENT, exception, _nanoseconds(at))
    span.set_status(Status(StatusCode.ERROR, f"{code}: {message}"))


def _above(within: Trace) -> Context:
    """The context in which the cycle's own span is made: its starter's, or none."""
    if within.parent_id is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if within.sampled else TraceFlags.DEFAULT)
    starter = SpanContext(int(within.trace_id, 16), int(within.parent_id, 16), is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(NonRecordingSpan(starter), Context())


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1_000


class _Ids(RandomIdGenerator):
    """By chance, except where a rule gives them."""

    def generate_trace_id(self) -> int:
        given = _given.get()
        return given[0] if given else super().generate_trace_id()

    def generate_span_id(self) -> int:
        given = _given.get()
        return given[1] if given else super().generate_span_id()


class _ClaudeCalls(SpanProcessor):
    """The anthropic SDK makes the span of each call itself, and names it after its own method; the conventions of
    generative AI name it by operation and model.
    """

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.name != names.GEN_AI_MESSAGES_SPAN:
            return
        # What isn't there is another version's: a call that is paid for must not fail of its name.
        told = [(span.attributes or {}).get(name) for name in (names.GEN_AI_OPERATION, names.GEN_AI_MODEL)]
        if all(told):
            span.update_name(" ".join(map(str, told)))


class _Seldom(logging.Filter):
    """Lets a line a minute pass: while a collector is away, the exporter has several to say of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.created < self._next:
            return False
        self._next = record.created + 60
        return True


_SELDOM = _Seldom()
