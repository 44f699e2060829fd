"""What cycles need, looked at piece by piece on the ways that production takes; nothing is changed, nothing spent."""

import asyncio
import os
import shutil
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.client import Client
from temporalio.service import RPCError

from client.budget import require_status
from client.connection import connect
from client.cycles import NEXT_WORKER
from client.exits import CommandError, ExitCode
from client.namespace import create_lines, is_polled, missing_search_attributes
from client.render_values import count, moment, plural
from domain.errors import ErrorCode, ResearchError
from domain.ledger import BudgetStatus
from domain.pricing import model_named, price_of
from domain.results import Frozen
from engine.bars import list_bars, unreadable_bars
from settings import Settings
from store.cycles import Store

LEAST_SPACE = 2**30
"""Bytes on the home's disk, below which it is told: histories, models and logs grow."""

LATELY = timedelta(seconds=90)
"""A worker that works asks for work once a minute at least; the server remembers one that has ended for longer."""


class State(StrEnum):
    """Of one piece. What is not used is told, and nothing has to be done; of a warning only some cycles suffer."""

    OK = "ok"
    WARNING = "warning"
    NOT_USED = "not used"
    TO_DO = "to do"


class Look(Frozen):
    """One piece. found: what is there, in words. mend: what to do. exit_code: the command's, where there is to do."""

    name: str
    state: State
    found: str
    mend: str | None = None
    exit_code: int = ExitCode.OK


class Examined(Frozen):
    """All looks, in the order in which things are to be mended."""

    looks: tuple[Look, ...]

    @property
    def to_do(self) -> tuple[Look, ...]:
        """Where something is."""
        return tuple(look for look in self.looks if look.state is State.TO_DO)


async def examine(settings: Settings) -> Examined:
    """Look at every piece."""
    groups = await asyncio.gather(
        asyncio.to_thread(_home, settings),
        _temporal(settings),
        asyncio.to_thread(_store, settings),
        asyncio.to_thread(_data, settings),
        _backend(settings),
        _claude(settings),
    )
    return Examined(looks=tuple(look for group in groups for look in group))


def _home(settings: Settings) -> tuple[Look, ...]:
    """Whether all that is written can be, by the nearest folder that is there."""
    there = next(each for each in (settings.home, *settings.home.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return (_to_do("home", f"{there} cannot be written to", "name another home with --home or RESEARCH_HOME"),)
    free = shutil.disk_usage(there).free
    found = f"{settings.home}, {free / 2**30:,.1f} GiB free"
    if free < LEAST_SPACE:
        return (_to_do("home", found, "make room, or name another home with --home or RESEARCH_HOME"),)
    return (_ok("home", found),)


async def _temporal(settings: Settings) -> tuple[Look, ...]:
    """The server, and where it answers what stands on it."""
    try:
        client = await connect(settings)
    except CommandError as error:
        return (_to_do("server", error.message, error.next_step, error.exit_code),)
    server = _ok("server", f"{client.service_client.config.target_host}, namespace {client.namespace!r}")
    found = [
        server,
        await _told("search attributes", _attributes(client)),
        await _told("workers", _workers(client, settings)),
    ]
    if found[-1].state is State.OK:  # else nobody answers for the ledger
        found.append(await _told("budget", _budget(client, settings)))
    return tuple(found)


async def _told(name: str, look: Awaitable[Look]) -> Look:
    """The look, or what kept us from it."""
    try:
        return await look
    except CommandError as error:
        return _to_do(name, error.message, error.next_step, error.exit_code)
    except RPCError as error:
        found = f"the Temporal server refused or did not answer: {error.message or error.status.name}"
        return _to_do(name, found, "look at the server's log", ExitCode.NO_TEMPORAL_OR_WORKER)


async def _attributes(client: Client) -> Look:
    missing = await missing_search_attributes(client)
    if not missing:
        return _ok("search attributes", "all there")
    lines = create_lines(client.namespace, missing)
    mend = f"`research setup`, where you may; else have somebody type\n{lines}"
    return _to_do("search attributes", f"missing: {', '.join(missing)}", mend)


async def _workers(client: Client, settings: Settings) -> Look:
    since = datetime.now(UTC) - LATELY
    sides = {
        "workflows": is_polled(client, settings.task_queue, since=since),
        "training and backtest": is_polled(
            client, settings.engine_queue, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY, since
        ),
    }
    polled = dict(zip(sides, await asyncio.gather(*sides.values()), strict=True))
    idle = [side for side, there in polled.items() if not there]
    if idle:
        found = f"none asks for work of {' or '.join(idle)} on the task queue {settings.task_queue!r}"
        return _to_do("workers", found, NEXT_WORKER, ExitCode.NO_TEMPORAL_OR_WORKER)
    return _ok("workers", f"they ask for work on the task queue {settings.task_queue!r}")


async def _budget(client: Client, settings: Settings) -> Look:
    return budget_look(await require_status(client), settings.design_token_cap + settings.assess_token_cap)


def budget_look(budget: BudgetStatus, needed: int) -> Look:
    """Whether the ledger lets cycles in, and has kept its promise. needed: the tokens of one cycle by Claude."""
    found = f"{count(budget.tokens_remaining)} of {count(budget.daily_budget)} tokens free today"
    if budget.overrun_tokens:
        found = f"{count(budget.overrun_tokens)} tokens were billed beyond their calls' ceilings, which were too low"
        mend = "lower the limit by as much (`research budget set --tokens N`), and report it with the worker's log"
        return _to_do("budget", found, mend, ExitCode.FAILED)
    if budget.paused:
        return _to_do("budget", f"paused: {budget.paused}", "`research budget resume`", ExitCode.REFUSED_BY_BUDGET)
    # The sum of these may be beyond a limit that was lowered, where nothing is free and still less fits.
    taken = budget.tokens_settled + budget.tokens_charged + budget.tokens_held
    options = [f"--tokens {taken + needed}"] if budget.tokens_remaining < needed else []
    if budget.usd_remaining is not None and budget.usd_remaining <= 0:
        found += ", and no dollars"
        options.append("--usd none")
    if options:
        found += f"; a cycle by Claude needs {count(needed)}, one by the offline designer none"
        mend = (
            f"`research budget set {' '.join(options)}` makes room; or wait for the reset, {moment(budget.next_reset)}"
        )
        return Look(name="budget", state=State.WARNING, found=found, mend=mend)
    return _ok("budget", found)


def _store(settings: Settings) -> tuple[Look, ...]:
    try:
        Store.open(settings.store_url).close()
    except ResearchError as error:
        return (_to_do("store", error.message, None, ExitCode.FAILED),)
    return (_ok("store", "it can be read, and is of this version"),)


def _data(settings: Settings) -> tuple[Look, ...]:
    found = f"{plural(len(list_bars(settings.data)), 'set')} of bars"
    if broken := unreadable_bars(settings.data):
        mend = f"delete what is no set of bars, or import its bars again: {', '.join(map(str, broken))}"
        return (_to_do("data", f"{found}; {len(broken)} cannot be read", mend, ExitCode.FAILED),)
    return (_ok("data", found),)


async def _backend(settings: Settings) -> tuple[Look, ...]:
    """A service is asked for an operation that there is not: that it knows none shows that it works."""
    if settings.ktrdr_api_url is None:
        return (_ok("backend", f"trainings and backtests are done {settings.backend}"),)
    from engine.service.answers import Away, Broken
    from engine.service.client import Declined, Service, Slow

    try:
        async with Service(settings.ktrdr_api_url, settings.ktrdr_api_token) as service:
            await service.operation("research-doctor")
    except (Away, Broken, Declined, Slow, ValueError) as error:
        mend = "see that it runs, and that KTRDR_API_URL and KTRDR_API_TOKEN are its own (docs/http-backend.md)"
        return (_to_do("backend", f"the service at {settings.ktrdr_api_url}: {error}", mend, ExitCode.FAILED),)
    return (_ok("backend", f"the service at {settings.ktrdr_api_url} answers"),)


async def _claude(settings: Settings) -> tuple[Look, ...]:
    """The API counts a prompt with the designer's tools, which is free, and needs the key, the model and the tools."""
    key = settings.claude_key
    if key is None:
        mend = "to have Claude design, set ANTHROPIC_API_KEY or ANTHROPIC_API_KEY_FILE (docs/claude.md)"
        return (Look(name="claude", state=State.NOT_USED, found="no key is set", mend=mend),)
    from claude.call import Claude, Question
    from claude.design_tools import TOOLS

    model = model_named(settings.model)
    asked = Question(model, "You design.", TOOLS, (("user", ({"type": "text", "text": "Design something."},)),))
    claude = Claude(key, settings.anthropic_base_url)
    try:
        await claude.count(asked)
    except ResearchError as error:
        wrong = error.code in (ErrorCode.ANTHROPIC_AUTH, ErrorCode.ANTHROPIC_REQUEST)
        code = ExitCode.CONFIGURATION if wrong else ExitCode.FAILED
        return (
            _to_do("claude", error.message, f"for {model}, see docs/claude.md, then `research doctor` again", code),
        )
    finally:
        await claude.aclose()
    found = f"the API takes the key, for {model}"
    if price_of(model, settings.prices) is None:
        found += "; no price is known for it, so under a limit in dollars its cycles are refused"
    return (_ok("claude", found),)


def _ok(name: str, found: str) -> Look:
    return Look(name=name, state=State.OK, found=found)


def _to_do(name: str, found: str, mend: str | None, exit_code: int = ExitCode.CONFIGURATION) -> Look:
    return Look(name=name, state=State.TO_DO, found=found, mend=mend, exit_code=exit_code)
