"""What the HTTP face tells of a cycle, made of the view that the command shows."""

from client.serve_bodies import AgentStatus
from client.views import view
from domain.cycle import CycleStatus, Phase, StrategyRef
from domain.results import BacktestResult, TrainingResult


def test_an_idle_house_has_no_operation_and_where_no_ledger_runs_no_budget() -> None:
    told = AgentStatus.of(None, None).model_dump(mode="json")

    assert told == {"status": "idle", "operation": None, "budget": None}


def test_results_are_told_as_soon_as_there_are_any(
    queued: CycleStatus, training: TrainingResult, backtest: BacktestResult
) -> None:
    running = queued.model_copy(
        update={
            "phase": Phase.ASSESSING,
            "strategy": StrategyRef(name="offline_1234abcd", sha256="ab" * 32, path="offline_1234abcd.yaml"),
            "training": training,
            "backtest": backtest,
            "waiting_for": "more funds",
        }
    )

    told = AgentStatus.of(view(running), None).model_dump(mode="json")

    assert told == {
        "status": "active",
        "operation": {
            "id": "cycle-20260301-120000-ab12",
            "phase": "assessing",
            "progress": {"percentage": 90.0, "current_step": "waiting: more funds"},
            "strategy_name": "offline_1234abcd",
            "metadata": {
                "training_result": {"accuracy": 0.5412, "final_loss": 0.66},
                "backtest_result": {"win_rate": 0.4321, "sharpe_ratio": -0.31},
            },
        },
        "budget": None,
    }
