"""A worker process: settings -> client -> workers for workflows, activities and engine jobs, until it is told to stop.

Run as `python worker.py` or `research worker`. Any number of workers may run; killing one loses nothing.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from opentelemetry.trace import TracerProvider
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Interceptor, Worker

from activities.assess import AssessActivity
from activities.backtest import BacktestActivity
from activities.budget import BudgetActivities, ensure_budget
from activities.control import ControlActivities
from activities.design import DesignActivity
from activities.engine_job import Remote
from activities.heartbeat import INTERVAL
from activities.messages import MessageActivities
from activities.record import RecordActivities, Witness
from activities.train import TrainActivity
from activities.withdraw import WithdrawActivity
from client.connection import connect
from client.exits import CommandError, leave
from client.invocation import problems
from client.limits import tell_limits
from client.namespace import add_search_attributes
from domain.errors import ResearchError
from domain.ledger import LimitsChange
from engine.embedded import EmbeddedEngine
from engine.interface import Engine, Places
from engine.pool import JobPool
from observability import exposition
from observability import logging as logs
from observability.metrics import Metrics
from observability.propagation import Propagation
from observability.readings import Readings
from observability.tracing import tracing
from observability.watching import Observer
from settings import Settings
from store.cycles import Store
from store.strategies import StrategyFiles
from workflows.budget import BudgetWorkflow
from workflows.jobs import withdrawal_queue
from workflows.research_cycle import ResearchCycleWorkflow

if TYPE_CHECKING:
    from claude.call import Claude

SHUTDOWN_PATIENCE = timedelta(seconds=5)
"""How long activities may go on after SIGTERM before they are cancelled and picked up by another worker."""

AT_ONCE = timedelta(seconds=0.05)
"""How long the worker of engine jobs keeps a heartbeat back. A backtest's id, which the service gives, is told by one:
of a worker that is killed before it is out nobody knows what runs there. The regular beats are not closer for it."""

STICKY_TIMEOUT = timedelta(seconds=1)
"""A killed worker leaves its cached workflows silent for this long."""

JOBS_AT_SERVICE = 10
"""How many jobs one worker has waiting at a service. To wait takes no process and little memory, and the service says
itself when it has no free worker; but each of them polls and beats."""

WITHDRAWALS = 10
"""How many operations one worker ends at a time."""

log = logging.getLogger("worker")

Activity = Callable[..., Awaitable[object]]


class Role(StrEnum):
    """What a worker takes: everything, or one side, so that the two scale apart."""

    ALL = "all"
    ORCHESTRATOR = "orchestrator"
    ENGINE = "engine"


def orchestrator(
    client: Client, task_queue: str, activities: Sequence[Activity], interceptors: Sequence[Interceptor] = ()
) -> Worker:
    """The worker of workflows and of all activities but the engine's, some of which are local ones of the workflows."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[ResearchCycleWorkflow, BudgetWorkflow],
        activities=activities,
        interceptors=interceptors,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        max_heartbeat_throttle_interval=timedelta(seconds=INTERVAL),
        default_heartbeat_throttle_interval=timedelta(seconds=INTERVAL),
        graceful_shutdown_timeout=SHUTDOWN_PATIENCE,
    )


@asynccontextmanager
async def engine_worker(
    client: Client,
    task_queue: str,
    engine: Engine,
    processes: int,
    patience: timedelta = SHUTDOWN_PATIENCE,
    interceptors: Sequence[Interceptor] = (),
) -> AsyncIterator[None]:
    """Work on training and backtest, on a task queue of their own, so many jobs at once; and for an engine elsewhere on
    their withdrawal, which waits for none of them. patience: how long they may go on when the block ends.
    """
    async with contextlib.AsyncExitStack() as stack:
        if isinstance(engine, Remote):
            withdraws: list[Activity] = [WithdrawActivity(engine).withdraw]
            queue = withdrawal_queue(task_queue)
            ending = jobs_worker(client, queue, withdraws, WITHDRAWALS, patience, interceptors)
            await stack.enter_async_context(ending)
        works: list[Activity] = [TrainActivity(engine).train, BacktestActivity(engine).backtest]
        await stack.enter_async_context(jobs_worker(client, task_queue, works, processes, patience, interceptors))
        yield


def jobs_worker(
    client: Client,
    task_queue: str,
    activities: Sequence[Activity],
    at_once: int,
    patience: timedelta,
    interceptors: Sequence[Interceptor] = (),
) -> Worker:
    """A worker of these activities alone, so many at once."""
    return Worker(
        client,
        task_queue=task_queue,
        activities=activities,
        interceptors=interceptors,
        max_concurrent_activities=at_once,
        # One request for work at a time: while this process is frozen, each of them would swallow an attempt.
        max_concurrent_activity_task_polls=1,
        max_heartbeat_throttle_interval=AT_ONCE,
        default_heartbeat_throttle_interval=AT_ONCE,
        graceful_shutdown_timeout=patience,
    )


def orchestrator_activities(
    client: Client, settings: Settings, store: Store, claude: "Claude | None" = None, witness: Witness | None = None
) -> list[Activity]:
    """All activities but the engine's."""
    files = StrategyFiles(settings.strategies)
    records = RecordActivities(store, files, witness, settings.artifacts)
    budget = BudgetActivities(client, records)
    return [
        DesignActivity(store, files, places(settings), claude).design,
        AssessActivity(store, files, claude).assess,
        records.count_trials,
        records.inherit,
        records.record,
        ControlActivities(client).request_cancel,
        budget.ensure_budget,
        budget.describe_holders,
        MessageActivities(client).deliver_close,
    ]


def claude_at(
    settings: Settings, patience: float | None = None, traces: TracerProvider | None = None
) -> "Claude | None":
    """Claude, where there is a key for it; for the caller to close. patience: seconds for a call, else the usual."""
    key = settings.claude_key
    if key is None:
        return None
    from claude.call import PATIENCE, Claude  # with an SDK that takes longer to import than all the rest

    return Claude(key, settings.anthropic_base_url, patience or PATIENCE, traces)


def places(settings: Settings) -> Places:
    """Where this worker's engine reads and writes."""
    return Places(
        artifacts=settings.artifacts,
        strategies=settings.strategies,
        data=settings.data,
        cache=settings.home / "cache" / "features",
    )


@asynccontextmanager
async def working(
    client: Client, settings: Settings, role: Role = Role.ALL, observer: Observer | None = None
) -> AsyncIterator[None]:
    """Workers of the role, for as long as the block runs; then they finish or hand over what they hold."""
    interceptors = observer.interceptors if observer else []
    traces = observer.tracing.provider if observer and observer.tracing else None
    async with contextlib.AsyncExitStack() as stack:
        if role is not Role.ENGINE:
            await add_search_attributes(client)
            store = await asyncio.to_thread(Store.open, settings.store_url, migrate=True)
            stack.callback(store.close)
            try:
                await ensure_budget(client, settings.task_queue, settings.limits)
            except ResearchError as error:
                # Cycles that run need a worker all the same; only new ones wait for the ledger.
                log.error("%s", error)
            claude = claude_at(settings, traces=traces)
            if claude:
                stack.push_async_callback(claude.aclose)
            activities = orchestrator_activities(client, settings, store, claude, observer)
            await stack.enter_async_context(orchestrator(client, settings.task_queue, activities, interceptors))
            telling = asyncio.create_task(_tell_limits(client, settings.named_limits))
            stack.callback(telling.cancel)
        if role is not Role.ORCHESTRATOR:
            engine, jobs = await _engine(settings, stack, traces)
            works = engine_worker(client, settings.engine_queue, engine, jobs, interceptors=interceptors)
            await stack.enter_async_context(works)
        yield


async def _engine(
    settings: Settings, stack: contextlib.AsyncExitStack, traces: TracerProvider | None
) -> tuple[Engine, int]:
    """What does the work, for as long as the stack is open, and how many jobs it takes at once."""
    log.info("trainings and backtests are done %s", settings.backend)
    if settings.ktrdr_api_url is None:
        pool = stack.enter_context(JobPool(settings.engine_processes, settings.home / "cache" / "jax"))
        return EmbeddedEngine(pool, places(settings)), settings.engine_processes
    # Here, because only such a worker has any use for an HTTP client.
    from engine.service.client import Service
    from engine.service.engine import ServiceEngine
    from engine.service.periods import named_periods

    logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line a poll
    service = await stack.enter_async_context(Service(settings.ktrdr_api_url, settings.ktrdr_api_token, traces=traces))
    named = named_periods(
        (settings.training_start_date, settings.training_end_date),
        (settings.backtest_start_date, settings.backtest_end_date),
    )
    return ServiceEngine(service, places(settings), named, settings.ktrdr_poll_interval), JOBS_AT_SERVICE


async def _tell_limits(client: Client, named: LimitsChange) -> None:
    """Tell the ledger the settings' limits, in a task of its own, as the ledger may need this very worker to hear."""
    if news := await tell_limits(client, named):
        log.warning("%s", news)


async def serve(settings: Settings, role: Role = Role.ALL) -> None:
    """Work until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    settings.home.mkdir(parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        traces = tracing()
        if traces:
            stack.push_async_callback(asyncio.to_thread, traces.close)
        observer = Observer(Metrics(settings.prices), traces)
        client = await _observed(settings, observer, stack)
        await stack.enter_async_context(working(client, settings, role, observer))
        log.info("working on %s as %s, home %s", client.namespace, role.value, settings.home)
        await stop.wait()
        log.info("stopping: what runs has %s s to end, the rest goes on elsewhere", SHUTDOWN_PATIENCE.seconds)


async def _observed(settings: Settings, observer: Observer, stack: contextlib.AsyncExitStack) -> Client:
    """A client whose traces go along, and the page of metrics, served for as long as the stack is open."""
    propagation = Propagation(observer.tracing.keeps if observer.tracing else None)
    if settings.metrics_address is None:
        return await connect(settings, logs.runtime(), interceptors=[propagation])
    runtime, at = exposition.runtime_with_metrics()
    client = await connect(settings, runtime, interceptors=[propagation])
    registry = observer.metrics.registry
    registry.register(exposition.SdkMetrics(at))
    registry.register(Readings(client, asyncio.get_running_loop()))
    address = stack.enter_context(exposition.served(registry, settings.metrics_address))
    log.info("metrics on http://%s/metrics", address)
    return client


def main(settings: Settings | None = None, role: Role = Role.ALL) -> int:
    """The process. Exit code 0 after a stop, 4 for settings that do not fit, 6 where Temporal is not reachable."""
    logs.configure()
    try:
        asyncio.run(serve(settings or Settings(), role))
    except CommandError as error:
        log.error("%s\n  next: %s", error.message, error.next_step)
        return error.exit_code
    except RPCError as error:
        log.error("the Temporal server refused or did not answer: %s", error.message or error.status.name)
        return 6
    except (ResearchError, ValueError) as error:
        log.error("%s", problems(error))  # without the values, which may be secrets
        return 4
    return 0


if __name__ == "__main__":
    leave(main())
