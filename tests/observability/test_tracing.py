"""When traces are written, and the ids of a cycle's spans."""

import dataclasses
import json
import logging
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.api.common.v1 import Payload
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from domain.errors import ErrorCode
from domain.trace import HEADER, UNDECIDED, Trace
from observability import names
from observability.metrics import Metrics
from observability.propagation import Propagation
from observability.spans import Tracing
from observability.tracing import tracing, wanted
from observability.watching import Observer
from settings import PROJECT

from .otlp_receiver import Receiver

STARTER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("variables", "on"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "mine"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
    ],
)
def test_traces_are_written_where_the_standard_variables_ask_for_it(variables: dict[str, str], on: bool) -> None:
    assert wanted(variables) is on


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin'"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "PROTOCOL is 'grpc'"),
    ],
)
def test_what_is_not_here_is_refused_by_name(variables: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        wanted(variables)


def test_without_the_variables_not_even_the_sdk_is_imported() -> None:
    code = "import sys, worker; from observability.tracing import tracing; assert tracing() is None; "
    code += "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    clean = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=clean, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_cycle_joins_its_starters_trace() -> None:
    trace = Trace.of("run", json.dumps({"traceparent": STARTER}).encode())
    assert (trace.trace_id, trace.parent_id, trace.sampled) == (STARTER[3:35], STARTER[36:52], True)
    assert json.loads(trace.header(trace.span_id)) == {"traceparent": f"00-{trace.trace_id}-{trace.span_id}-01"}


def test_without_a_starter_a_cycle_has_a_trace_of_its_own_on_which_each_worker_decides_alike() -> None:
    trace = Trace.of("run", None)
    assert trace == Trace.of("run", None) != Trace.of("another", None)
    assert (trace.parent_id, trace.sampled) == (None, None)
    assert UNDECIDED in json.loads(trace.header(trace.span_id))


def test_each_time_in_a_phase_has_a_span_of_its_own_that_stays_the_same() -> None:
    trace = Trace.of("run", None)
    ids = trace.phase_ids(["queued", "designing", "queued", "designing", "training"])
    assert len({*ids, trace.span_id}) == 6
    assert trace.phase_ids(["queued", "designing"]) == ids[:2]


@given(st.binary(max_size=300) | st.text().map(lambda text: json.dumps({"traceparent": text}).encode()))
def test_a_header_that_is_none_is_nobodys(header: bytes) -> None:
    assert Trace.of("run", header) == Trace.of("run", None)


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 9_000,
        b'{"traceparent": "' + b"0" * 20_000 + b'"}',
        json.dumps({"traceparent": STARTER.replace(STARTER[3:35], "0" * 32)}).encode(),
        json.dumps({"traceparent": STARTER.replace(STARTER[36:52], "0" * 16)}).encode(),
        json.dumps({"traceparent": [STARTER]}).encode(),
        json.dumps([STARTER]).encode(),
    ],
)
def test_what_looks_like_a_header_and_is_none_is_nobodys_too(header: bytes) -> None:
    assert Trace.of("run", header) == Trace.of("run", None)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318", "OTEL_EXPORTER_OTLP_ENDPOINT is no address"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon", "OTEL_BSP_SCHEDULE_DELAY is 'soon'"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0", "OTEL_BSP_SCHEDULE_DELAY is '0'"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9999", r"cannot use its OTEL_\* variables: max_export_batch_size"),
    ],
)
def test_values_that_cannot_be_used_are_told_by_name(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=said):
        tracing()


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, names.SERVICE),
        ({"OTEL_SERVICE_NAME": "mine"}, "mine"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=theirs,team=a"}, "theirs"),
    ],
)
def test_the_service_is_called_as_the_variables_say(
    variables: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "OTLP")
    for each in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(each, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    traces = tracing()
    assert traces
    traces.close()
    assert traces.provider.resource.attributes["service.name"] == name


class NeverShut(SpanProcessor):
    """A collector that hangs, as seen from here."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def shutdown(self) -> None:
        self.go.wait()


def test_a_collector_that_hangs_holds_a_process_no_longer_than_its_patience() -> None:
    hanging = NeverShut()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(hanging)
    closing = threading.Thread(target=Tracing(provider, 0.05).close)
    closing.start()
    closing.join(10)
    ended = not closing.is_alive()
    hanging.go.set()
    assert ended


def test_while_a_collector_is_away_the_log_tells_so_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    traces = tracing()
    assert traces
    traces.close()
    [seldom] = logging.getLogger(OTLPSpanExporter.__module__).filters
    assert isinstance(seldom, logging.Filter)
    monkeypatch.setattr(seldom, "_next", 0.0)
    now = time.time()
    lines = [logging.makeLogRecord({"created": now + seconds}) for seconds in (0, 1, 59, 61, 62)]
    assert [bool(seldom.filter(line)) for line in lines] == [True, False, False, True, False]


@pytest.fixture
def written() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(written: InMemorySpanExporter) -> Tracing:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(written))
    return Tracing(provider)


async def failing(observer: Observer, at_the_server: datetime, trace: Trace | None) -> None:
    """An attempt that fails, which the server says began then."""

    class Fails(ActivityInboundInterceptor):
        async def execute_activity(self, input: ExecuteActivityInput) -> object:  # noqa: A002 # by its name
            raise ApplicationError("broken", type=ErrorCode.TRAINING_FAILED.value)

    async def nothing() -> None:
        """Is never reached."""

    headers = {HEADER: Payload(data=trace.header(trace.span_id))} if trace else {}
    watched: ActivityInboundInterceptor = Fails(None)  # type: ignore[arg-type] # it asks no other
    for interceptor in (*observer.interceptors, Propagation()):
        watched = interceptor.intercept_activity(watched)
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(environment.info, started_time=at_the_server, activity_type="train")
    asked = ExecuteActivityInput(fn=nothing, args=[], executor=None, headers=headers)
    with pytest.raises(ApplicationError):
        await environment.run(watched.execute_activity, asked)


async def test_an_attempt_never_ends_before_it_began_whatever_the_servers_clock_says(
    traces: Tracing, written: InMemorySpanExporter
) -> None:
    trace = Trace.of("run", json.dumps({"traceparent": STARTER}).encode())
    await failing(Observer(Metrics(), traces), datetime.now(UTC) + timedelta(hours=1), trace)
    [attempt] = written.get_finished_spans()
    assert attempt.start_time
    assert attempt.end_time
    assert attempt.start_time <= attempt.end_time
    assert attempt.parent
    assert f"{attempt.parent.span_id:016x}" == trace.span_id


async def test_an_attempt_that_belongs_to_no_cycle_makes_no_trace_of_its_own(
    traces: Tracing, written: InMemorySpanExporter
) -> None:
    observer = Observer(Metrics(), traces)
    await failing(observer, datetime.now(UTC), None)
    assert written.get_finished_spans() == ()
    counted = {"phase": "training", "code": "training_failed"}
    assert observer.metrics.registry.get_sample_value("ktrdr_agent_errors_total", counted) == 1


def test_a_call_of_claude_whose_span_lacks_the_conventions_names_keeps_its_own(receiver: Receiver) -> None:
    traces = tracing()
    assert traces
    traces.provider.get_tracer("anthropic").start_span(names.GEN_AI_MESSAGES_SPAN).end()
    asked = {names.GEN_AI_OPERATION: "chat", names.GEN_AI_MODEL: "a-model"}
    traces.provider.get_tracer("anthropic").start_span(names.GEN_AI_MESSAGES_SPAN, attributes=asked).end()
    traces.close()
    assert {span.name for span in receiver.spans} == {names.GEN_AI_MESSAGES_SPAN, "chat a-model"}
