"""The stories in which the work is done by a service, and the worker that waits for it dies."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError

from domain.cycle import CycleStatus, Outcome, Phase
from tests.service.fake_ktrdr import FakeKtrdr, Fault, fake_ktrdr
from workflows.policies import Policies

from .armed_worker import Kind
from .house import Cycle, House, hasty, house_in, rows
from .scenarios import PATIENCE, Doom, begun_and_ended, cancelled, finished, nothing_left, until

TELLS_NOBODY = {"ServiceEngine.backtest.<locals>.post", "Service.start_backtest"}
"""Where a backtest may have begun of whose id, which the service gives, nobody has heard: another one is begun."""


@dataclass
class Site:
    """A house whose work is done at a service, and the worker that dies while it waits for it."""

    doom: Doom
    house: House
    ktrdr: FakeKtrdr
    worker: asyncio.subprocess.Process
    living: AsyncExitStack

    async def survived(self, meanwhile: Coroutine[Any, Any, Any]) -> Any:
        """What this gives, which goes on while the worker dies and another one follows it."""
        going = await self.doom.met(self.worker, meanwhile)
        self.ktrdr.gate.set()
        await self.living.enter_async_context(self.house.at_service(self.ktrdr.url))
        return await asyncio.wait_for(going, PATIENCE)

    async def in_training(self) -> Cycle:
        """A cycle whose training runs at the service, for ever."""
        self.ktrdr.polls = None
        cycle, _ = await self.house.start(finished(self.house))
        await until(lambda: any(op.polls for op in self.ktrdr.ops.values()))
        return cycle


@asynccontextmanager
async def _site(doom: Doom, active: int = 3) -> AsyncIterator[Site]:
    async with (
        house_in(doom.root, doom.bench.client, active) as house,
        house.orchestrator(),
        fake_ktrdr() as ktrdr,
        AsyncExitStack() as living,
        doom.worker(Kind.SERVICE, house.settings.task_queue, ktrdr.url) as worker,
    ):
        yield Site(doom, house, ktrdr, worker, living)


async def service(doom: Doom) -> None:
    """A whole cycle, at a service that is busy, does not listen, fails and is slow before it works well."""
    async with _site(doom) as site:
        site.ktrdr.faults |= {"poll": [Fault.ERROR, Fault.HANG], "start": [Fault.BUSY, Fault.NO_START]}
        status: CycleStatus = await site.survived(begun_and_ended(site.house, finished(site.house)))
        _as_told(status, site.ktrdr)
        trainings = [site.ktrdr.starts[op.id] for op in site.ktrdr.of("training")]
        assert trainings == [1]
        assert len(site.ktrdr.of("backtest")) <= (2 if doom.place.function in TELLS_NOBODY else 1)
        await nothing_left(site.house, status, trainings=0)


async def service_forgets(doom: Doom) -> None:
    """A service that loses the training in the middle, which is begun again once."""
    async with _site(doom) as site:
        cycle = await site.in_training()

        async def lost() -> CycleStatus:
            site.ktrdr.lose()
            site.ktrdr.release()
            await cycle.result()
            status = site.house.store.get(cycle.id)
            assert status
            return status

        status = await site.survived(lost())
        _as_told(status, site.ktrdr)
        assert [site.ktrdr.starts[op.id] for op in site.ktrdr.of("training")] == [2]
        await nothing_left(site.house, status, trainings=0)


async def service_cancelled(doom: Doom) -> None:
    """A cycle is cancelled in mid-training, and the service does not end it at the first word."""
    async with _site(doom) as site:
        cycle = await site.in_training()
        site.ktrdr.faults["delete"] = [Fault.ERROR]
        status = await site.survived(cancelled(site.house, cycle))
        [training] = site.ktrdr.of("training")
        assert training.status == "cancelled" or training.id in (status.reason or "")
        await _is_cancelled(site.house, status)


async def service_withdrawn(doom: Doom) -> None:
    """A cycle is cancelled between two attempts at its training, which still runs at a service that was away."""
    async with _site(doom) as site:
        site.ktrdr.polls = None
        cycle = await site.house.begin(finished(site.house), _slow_to_train_again())
        await until(lambda: any(op.polls for op in site.ktrdr.ops.values()))
        await site.ktrdr.stop()
        await site.house.until(cycle, lambda status: "the next attempt" in (status.waiting_for or ""))
        await site.ktrdr.listen()
        status = await site.survived(cancelled(site.house, cycle))
        [training] = site.ktrdr.of("training")
        assert training.status == "cancelled"
        assert status.reason == "enough"
        await _is_cancelled(site.house, status)


def _slow_to_train_again() -> Policies:
    policies = hasty()
    later = {"first_retry": timedelta(hours=1), "longest_retry": timedelta(hours=1)}
    return policies.model_copy(
        update={
            "train": policies.train.model_copy(update=later),
            "withdraw": policies.withdraw.model_copy(update={"heartbeat": policies.train.heartbeat}),
        }
    )


async def service_cancelled_as_it_starts(doom: Doom) -> None:
    """A cycle is cancelled while the service is asked to begin its training."""
    async with _site(doom) as site:
        site.ktrdr.faults["start"] = [Fault.GATE]
        cycle, _ = await site.house.start(finished(site.house))
        await until(lambda: bool(site.ktrdr.started))
        status = await site.survived(cancelled(site.house, cycle))
        [training] = site.ktrdr.of("training")
        assert training.status == "cancelled" or training.id in (status.reason or "")
        await _is_cancelled(site.house, status)


async def service_says_no(doom: Doom) -> None:
    """A service that takes our token no more in mid-training: the work there cannot be followed, nor be ended."""
    async with _site(doom) as site:
        cycle = await site.in_training()

        async def refused() -> CycleStatus:
            site.ktrdr.token = "another one"
            with pytest.raises(WorkflowFailureError):
                await cycle.result()
            status = site.house.store.get(cycle.id)
            assert status
            return status

        status = await site.survived(refused())
        [training] = site.ktrdr.of("training")
        assert (status.outcome, status.stopped_in) == (Outcome.FAILED, Phase.TRAINING)
        assert f"Operation {training.id} may still run there" in (status.reason or "")
        await nothing_left(site.house, status, trainings=0)


async def service_terminated(doom: Doom) -> None:
    """A cycle is terminated in mid-training; another one gets its place."""
    async with _site(doom, active=1) as site:
        terminated = await site.in_training()
        await terminated.terminate("as by a person in the Web UI")

        async def another() -> CycleStatus:
            return await begun_and_ended(site.house, finished(site.house).model_copy(update={"queue": True}))

        going = asyncio.ensure_future(another())
        # What runs for the terminated one must not come to its end before that is heard of.
        await until(lambda: site.ktrdr.of("training")[0].status == "cancelled" or doom.marker.exists())
        await until(lambda: len(site.ktrdr.of("training")) == 2 or doom.marker.exists())
        site.ktrdr.release()
        status = await site.survived(_result(going))
        _as_told(status, site.ktrdr)
        assert [site.ktrdr.starts[op.id] for op in site.ktrdr.of("training")] == [1, 1]
        await nothing_left(site.house, status, trainings=0)
        assert rows(site.house.store, terminated.id) == 1


async def _result(task: "asyncio.Task[CycleStatus]") -> CycleStatus:
    return await task


def _as_told(status: CycleStatus, ktrdr: FakeKtrdr) -> None:
    """The cycle is complete, with what the service told of its work."""
    assert status.outcome is Outcome.COMPLETED
    assert status.training
    assert status.backtest
    assert status.training.model_id in ktrdr.ops
    assert status.training.epochs == ktrdr.summary["training_metrics"]["epochs_completed"]
    assert status.backtest.sharpe_ratio == ktrdr.metrics["sharpe_ratio"]
    assert status.backtest.total_trades == ktrdr.metrics["total_trades"]


async def _is_cancelled(house: House, status: CycleStatus) -> None:
    assert (status.outcome, status.stopped_in) == (Outcome.CANCELLED, Phase.TRAINING)
    assert (status.reason or "").startswith("enough")
    await nothing_left(house, status, trainings=0)
