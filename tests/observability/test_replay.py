"""Replay is silent: a history run again, ten times, on a worker that sees everything, changes no metric, writes no span
and no line.
"""

import logging
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from observability.metrics import Metrics
from observability.propagation import Propagation
from observability.tracing import tracing
from observability.watching import Observer
from workflows.research_cycle import ResearchCycleWorkflow

from .otlp_receiver import Receiver

HISTORIES = Path(__file__).parent.parent / "workflows" / "histories"
OURS = "ktrdr_agent_"


def counted(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """Every value of ours but the moments at which series were made."""
    return {
        (sample.name, str(sample.labels)): sample.value
        for family in registry.collect()
        for sample in family.samples
        if family.name.startswith(OURS) and not sample.name.endswith("_created")
    }


@pytest.mark.parametrize("name", ["completed", "claude_completed", "training_failed"])
async def test_a_history_that_is_replayed_ten_times_changes_nothing(
    name: str, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    history = WorkflowHistory.from_json(name, (HISTORIES / f"{name}.json").read_text())
    traces = tracing()
    assert traces
    observer = Observer(Metrics(), traces)
    before = counted(observer.metrics.registry)
    caplog.set_level(logging.INFO)
    try:
        for _ in range(10):
            await Replayer(
                workflows=[ResearchCycleWorkflow],
                data_converter=pydantic_data_converter,
                interceptors=[*observer.interceptors, Propagation(traces.keeps)],
            ).replay_workflow(history)
    finally:
        traces.close()
    assert counted(observer.metrics.registry) == before
    assert receiver.spans == []
    assert caplog.messages == []
