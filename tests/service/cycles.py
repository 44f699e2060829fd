"""Cycles on a real Temporal server whose trainings and backtests are done by the fake service."""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowFailureError

from domain.cycle import CycleStatus
from engine.service.client import Service
from engine.service.engine import ServiceEngine
from settings import PROJECT
from tests.chaos.house import Cycle, House, hasty
from worker import SHUTDOWN_PATIENCE, engine_worker, places
from workflows.policies import Policies
from workflows.research_cycle import ResearchCycleWorkflow

from .fake_ktrdr import FakeKtrdr

POLL = 0.02
PATIENCE = 60.0
ACTIVITY = {"training": "train", "backtest": "backtest"}
ENGINE = "from worker import Role, main; raise SystemExit(main(role=Role.ENGINE))"


@dataclass(frozen=True)
class Stage:
    """A house, the service that does its work, and the means to watch both."""

    house: House
    ktrdr: FakeKtrdr

    @asynccontextmanager
    async def worker(
        self, poll_interval: float = POLL, jobs: int = 2, patience: timedelta = SHUTDOWN_PATIENCE
    ) -> AsyncIterator[None]:
        """The worker of the house's engine jobs, in this process."""
        async with Service(self.ktrdr.url, SecretStr(self.ktrdr.token) if self.ktrdr.token else None) as service:
            engine = ServiceEngine(service, places(self.house.settings), None, poll_interval)
            async with engine_worker(self.house.client, self.house.settings.engine_queue, engine, jobs, patience):
                yield

    def hurried_worker(self) -> AbstractAsyncContextManager[None]:
        """The same, but when it stops it does not wait for what it has in hand."""
        return self.worker(patience=timedelta(0))

    @asynccontextmanager
    async def worker_process(self, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
        """The same as a user starts it, in a process that can be frozen and killed."""
        settings = self.house.settings
        environment = {
            "RESEARCH_HOME": str(settings.home),
            "RESEARCH_TASK_QUEUE": settings.task_queue,
            "TEMPORAL_ADDRESS": self.house.client.service_client.config.target_host,
            "TEMPORAL_NAMESPACE": self.house.client.namespace,
            "KTRDR_API_URL": self.ktrdr.url,
            "KTRDR_API_TOKEN": self.ktrdr.token or "",
            "KTRDR_POLL_INTERVAL": str(POLL),
        }
        with log.open("w") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", ENGINE),
                cwd=PROJECT,
                env=os.environ | environment,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=errors,
            )
        try:
            await until(lambda: "working on" in log.read_text() or process.returncode is not None)
            assert process.returncode is None, log.read_text()
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def polled(self, kind: str, more: int = 2) -> str:
        """Wait until the work of this kind runs at the service and is being watched; its operation's id."""
        await until(lambda: bool(self.ktrdr.of(kind)))
        op = self.ktrdr.of(kind)[-1]
        seen = op.polls
        await until(lambda: op.polls >= seen + more)
        return op.id

    async def attempts(self, cycle: Cycle, kind: str) -> int:
        """How many attempts at the work have been made so far."""
        return len(await self.asked(cycle, ACTIVITY[kind]))

    async def asked(self, cycle: Cycle, activity: str) -> list[ActivityTaskScheduledEventAttributes]:
        """Each time that the cycle has asked for this activity."""
        events = [event async for event in cycle.fetch_history_events()]
        asked = (event.activity_task_scheduled_event_attributes for event in events)
        return [one for one in asked if one.activity_type.name == activity]

    async def until_asked(self, cycle: Cycle, activity: str, times: int = 1) -> None:
        """Wait until the cycle has asked for this activity so often."""
        async with asyncio.timeout(PATIENCE):
            while len(await self.asked(cycle, activity)) < times:
                await asyncio.sleep(0.02)

    async def details(self, cycle: Cycle) -> str:
        """What the Web UI shows of the cycle."""
        return (await cycle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)).current_details

    async def told(self, cycle: Cycle, operation: str) -> None:
        """Wait until the server has the operation in a heartbeat."""
        async with asyncio.timeout(PATIENCE):
            while True:
                pending = (await cycle.describe()).raw_description.pending_activities
                if any(operation.encode() in one.data for of in pending for one in of.heartbeat_details.payloads):
                    return
                await asyncio.sleep(0.02)

    async def paused(self, cycle: Cycle) -> None:
        """Wait until an attempt has failed and the next one is not made yet."""
        async with asyncio.timeout(PATIENCE):
            while "the next attempt" not in ((await cycle.query(ResearchCycleWorkflow.status)).waiting_for or ""):
                await asyncio.sleep(0.02)

    async def reset(self, cycle: Cycle, kind: str) -> Cycle:
        """Reset the cycle, as a person does in the Web UI, to where it asked for this work last; the new run."""
        run_id = (await cycle.describe()).run_id
        point = (await self.asked(cycle, ACTIVITY[kind]))[-1].workflow_task_completed_event_id
        answer = await self.house.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=self.house.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=cycle.id, run_id=run_id),
                reason="as by a person in the Web UI",
                workflow_task_finish_event_id=point,
                request_id=str(uuid.uuid4()),
            )
        )
        return self.house.client.get_workflow_handle_for(ResearchCycleWorkflow.run, cycle.id, run_id=answer.run_id)

    async def end(self, cycle: Cycle) -> CycleStatus:
        """How the cycle has ended, as it says itself and the store too; the ledger holds nothing any more."""
        status = await self.end_of_run(cycle)
        balance = await self.house.balance()
        assert (balance.active, balance.waiting, balance.tokens_held) == ((), (), 0)
        return status

    async def end_of_run(self, cycle: Cycle) -> CycleStatus:
        """The same of one run; the ledger may not have missed an earlier one yet."""
        async with asyncio.timeout(PATIENCE):
            with suppress(WorkflowFailureError):
                await cycle.result()
        status = await cycle.query(ResearchCycleWorkflow.status)
        assert self.house.store.get(cycle.id) == status
        return status


def slow_to_try_again(**changes: object) -> Policies:
    """Policies with time for a cancel between two attempts, and these changes to those of the work."""
    policies = hasty()
    later = {"first_retry": timedelta(minutes=1), "longest_retry": timedelta(minutes=1), **changes}
    return policies.model_copy(
        update={name: getattr(policies, name).model_copy(update=later) for name in ("train", "backtest")}
    )


def left_to_others(operation: str) -> str:
    """What the log says of an attempt that was given up, and does not end what its successor may use."""
    return f"the operation {operation} is left to whoever goes on with it"


async def until(condition: Callable[[], bool]) -> None:
    """Wait until this is so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)
