"""The store keeps each ended run once, whole and exact, and gives it back."""

import json
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url
from sqlalchemy.schema import CreateTable
from sqlmodel import SQLModel, col

from domain.cycle import Admission, AdmissionState, CycleStatus, Failure, Outcome, Phase
from domain.errors import ErrorCode, ResearchError
from domain.results import BacktestResult, HypothesisStatus
from store.cycles import Store, insertion
from store.strategies import DesignFacts
from store.tables import CycleRow

MakeCycle = Callable[..., CycleStatus]
MakeFacts = Callable[[str], DesignFacts]


def test_a_cycle_comes_back_as_it_went_in(store: Store, assessed: MakeCycle) -> None:
    cycle = assessed()
    assert store.record(cycle) is True
    assert store.get("cycle-1") == cycle
    assert store.get("cycle-2") is None


def test_recording_the_same_run_again_changes_nothing(store: Store, assessed: MakeCycle, ended: MakeCycle) -> None:
    first = assessed()
    assert store.record(first) is True
    assert store.record(ended(run_id=first.run_id, reason="something else")) is False
    assert store.get("cycle-1") == first
    assert len(store.hypotheses("EURUSD")) == 2


def test_two_processes_that_record_the_same_runs_write_each_once(
    store: Store,
    url: str,
    ended: MakeCycle,
    tmp_path: Path,
    at_once: Callable[[str, Sequence[Sequence[str]]], list[str]],
) -> None:
    runs = [ended(f"cycle-{number}").model_dump_json() for number in range(20)]
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    printed = at_once(
        "import json, pathlib\n"
        "from domain.cycle import CycleStatus\n"
        "from store.cycles import Store\n"
        "store = Store.open(sys.argv[1])\n"
        "runs = json.loads(pathlib.Path(sys.argv[2]).read_text())\n"
        "print(sum(store.record(CycleStatus.model_validate_json(run)) for run in runs))\n",
        [[url, str(tmp_path / "runs.json")]] * 2,
    )
    assert sum(int(count) for count in printed) == 20
    assert len(store.list(limit=100)) == 20


def test_the_latest_run_of_a_cycle_is_the_one_shown(store: Store, ended: MakeCycle) -> None:
    store.record(ended("cycle-1", run_id="first", reason="too little skill"))
    store.record(ended("cycle-2"))
    store.record(ended("cycle-1", run_id="second", outcome=Outcome.CANCELLED))
    assert [cycle.run_id for cycle in store.list()] == ["second", "run-of-cycle-2"]
    found = store.get("cycle-1")
    assert found is not None
    assert found.run_id == "second"


def test_cycles_are_filtered_by_outcome_and_symbol_newest_first(store: Store, ended: MakeCycle) -> None:
    store.record(ended("a"))
    store.record(ended("b", symbol="AAPL"))
    store.record(ended("c", outcome=Outcome.FAILED))
    store.record(ended("d"))
    assert [c.cycle_id for c in store.list(symbol="EURUSD")] == ["d", "c", "a"]
    assert [c.cycle_id for c in store.list(outcome=Outcome.REJECTED, symbol="EURUSD")] == ["d", "a"]
    assert [c.cycle_id for c in store.list(limit=2)] == ["d", "c"]


def test_money_is_kept_to_the_last_digit(store: Store, assessed: MakeCycle) -> None:
    store.record(assessed(cost_usd=Decimal("0.1000000000000000055511151231")))
    found = store.get("cycle-1")
    assert found is not None
    assert str(found.cost_usd) == "0.1000000000000000055511151231"
    with store.engine.connect() as connection:
        assert connection.execute(sa.select(col(CycleRow.cost_usd))).scalar_one() == found.cost_usd


def test_a_cycle_that_has_not_ended_is_not_recorded(store: Store, ended: MakeCycle) -> None:
    with pytest.raises(ResearchError, match="has not ended") as refused:
        store.record(ended(outcome=None))
    assert refused.value.code is ErrorCode.INTERNAL_ERROR
    assert store.list() == ()


def test_what_people_filter_by_stands_in_columns(store: Store, assessed: MakeCycle, facts: MakeFacts) -> None:
    store.record(
        assessed(failure=Failure(phase=Phase.ASSESSING, code=ErrorCode.INTERNAL_ERROR, message="a defect")),
        facts("c" * 64),
    )
    with store.engine.connect() as connection:
        row = connection.execute(sa.select(CycleRow)).mappings().one()
    expected = {
        "symbol": "EURUSD",
        "outcome": "completed",
        "verdict": "neutral",
        "strategy_name": "offline_1",
        "strategy_hash": "c" * 64,
        "strategy_text": "name: offline_1\n",
        "parameters": '{"label":"zigzag"}',
        "seed": 7,
        "tokens": 12_345,
        "training_gate_passed": True,
        "backtest_gate_passed": True,
        "sharpe_ratio": 0.7310585786300049,
        "total_trades": 80,
        "error_code": "internal_error",
        "error_message": "a defect",
    }
    assert {name: row[name] for name in expected} == expected
    assert row["validation_skill"] == pytest.approx(0.45 - 1 / 3)


def test_the_design_of_a_cycle_is_kept_with_it(store: Store, assessed: MakeCycle, facts: MakeFacts) -> None:
    store.record(assessed("with"), facts("c" * 64))
    store.record(assessed("without"))
    assert store.design("with") == facts("c" * 64)
    assert store.design("without") is None


def test_hypotheses_are_left_untested_for_later_cycles(store: Store, assessed: MakeCycle) -> None:
    store.record(assessed())
    assert [h.text for h in store.hypotheses("EURUSD")] == ["It gains on AAPL.", "Another seed gains too."]
    assert {h.status for h in store.hypotheses("EURUSD")} == {HypothesisStatus.UNTESTED}
    assert store.hypotheses("AAPL") == ()


def test_the_longest_workflow_id_fits_into_both_kinds_of_database(store: Store, ended: MakeCycle) -> None:
    store.record(ended("c" * 1000))
    assert store.get("c" * 1000) == ended("c" * 1000)
    # SQLite holds no column to its length; PostgreSQL does.
    made = str(
        CreateTable(SQLModel.metadata.tables["cycles"]).compile(
            dialect=make_url("postgresql+psycopg://").get_dialect()()
        )
    )
    assert "cycle_id VARCHAR(1000)" in made


def test_backtests_of_a_symbol_at_a_timeframe_are_counted(store: Store, assessed: MakeCycle, ended: MakeCycle) -> None:
    store.record(assessed("a"))
    store.record(assessed("b"))
    store.record(assessed("another symbol", symbol="AAPL"))
    store.record(ended("gate said no"))
    assert store.trials("EURUSD", "1h") == 2
    assert store.trials("EURUSD", "1d") == 0


def test_bars_imported_anew_do_not_reset_the_count_of_trials(
    store: Store, assessed: MakeCycle, backtest: BacktestResult
) -> None:
    store.record(assessed("before"))
    store.record(assessed("after", backtest=backtest.model_copy(update={"data_sha256": "f" * 64})))
    assert store.trials("EURUSD", "1h") == 2


def test_a_strategy_is_known_from_its_first_cycle_on(store: Store, ended: MakeCycle, facts: MakeFacts) -> None:
    before = store.snapshot("EURUSD", "1h")
    store.record(ended("first"), facts("c" * 64))
    store.record(ended("second"), facts("c" * 64))
    assert store.strategy_known("c" * 64) == "first"
    assert store.strategy_known("d" * 64) is None
    assert store.strategy_known("c" * 64, before.id) is None


def test_a_record_of_a_newer_version_is_refused_by_name(store: Store, url: str, ended: MakeCycle) -> None:
    store.record(ended())
    _by_hand(url, "UPDATE cycles SET record_version = 99")
    with pytest.raises(ResearchError, match=r"cycle cycle-1 .* newer version .*Update the program") as refused:
        store.get("cycle-1")
    assert refused.value.code is ErrorCode.STORE_UNAVAILABLE


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("status = json_set(status, '$.seconds', 3)", "seconds: Extra inputs"),
        ("status = json_set(status, '$.tokens', -1)", "tokens: Input should be greater"),
        ("status = 'half a rec'", "Invalid JSON"),
    ],
)
def test_a_record_changed_from_outside_is_refused_with_the_place(
    store: Store, url: str, ended: MakeCycle, change: str, says: str
) -> None:
    store.record(ended())
    _by_hand(url, f"UPDATE cycles SET {change}")
    with pytest.raises(ResearchError, match=says) as refused:
        store.get("cycle-1")
    assert refused.value.code is ErrorCode.STORE_UNAVAILABLE


def _taken(cost: Decimal) -> bool:
    """A status takes 60 digits."""
    places = cost.as_tuple().exponent
    return isinstance(places, int) and places >= -50


_text = st.text(max_size=60)
_time = st.datetimes(timezones=st.just(UTC))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    outcome=st.sampled_from(Outcome),
    reason=st.none() | _text,
    cost=st.decimals(min_value=0, max_value=10**9, allow_nan=False, allow_infinity=False).filter(_taken),
    tokens=st.integers(0, 2**53),
    started=_time,
    ended_at=st.none() | _time,
    message=_text,
    accuracy=st.floats(0, 1),
    sharpe=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    admission=st.builds(Admission, state=st.sampled_from(AdmissionState), message=_text, next_reset=st.none() | _time),
)
def test_any_cycle_comes_back_equal(
    store: Store,
    assessed: MakeCycle,
    outcome: Outcome,
    reason: str | None,
    cost: Decimal,
    tokens: int,
    started: datetime,
    ended_at: datetime | None,
    message: str,
    accuracy: float,
    sharpe: float | None,
    admission: Admission,
) -> None:
    whole = assessed()
    assert whole.training is not None
    assert whole.backtest is not None
    cycle = assessed(
        f"cycle-{uuid.uuid4()}",
        outcome=outcome,
        reason=reason,
        cost_usd=cost,
        tokens=tokens,
        started_at=started,
        ended_at=ended_at,
        failure=Failure(phase=Phase.TRAINING, code=ErrorCode.TRAINING_FAILED, message=message),
        training=whole.training.model_copy(update={"validation_accuracy": accuracy}),
        backtest=whole.backtest.model_copy(update={"sharpe_ratio": sharpe}),
        admission=admission,
    )
    assert store.record(cycle) is True
    assert store.get(cycle.cycle_id) == cycle


def test_records_and_tables_are_written_as_postgresql_understands_them() -> None:
    dialect = make_url("postgresql+psycopg://").get_dialect()()
    written = str(insertion("postgresql", {"run_id": "r"}).compile(dialect=dialect))
    assert "ON CONFLICT (run_id) DO NOTHING RETURNING cycles.id" in written
    tables = [str(CreateTable(table).compile(dialect=dialect)) for table in SQLModel.metadata.sorted_tables]
    assert "id SERIAL NOT NULL" in tables[0]
    assert "started_at TIMESTAMP WITH TIME ZONE NOT NULL" in tables[0]


def _by_hand(url: str, statement: str) -> None:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    with connection:
        connection.execute(statement)
    connection.close()
