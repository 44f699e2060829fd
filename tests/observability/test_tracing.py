"""When traces are written, and the ids of a cycle's spans."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.trace import UNDECIDED, Trace
from observability.tracing import wanted
from settings import PROJECT

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
