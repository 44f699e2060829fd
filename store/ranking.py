"""The best of all recorded backtests, found by columns and indexes: only those that are shown are read whole."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.orm import aliased
from sqlmodel import col

from domain.cycle import DesignerKind
from domain.results import BacktestResult, Verdict
from store.tables import CycleRow

By = Literal["sharpe", "return", "drawdown"]

Conditions = list[sa.ColumnElement[bool]]

_FIGURES: Mapping[By, sa.UnaryExpression[Any]] = {
    "sharpe": col(CycleRow.sharpe_ratio).desc().nulls_last(),
    "return": col(CycleRow.total_return).desc().nulls_last(),
    "drawdown": col(CycleRow.max_drawdown).asc().nulls_last(),
}


@dataclass(frozen=True)
class Wanted:
    """Which backtests: all that is given must hold. Of a cycle only the latest run counts."""

    symbol: str | None = None
    timeframe: str | None = None
    verdict: Verdict | None = None
    designer: DesignerKind | None = None
    min_trades: int = 0

    @property
    def conditions(self) -> Conditions:
        """As a query has them."""
        found: Conditions = [*self.bars, is_latest()]
        if self.verdict is not None:
            found.append(col(CycleRow.verdict) == self.verdict.value)
        if self.designer is not None:
            found.append(col(CycleRow.designer) == self.designer.value)
        if self.min_trades:
            found.append(col(CycleRow.total_trades) >= self.min_trades)
        return found

    @property
    def bars(self) -> Conditions:
        """Those of them that say on which bars."""
        found: Conditions = [col(CycleRow.backtested).is_(True)]
        if self.symbol is not None:
            found.append(col(CycleRow.symbol) == self.symbol)
        if self.timeframe is not None:
            found.append(col(CycleRow.timeframe) == self.timeframe)
        return found


@dataclass(frozen=True)
class BarsTested:
    """Backtests of the same bars whose backtest's parts have the same length. trials: known of these bars now."""

    symbol: str
    timeframe: str
    years: float | None
    trials: int

    @property
    def deflates(self) -> bool:
        """Whether the part has a length, by which the luck of more trials could be reckoned."""
        return self.years is not None and self.years > 0


def is_latest() -> sa.ColumnElement[bool]:
    """That a row is its cycle's latest run. Asked of each row by its own cycle, so that a short list asks of few."""
    later = aliased(CycleRow)
    return ~sa.exists().where(col(later.cycle_id) == col(CycleRow.cycle_id), col(later.id) > col(CycleRow.id))


def number_in(cell: object) -> float | None:
    """What a cell of figures holds; None for what was put there from outside and is no figure."""
    return float(cell) if isinstance(cell, int | float) and math.isfinite(cell) else None


def ranking_columns(backtest: BacktestResult | None) -> dict[str, object]:
    """What is kept of a backtest beside its record, to rank it by."""
    interval = backtest.excess_sharpe_interval if backtest else None
    return {
        "total_return": backtest.total_return if backtest else None,
        "excess_low": interval.low if interval else None,
        "years": backtest.part.years if backtest else None,
        "trials": backtest.trials if backtest else None,
    }


def select_trials_known(wanted: Wanted) -> sa.Select[Any]:
    """The query of (symbol, timeframe, how many backtests, the most that any of them knew of)."""
    columns: list[Any] = [
        *(col(CycleRow.symbol), col(CycleRow.timeframe)),
        *(sa.func.count().label("found"), sa.func.max(col(CycleRow.trials)).label("knew")),
    ]
    return sa.select(*columns).where(*wanted.bars).group_by(col(CycleRow.symbol), col(CycleRow.timeframe))


def select_lengths(wanted: Wanted) -> sa.Select[Any]:
    """The query of (symbol, timeframe, years), each once."""
    columns: list[Any] = [col(CycleRow.symbol), col(CycleRow.timeframe), col(CycleRow.years)]
    return sa.select(*columns).where(*wanted.bars).distinct()


def select_best(wanted: Wanted, by: By, limit: int) -> sa.Select[Any]:
    """The query of the ids of the best by a figure, the newer of equals first, those without it last."""
    query = sa.select(col(CycleRow.id)).where(*wanted.conditions)
    return query.order_by(_FIGURES[by], col(CycleRow.id).desc()).limit(limit)


def select_excess(wanted: Wanted, tested: BarsTested, limit: int) -> sa.Select[Any]:
    """The query of (id, excess_low) of those that more trials are known of than when they were made, the best first."""
    return (
        _of(wanted, tested)
        .add_columns(col(CycleRow.excess_low))
        # In a function, so that it is no reason to choose the index by trials, whose order is of no use here.
        .where(sa.func.coalesce(col(CycleRow.trials), 0) < tested.trials)
        .order_by(col(CycleRow.excess_low).desc().nulls_last(), col(CycleRow.id).desc())
        .limit(limit)
    )


def select_as_made(wanted: Wanted, tested: BarsTested) -> sa.Select[Any]:
    """The query of the ids of the others: what they were deflated by when they were made still holds."""
    query = _of(wanted, tested)
    return query.where(col(CycleRow.trials) >= tested.trials) if tested.deflates else query


def _of(wanted: Wanted, tested: BarsTested) -> sa.Select[Any]:
    return sa.select(col(CycleRow.id)).where(
        *wanted.conditions,
        col(CycleRow.symbol) == tested.symbol,
        col(CycleRow.timeframe) == tested.timeframe,
        col(CycleRow.years).is_(None) if tested.years is None else col(CycleRow.years) == tested.years,
    )
