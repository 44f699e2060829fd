"""Backtests are ranked by columns and indexes: it reads what is shown, however many there are."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from domain.cycle import CycleStatus
from domain.results import BacktestResult, Interval
from store import database, ranking
from store.cycles import Store
from store.experiments import select_experiments
from store.ranking import BarsTested, Wanted

MakeCycle = Callable[..., CycleStatus]

EURUSD = BarsTested("EURUSD", "1h", 0.2, trials=9)

RANKED = ("sharpe_ratio", "total_return", "max_drawdown", "excess_low", "years", "trials")


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (ranking.select_trials_known(Wanted()), "COVERING INDEX ix_cycles_trials"),
        (ranking.select_lengths(Wanted()), "COVERING INDEX ix_cycles_excess"),
        (ranking.select_excess(Wanted(), EURUSD, 20), "ix_cycles_excess"),
        (ranking.select_as_made(Wanted(), EURUSD), "ix_cycles_trials"),
        (ranking.select_best(Wanted(), "sharpe", 20), "ix_cycles_sharpe"),
        (ranking.select_best(Wanted(), "return", 20), "ix_cycles_return"),
        (ranking.select_best(Wanted(), "drawdown", 20), "ix_cycles_drawdown"),
        (
            select_experiments(symbol="EURUSD", timeframe="1h", up_to=9, outcome=None, order="best_skill"),
            "ix_cycles_skill",
        ),
    ],
)
def test_what_is_ranked_is_not_read_and_sorted_in_full(store: Store, query: sa.Select, index: str) -> None:
    plan = plan_of(store, query)
    assert f"cycles USING {index} (" in plan.replace("USING INDEX", "USING")
    assert "SCAN" not in plan
    # Those that are equal in the figure may be sorted, and no others.
    assert "USE TEMP B-TREE FOR" not in plan.replace("FOR RIGHT PART OF ORDER BY", "")


def plan_of(store: Store, query: sa.Select) -> str:
    """How the database goes about it."""
    text = str(query.compile(store.engine, compile_kwargs={"literal_binds": True}))
    with store.engine.connect() as connection:
        return "; ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))


def test_a_store_of_an_earlier_version_gets_the_figures_of_its_records(
    url: str, store: Store, assessed: MakeCycle, backtest: BacktestResult
) -> None:
    part = backtest.part.model_copy(update={"end": backtest.part.start + timedelta(days=90)})
    found = backtest.model_copy(update={"part": part, "excess_sharpe_interval": Interval(low=0.25, high=3.0)})
    for cycle_id in ("cycle-1", "cycle-2"):
        store.record(assessed(cycle_id, backtest=found))
    written = figures(store)
    assert written[0].count(None) == 0
    with database.writing(store.engine) as connection:
        connection.execute(sa.text("UPDATE cycles SET status = '{' WHERE id = 2"))
        config = Config()
        config.set_main_option("script_location", str(database.MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")

    database.migrate(url)
    filled = figures(store)
    assert filled[0] == pytest.approx(written[0])
    assert filled[1] == (*written[1][:1], None, written[1][2], None, None, None)


def figures(store: Store) -> list[tuple[float | None, ...]]:
    """What backtests are ranked by, a row each."""
    with store.engine.connect() as connection:
        rows = connection.execute(sa.text(f"SELECT {', '.join(RANKED)} FROM cycles ORDER BY id"))
        return [tuple(row) for row in rows]
