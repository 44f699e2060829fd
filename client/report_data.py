"""What a report is made of: the cycle, its files, its strategy's text, its calls; each there, or why it is not."""

import asyncio
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from client.audit_calls import Call
from client.looks import find
from client.report_calls import calls_of
from client.report_files import Epoch, Equity, Missing, Trade, epochs_in, equity_in, trades_in
from client.views import CycleView
from domain.cycle import CycleStatus, Outcome, Phase
from domain.errors import ResearchError
from domain.results import Frozen
from settings import Settings
from store.cycles import Store
from store.strategies import StrategyFiles


class Written(Frozen):
    """A page that was written: where, and how many bytes it has."""

    path: Path
    bytes: int


class WrittenReport(Written):
    """A cycle's report."""

    cycle_id: str


@dataclass(frozen=True)
class Material:
    """All that a report tells. made_at: when it was gathered, in UTC."""

    view: CycleView
    strategy: str | Missing
    epochs: tuple[Epoch, ...] | Missing
    equity: Equity | Missing
    trades: tuple[Trade, ...] | Missing
    calls: tuple[Call, ...] | Missing
    made_at: datetime

    @property
    def cycle(self) -> CycleStatus:
        """The cycle itself."""
        return self.view.cycle


async def gather(settings: Settings, cycle_id: str) -> Material:
    """The material of a cycle's report, from the server, or where that is away from the store.

    Errors: CommandError for a cycle that neither knows, or that only a worker could tell of while none is there.
    """
    found = await find(settings, cycle_id)
    cycle = found.view.cycle
    calls: tuple[Call, ...] | Missing = Missing(
        "The Temporal server could not be reached, and single calls are in the cycle's history there."
    )
    if found.client is not None:
        calls = await calls_of(found.client, cycle.cycle_id, cycle.run_id)
    return await asyncio.to_thread(_with_files, settings, found.view, calls)


def _with_files(settings: Settings, view: CycleView, calls: tuple[Call, ...] | Missing) -> Material:
    cycle = view.cycle
    return Material(
        view=view,
        strategy=_strategy(settings, cycle),
        epochs=_epochs(settings, cycle),
        equity=_equity(settings, cycle),
        trades=_trades(settings, cycle),
        calls=calls,
        made_at=datetime.now(UTC),
    )


def not_reached(cycle: CycleStatus, what: str) -> str:
    """Why a cycle has nothing of something: in words that say how it stands, and what to do where that may change."""
    if cycle.outcome is None:
        return f"There is no {what} yet: the cycle is {cycle.phase.value}. Make the report again when it has ended."
    where = f" while {cycle.stopped_in.value}" if cycle.stopped_in and cycle.stopped_in is not Phase.DONE else ""
    if cycle.outcome is Outcome.REJECTED:
        return f"There is no {what}: a gate stopped the cycle{where}."
    return f"There is no {what}: the cycle ended as {cycle.outcome.value}{where}."


def _epochs(settings: Settings, cycle: CycleStatus) -> tuple[Epoch, ...] | Missing:
    training = cycle.training
    if training is None:
        return Missing(not_reached(cycle, "training"))
    if training.history_path is None:
        return Missing("The service that trained does not tell how each epoch went; its first and last losses it does.")
    return epochs_in(settings.artifacts, training.history_path)


def _equity(settings: Settings, cycle: CycleStatus) -> Equity | Missing:
    backtest = cycle.backtest
    if backtest is None:
        return Missing(not_reached(cycle, "backtest"))
    if backtest.equity_path is None:
        return Missing("The service that backtested gives no equity curve, only the figures.")
    return equity_in(settings.artifacts, backtest.equity_path)


def _trades(settings: Settings, cycle: CycleStatus) -> tuple[Trade, ...] | Missing:
    backtest = cycle.backtest
    if backtest is None:
        return Missing(not_reached(cycle, "backtest"))
    if backtest.trades_path is None:
        return Missing("The service that backtested gives no list of trades, only their number.")
    return trades_in(settings.artifacts, backtest.trades_path)


def _strategy(settings: Settings, cycle: CycleStatus) -> str | Missing:
    """The file's text, or where the file is gone what the store has recorded of it."""
    if cycle.strategy is None:
        return Missing(not_reached(cycle, "strategy"))
    try:
        return StrategyFiles(settings.strategies).read(cycle.strategy)
    except ResearchError as gone:
        try:
            recorded = _recorded_strategy(settings, cycle)
        except ResearchError as away:
            return Missing(f"{_sentence(gone)} And what was recorded of it cannot be read: {away.message}.")
        return recorded if recorded is not None else Missing(_sentence(gone))


def _recorded_strategy(settings: Settings, cycle: CycleStatus) -> str | None:
    """None where the store has no such cycle. Raises ResearchError."""
    with closing(Store.open(settings.store_url)) as store:
        design = store.design(cycle.cycle_id)
    return design.text if design else None


def _sentence(error: ResearchError) -> str:
    return f"{error.message[0].upper()}{error.message[1:].rstrip('.')}."
