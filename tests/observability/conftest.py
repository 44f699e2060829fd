"""A house of cycles by Claude that is watched: its metrics are counted, and its traces go to a real OTLP receiver."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from domain.cycle import CycleStatus
from observability.metrics import Metrics
from observability.propagation import Propagation
from observability.tracing import tracing
from observability.watching import Observer
from tests.claude.house import ClaudeHouse, Cycle, claude_house

from .otlp_receiver import ReceivedSpan, Receiver, receiving


@dataclass(frozen=True)
class Watched:
    """A house, and what is seen of it."""

    house: ClaudeHouse
    observer: Observer
    receiver: Receiver

    async def trace_of(self, status: CycleStatus) -> list[ReceivedSpan]:
        """The spans of an ended cycle, once all have come that were made."""
        assert status.trace
        assert self.observer.tracing
        await asyncio.to_thread(self.observer.tracing.provider.force_flush)
        await until(lambda: any(span.span_id == status.trace.span_id for span in self.receiver.spans))
        return self.receiver.of(status.trace.trace_id)

    async def ended(self, cycle: Cycle) -> CycleStatus:
        """How it ended, whatever way."""
        await asyncio.wait([asyncio.ensure_future(cycle.result())], timeout=60)
        return await self.house.status(cycle)


async def until(condition, seconds: float = 30) -> None:
    """Wait for what has to become true."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver, which the variables name."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield receiver


@asynccontextmanager
async def watched_house(env: WorkflowEnvironment, root: Path, receiver: Receiver) -> AsyncIterator[Watched]:
    """A house without workers, for a test to bring its own."""
    traces = tracing()
    assert traces
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, traces.close)
        client = await Client.connect(
            env.client.service_client.config.target_host,
            namespace=env.client.namespace,
            data_converter=pydantic_data_converter,
            interceptors=[Propagation(traces.keeps)],
        )
        house = await stack.enter_async_context(claude_house(client, root, staffed=False))
        yield Watched(house, Observer(Metrics(), traces), receiver)
