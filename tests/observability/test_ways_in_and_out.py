"""A trace from the command that starts a cycle to the calls that its service gets; and what a log line tells."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio import activity, workflow
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from client.cycles import start_cycle
from client.exits import CommandError, ExitCode
from domain.cycle import CYCLE_WORKFLOW, AdmissionState, CycleRequest, DesignerKind
from domain.ledger import BUDGET_WORKFLOW
from engine.interface import Places
from engine.service.client import Service
from engine.service.engine import ServiceEngine
from observability import names, spans
from observability.logging import JsonLines, Lines, Where, configure
from settings import Settings
from tests.claude.fake_api import KEY, Asked, Refuses, Says
from tests.claude.house import usual
from tests.metered.house import OPEN_GATES
from tests.service.fake_ktrdr import fake_ktrdr

from .conftest import Watched, watched_house
from .otlp_receiver import Receiver
from .test_traces import CHAT, DESIGN, only, tree

TRAINING, BACKTEST = names.PHASE_SPANS["training"], names.PHASE_SPANS["backtesting"]


@pytest.fixture
async def watched(temporal_env: WorkflowEnvironment, tmp_path: Path, receiver: Receiver) -> AsyncIterator[Watched]:
    async with watched_house(temporal_env, tmp_path, receiver) as watched:
        yield watched


async def test_each_call_of_a_service_is_a_span_of_its_phase(watched: Watched) -> None:
    assert watched.observer.tracing
    root = watched.house.root
    places = Places(artifacts=root / "artifacts", strategies=root / "strategies", data=root / "data")
    async with (
        fake_ktrdr() as ktrdr,
        Service(ktrdr.url, traces=watched.observer.tracing.provider) as service,
        watched.house.working(ServiceEngine(service, places, None, 0.02), observer=watched.observer),
    ):
        status = await watched.ended(await watched.house.start())
        spans = await watched.trace_of(status)
    by_id = {span.span_id: span.name for span in spans}
    calls = [
        (by_id[span.parent_id], span.attributes["http.request.method"], span.attributes["http.response.status_code"])
        for span in spans
        if "http.request.method" in span.attributes and not span.name.startswith(("chat", "anthropic"))
    ]
    # A training is looked for by its id before it is started.
    assert {(method, code) for _, method, code in calls} == {("POST", 200), ("GET", 200), ("GET", 404)}
    assert {phase for phase, _, _ in calls} == {TRAINING, BACKTEST}
    assert len([call for call in calls if call[1] == "POST"]) == ktrdr.started == 2


@pytest.fixture
def settings(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return Settings(home=watched.house.root, task_queue=watched.house.scope, model="sonnet")


def a_request(scope: str) -> CycleRequest:
    return CycleRequest(
        symbol="EURUSD", timeframe="1h", designer=DesignerKind.CLAUDE, thresholds=OPEN_GATES, budget_scope=scope
    )


async def test_a_start_by_the_command_is_the_root_of_the_cycles_trace(watched: Watched, settings: Settings) -> None:
    async with watched.house.working(observer=watched.observer):
        started = await start_cycle(watched.house.client, settings, a_request(watched.house.scope))
        status = await watched.ended(watched.house.client.get_workflow_handle(started.cycle_id))
        spans = await watched.trace_of(status)
    assert (names.CYCLE_SPAN, names.START_SPAN) in tree(spans)
    assert only(spans, names.START_SPAN).parent_id == ""
    assert all(parent != "orphan" for _, parent in tree(spans))


async def test_a_trace_that_its_starter_does_not_keep_is_kept_by_no_worker(
    watched: Watched, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    async with watched.house.working(observer=watched.observer):
        started = await start_cycle(watched.house.client, settings, a_request(watched.house.scope))
        status = await watched.ended(watched.house.client.get_workflow_handle(started.cycle_id))
        assert status.trace
        assert status.trace.sampled is False
        assert watched.observer.tracing
        await asyncio.to_thread(watched.observer.tracing.provider.force_flush)
    assert watched.receiver.spans == []


async def test_variables_that_ask_for_what_is_not_here_are_told_by_name(
    watched: Watched, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    async with watched.house.working():
        with pytest.raises(CommandError, match="OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'") as refused:
            await start_cycle(watched.house.client, settings, a_request(watched.house.scope))
    assert refused.value.exit_code is ExitCode.CONFIGURATION


async def test_a_collector_that_is_away_costs_a_start_a_line_and_not_its_cycle(
    watched: Watched, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(spans._SELDOM, "_next", 0.0)
    async with watched.house.working():
        started = await start_cycle(watched.house.client, settings, a_request(watched.house.scope))
        assert started.admission.state is AdmissionState.GRANTED
        await watched.ended(watched.house.client.get_workflow_handle(started.cycle_id))
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if line.startswith("this command may be missing in the cycle's trace: ")] == said
    assert len(said) == 1


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Everything that is logged, as a file gets it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    handler.addFilter(Where())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


async def test_a_line_tells_its_cycle_phase_attempt_and_trace_and_no_secret(
    watched: Watched, lines: io.StringIO
) -> None:
    async def script(asked: Asked) -> Says | Refuses:
        return Refuses(529, "overloaded_error", headers=(("retry-after-ms", "5"),)) if asked.nth == 1 else usual(asked)

    watched.house.api.script = script
    async with watched.house.working(observer=watched.observer):
        status = await watched.ended(await watched.house.start())
    written = lines.getvalue()
    assert KEY not in written
    asking = [line for line in map(json.loads, written.splitlines()) if line["message"].startswith("asking")]
    assert status.trace
    for line in asking:
        assert (line["cycle"], line["run_id"], line["trace_id"]) == (
            status.cycle_id,
            status.run_id,
            status.trace.trace_id,
        )
    assert [(line["phase"], line["attempt"]) for line in asking] == [
        *(("designing", attempt) for attempt in (1, 2, 1, 1)),  # of three turns, the first in two attempts
        *(("assessing", attempt) for attempt in (1, 1)),
    ]


async def test_a_line_of_an_activity_tells_where_it_is_once(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)  # the handlers stay the tests'
    monkeypatch.setattr(activity.logger, "activity_info_on_message", True)
    monkeypatch.setattr(workflow.logger, "workflow_info_on_message", True)
    configure()
    environment = ActivityEnvironment()
    for workflow_type in (CYCLE_WORKFLOW, BUDGET_WORKFLOW):
        environment.info = replace(environment.info, workflow_id="its-id", workflow_type=workflow_type)
        environment.run(lambda: activity.logger.warning("the service is slow"))
    of_cycle, of_ledger = map(json.loads, lines.getvalue().splitlines())
    assert (of_cycle["message"], of_cycle["cycle"]) == ("the service is slow", "its-id")
    assert (of_ledger["workflow"], of_ledger.get("cycle")) == ("its-id", None)


def test_for_people_a_line_names_the_cycle_behind_the_message() -> None:
    record = logging.LogRecord("engine", logging.WARNING, "x.py", 1, "the service is slow", None, None)
    record.where = {"cycle": "cycle-1", "phase": "training", "attempt": 2, "trace_id": "abc"}
    assert Lines().format(record)[9:] == "WARNING the service is slow  [cycle-1 training attempt 2]"


async def test_a_trace_holds_no_prompt_no_answer_and_no_key(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE", "content")
    async with watched.house.working(observer=watched.observer):
        status = await watched.ended(await watched.house.start(brief="the owl is in the barn"))
        spans = await watched.trace_of(status)
    assert (CHAT, DESIGN) in tree(spans)
    said = json.dumps([span.attributes for span in spans], default=str)
    assert not [word for word in ("the owl", "So be it", KEY) if word in said]
    assert all("traceparent" not in asked.headers for asked in watched.house.api.asked)
