"""How a trace's context goes along: from the starter to the workflow, and from there to each activity.

Always on, also where no trace is kept: logs carry the trace's id. It costs one header a message, and it changes nothing
that a replay would see. The SDK's OpenTelemetry plugin would do the same and more, but its spans inside a workflow draw
from the workflow's random numbers, so that a worker with it and one without it would go on differently; and what a
worker was about to export when it died is lost. So the cycle's own spans are written at its end (observability.spans).
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import client, worker, workflow
from temporalio.api.common.v1 import Payload

from domain.trace import HEADER, UNDECIDED
from domain.turns import FundedTurn

ATTEMPT_HEADER = "research-attempt"
"""The number of this attempt at a job, or at a turn of a conversation, where the cycle makes them itself: to Temporal
each one is the first.
"""

_W3C = TraceContextTextMapPropagator()

_attempt: ContextVar[int | None] = ContextVar("attempt", default=None)

Sampler = Callable[[int], bool]
"""Whether a trace that nobody has decided on is kept, by its id."""


def attempt_by_the_cycle() -> int | None:
    """Inside an activity: the number of this attempt, where its cycle counts them."""
    return _attempt.get()


class Propagation(client.Interceptor, worker.Interceptor):
    """For a client that starts cycles, and workers that run them. sampler: as this process's tracing decides."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._sampler = sampler

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:
        """Starts carry the context of the caller's span."""
        return _Starts(next)

    def intercept_activity(self, next: worker.ActivityInboundInterceptor) -> worker.ActivityInboundInterceptor:
        """An activity runs in the context that it was given."""
        return _Activities(next, self._sampler)

    def workflow_interceptor_class(
        self,
        input: worker.WorkflowInterceptorClassInput,
    ) -> type[worker.WorkflowInboundInterceptor]:
        """A workflow that has a trace hands it to its activities."""
        return _Workflows


class _Starts(client.OutboundInterceptor):
    async def start_workflow(self, input: client.StartWorkflowInput) -> client.WorkflowHandle[Any, Any]:
        return await super().start_workflow(dataclasses.replace(input, headers=_with_present(input.headers)))

    async def start_update_with_start_workflow(
        self,
        input: client.StartWorkflowUpdateWithStartInput,
    ) -> client.WorkflowUpdateHandle[Any]:
        start = input.start_workflow_input
        traced = dataclasses.replace(start, headers=_with_present(start.headers))
        return await super().start_update_with_start_workflow(dataclasses.replace(input, start_workflow_input=traced))


class _Workflows(worker.WorkflowInboundInterceptor):
    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        super().init(_Scheduling(outbound))


class _Scheduling(worker.WorkflowOutboundInterceptor):
    def __init__(self, next: worker.WorkflowOutboundInterceptor) -> None:
        super().__init__(next)
        self._made: dict[tuple[bytes, str, int | None], int] = {}

    def start_activity(self, input: worker.StartActivityInput) -> workflow.ActivityHandle[Any]:
        header: bytes | None = getattr(workflow.instance(), "trace_header", None)
        if header is None:
            return super().start_activity(input)
        turn = input.args[0].turn if input.args and isinstance(input.args[0], FundedTurn) else None
        work = (header, input.activity, turn)
        made = self._made[work] = self._made.get(work, 0) + 1
        headers = {**input.headers, HEADER: _json(header), ATTEMPT_HEADER: _json(str(made).encode())}
        return super().start_activity(dataclasses.replace(input, headers=headers))

    def start_local_activity(self, input: worker.StartLocalActivityInput) -> workflow.ActivityHandle[Any]:
        header: bytes | None = getattr(workflow.instance(), "trace_header", None)
        if header is None:
            return super().start_local_activity(input)
        headers = {**input.headers, HEADER: _json(header)}
        return super().start_local_activity(dataclasses.replace(input, headers=headers))


class _Activities(worker.ActivityInboundInterceptor):
    def __init__(self, next: worker.ActivityInboundInterceptor, sampler: Sampler | None) -> None:
        super().__init__(next)
        self._sampler = sampler

    async def execute_activity(self, input: worker.ExecuteActivityInput) -> object:
        with _inside(input.headers, self._sampler):
            return await super().execute_activity(input)


@contextmanager
def _inside(headers: Mapping[str, Payload], sampler: Sampler | None) -> Iterator[None]:
    carrier = _decoded(headers.get(HEADER))
    told = _decoded(headers.get(ATTEMPT_HEADER))
    counted = _attempt.set(told if isinstance(told, int) else None)
    attached = context.attach(_context(carrier if isinstance(carrier, dict) else {}, sampler))
    try:
        yield
    finally:
        context.detach(attached)
        _attempt.reset(counted)


def _context(carrier: dict[str, Any], sampler: Sampler | None) -> context.Context:
    found = _W3C.extract({key: value for key, value in carrier.items() if isinstance(value, str)})
    span = trace.get_current_span(found).get_span_context()
    if not span.is_valid or UNDECIDED not in carrier or sampler is None or sampler(span.trace_id):
        return found
    dropped = SpanContext(span.trace_id, span.span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.DEFAULT))
    return trace.set_span_in_context(NonRecordingSpan(dropped), found)


def _with_present(headers: Mapping[str, Payload]) -> Mapping[str, Payload]:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return {**headers, HEADER: _json(json.dumps(carrier).encode())} if carrier else headers


def _json(data: bytes) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=data)


def _decoded(payload: Payload | None) -> object:
    """What a header holds; None where it is none, or not JSON."""
    if payload is None:
        return None
    try:
        return json.loads(payload.data)
    except (ValueError, RecursionError):
        return None
