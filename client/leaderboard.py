"""All backtests that the store knows, ranked; and of how many trials the best is the best.

The more strategies were tried on the same bars, the better the best of them looks by luck alone. So every row is
deflated by the number of backtests that are known now, and not by those that were known when it was made: what was
tried first was chosen from just as many.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field

from client.places import report_of
from domain.cycle import CycleStatus, DesignerKind, Outcome
from domain.results import Fraction, Frozen, Interval, Verdict
from settings import Settings
from store.cycles import Store
from store.database import is_made
from store.ranking import BarsTested, Wanted

Sort = Literal["sharpe", "deflated", "return", "drawdown"]


@dataclass(frozen=True)
class Asked:
    """Which backtests, in which order, and how many."""

    symbol: str | None = None
    timeframe: str | None = None
    verdict: Verdict | None = None
    designer: DesignerKind | None = None
    min_trades: int = 0
    sort: Sort = "deflated"
    limit: int = 20

    @property
    def narrows(self) -> bool:
        """Whether some backtests of the same bars are left out."""
        return bool(self.verdict or self.designer or self.min_trades)


class Ranked(Frozen):
    """A cycle's backtest on the board. All ratios are annualised and net of costs."""

    rank: int = Field(ge=1)
    cycle_id: str
    strategy: str | None
    symbol: str
    timeframe: str
    designer: DesignerKind
    outcome: Outcome | None
    verdict: Verdict | None
    sharpe_ratio: float | None
    sharpe_interval: Interval | None
    total_return: float
    max_drawdown: Fraction
    total_trades: int
    trial: int = Field(description="which backtest of these bars it was, as counted when it was made")
    years: float = Field(description="how long the backtest's part of the bars is")
    trials: int = Field(description="backtests of these bars that are known now")
    luck: float = Field(description="the Sharpe that the best of so many without skill shows, in a sample as long")
    deflated_low: float | None = Field(description="lower bound of the excess Sharpe's 95 % interval less luck")
    ended_at: AwareDatetime | None
    report: Path | None = Field(description="the cycle's report, where one was made")

    @property
    def bars(self) -> str:
        """What was traded."""
        return f"{self.symbol} {self.timeframe}"

    @property
    def name(self) -> str:
        """The strategy's name, or where there is none the cycle's."""
        return self.strategy or self.cycle_id


@dataclass(frozen=True)
class Board:
    """The ranking, and what was asked. made: whether there is a store at all."""

    asked: Asked
    rows: tuple[Ranked, ...]
    made: bool = True


def ranked(settings: Settings, asked: Asked) -> Board:
    """The board from the store; an empty one where no store was made yet. Raises ResearchError."""
    if not is_made(settings.store_url):
        return Board(asked, (), made=False)
    wanted = Wanted(asked.symbol, asked.timeframe, asked.verdict, asked.designer, asked.min_trades)
    with closing(Store.open(settings.store_url)) as store:
        tested = store.tested(wanted)
        most = asked.limit
        while True:
            chosen = _chosen(store, wanted, tested, asked.sort, most)
            found = store.numbered(chosen)
            # What cannot be read must not take the place of what can.
            unreadable = len(chosen) - len(found)
            if len(chosen) < most or unreadable <= most - asked.limit:
                break
            most = asked.limit + unreadable
    trials = {(one.symbol, one.timeframe): one.trials for one in tested}
    rows = _in_order((_row(one, trials, settings) for _, one in found if one.backtest), asked.sort)
    numbered = (row.model_copy(update={"rank": rank}) for rank, row in enumerate(rows[: asked.limit], 1))
    return Board(asked, tuple(numbered))


def _chosen(store: Store, wanted: Wanted, tested: Sequence[BarsTested], sort: Sort, most: int) -> list[int]:
    """The rows among which the best are: so many, and those whose own deflation still holds, which has to be read."""
    if sort != "deflated":
        return list(store.best(wanted, sort, most))
    from engine.statistics import expected_max_sharpe  # with libraries that take seconds to import

    rows: list[tuple[float, int]] = []
    for one in tested:
        luck = expected_max_sharpe(one.trials, one.years) if one.years and one.deflates else 0.0
        for row, excess in store.best_excess(wanted, one, most):
            rows.append((-math.inf if excess is None else excess - luck, row))
    best = [row for _, row in sorted(rows, reverse=True)[:most]]
    return best + [row for one in tested for row in store.deflated_as_made(wanted, one)]


def in_words(board: Board) -> tuple[str, ...]:
    """For each set of bars on the board: its best, how many that was chosen from, and what luck alone would show."""
    best: dict[str, Ranked] = {}
    for row in board.rows:
        best.setdefault(row.bars, row)
    return tuple(_told(row, narrowed=board.asked.narrows) for row in best.values())


def _told(row: Ranked, *, narrowed: bool) -> str:
    if row.trials == 1:
        return f"{row.name}: the only backtest on {row.bars}; with nothing to choose from, luck adds nothing"
    which = "best of those asked for among" if narrowed else "best of"
    return (
        f"{row.name}: {which} {row.trials:,} backtests on {row.bars}; luck alone would show a Sharpe of {row.luck:.1f}"
    )


def _row(cycle: CycleStatus, trials: dict[tuple[str, str], int], settings: Settings) -> Ranked:
    from engine.statistics import among_trials  # with libraries that take seconds to import

    request, backtest = cycle.request, cycle.backtest
    if backtest is None:
        raise ValueError(f"{cycle.cycle_id} has no backtest")
    known = trials[request.symbol, request.timeframe]
    held = among_trials(backtest, known)
    page = report_of(cycle.cycle_id, settings)
    return Ranked(
        rank=1,
        cycle_id=cycle.cycle_id,
        strategy=cycle.strategy.name if cycle.strategy else None,
        symbol=request.symbol,
        timeframe=request.timeframe,
        designer=request.designer,
        outcome=cycle.outcome,
        verdict=cycle.assessment.verdict if cycle.assessment else None,
        sharpe_ratio=backtest.sharpe_ratio,
        sharpe_interval=backtest.sharpe_interval,
        total_return=backtest.total_return,
        max_drawdown=backtest.max_drawdown,
        total_trades=backtest.total_trades,
        trial=backtest.trials,
        years=backtest.part.years,
        trials=known,
        luck=held.expected_max_sharpe,
        deflated_low=held.deflated_low,
        ended_at=cycle.ended_at,
        report=page if page.is_file() else None,
    )


_VALUES: dict[Sort, Callable[[Ranked], float | None]] = {
    "sharpe": lambda row: row.sharpe_ratio,
    "deflated": lambda row: row.deflated_low,
    "return": lambda row: row.total_return,
    "drawdown": lambda row: -row.max_drawdown,
}


def _in_order(rows: Iterable[Ranked], sort: Sort) -> list[Ranked]:
    """The best first, those without the figure last, the newer before the older where they are equal."""

    def key(row: Ranked) -> float:
        value = _VALUES[sort](row)
        return math.inf if value is None else -value

    return sorted(rows, key=key)
