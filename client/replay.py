"""A cycle's history through the code of today: whether a worker of this version would decide what was decided then.

Nothing is done again: results of activities are taken from the history. So no model is called, nothing is written.
"""

import asyncio
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf.json_format import ParseError
from temporalio.client import Client, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer

from client.cycles import unknown_cycle
from client.exits import CommandError, ExitCode, usage
from domain.cycle import CYCLE_WORKFLOW
from domain.results import Frozen
from observability.logging import runtime
from workflows.research_cycle import ResearchCycleWorkflow

PATIENCE = 120.0
"""Seconds. Temporal's core waits for ever on some histories that do not fit together."""

LONGEST_FILE = 100_000_000
MAX_WHY = 500


class Replayed(Frozen):
    """What came of it. why: where today's code does something else, None where it does not."""

    cycle_id: str
    events: int
    replays: bool
    why: str | None = None


async def history_of(client: Client, cycle_id: str) -> WorkflowHistory:
    """The history of the cycle's latest run. Raises the error for an id of which the server has none (any more)."""
    try:
        history = await client.get_workflow_handle(cycle_id).fetch_history()
    except RPCError as error:
        if error.status not in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
            raise
        raise await unknown_cycle(client, cycle_id) from error
    if trouble := _trouble(history):
        raise usage(f"{cycle_id}: {trouble}", "`research list` shows the cycles")
    return history


def history_in(file: Path) -> WorkflowHistory:
    """The history in a file, as Temporal's command and its Web UI write it. Raises the usage error for any other."""
    mend = "`temporal workflow show -w CYCLE -o json` writes one"
    if not file.is_file():
        raise usage(f"there is no file {file}")
    if file.stat().st_size > LONGEST_FILE:
        raise usage(f"{file} is longer than {LONGEST_FILE:,} bytes", mend)
    try:
        history = WorkflowHistory.from_json(file.stem, file.read_text())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ParseError) as error:
        raise usage(f"{file} is no history: {str(error)[:MAX_WHY]}", mend) from error
    if trouble := _trouble(history):
        raise usage(f"{file}: {trouble}", mend)
    named = history.events[0].workflow_execution_started_event_attributes.workflow_id
    return WorkflowHistory(named or file.stem, history.events)


async def replay(history: WorkflowHistory) -> Replayed:
    """Run it through today's code."""
    replayer = Replayer(
        workflows=[ResearchCycleWorkflow],
        data_converter=pydantic_data_converter,
        runtime=runtime(),
    )
    with _quiet():
        try:
            async with asyncio.timeout(PATIENCE):
                found = await replayer.replay_workflow(history, raise_on_replay_failure=False)
        except TimeoutError as error:
            raise CommandError(
                ExitCode.FAILED, "replay_failed", f"the replay of {history.workflow_id} did not end in {PATIENCE:.0f} s"
            ) from error
    why = None if found.replay_failure is None else _why(str(found.replay_failure))
    return Replayed(cycle_id=history.workflow_id, events=len(history.events), replays=why is None, why=why)


def _trouble(history: WorkflowHistory) -> str | None:
    """What is wrong with it as the history of a cycle: core would wait for ever on one that has gaps."""
    events = history.events
    if not events or not events[0].HasField("workflow_execution_started_event_attributes"):
        return "that is no history from its first event on"
    if [event.event_id for event in events] != list(range(1, len(events) + 1)):
        return "events are missing in that history"
    kind = events[0].workflow_execution_started_event_attributes.workflow_type.name
    return None if kind == CYCLE_WORKFLOW else f"that is no history of a cycle, but of {kind[:80]!r}"


def _why(told: str) -> str:
    """The words in what core tells, which is a Rust value in print: the outermost and the innermost message."""
    words = re.findall(r'message: "((?:[^"\\]|\\.)*)"', told)
    found = ": ".join(dict.fromkeys([words[0], words[-1]])) if words else told
    return " ".join(found.replace("\\n", " ").replace('\\"', '"').split())[:MAX_WHY]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of a worker: what it would say is said by the command."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
