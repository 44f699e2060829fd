"""What comes over the border from a service: turned into our units, or refused by the name of the field."""

import json
from typing import Any

import pytest

from domain.errors import ErrorCode
from engine.interface import Operation, Progress

from .conftest import Bench, left_at
from .fake_ktrdr import Fault, Op

MISSING = object()
EARLIER = Progress(fraction=0, step="", operation=Operation(id="op_1"))

TRAINING = "data.result_summary.training_metrics"
BACKTEST = "data.result_summary.metrics"


async def refusal(bench: Bench, kind: str) -> str:
    """Why a completed operation's answer is not taken; it is asked for once, and nothing is started for it."""
    bench.ktrdr.ops["op_1"] = Op("op_1", kind, {}, status="completed")
    error = await bench.refused(kind, EARLIER)
    assert error.code is (ErrorCode.TRAINING_FAILED if kind == "training" else ErrorCode.BACKTEST_FAILED)
    assert error.message.startswith(f"The {kind} service's answer breaks the contract: ")
    assert "docs/http-backend.md" in error.message
    assert (bench.ktrdr.requests["poll"], bench.ktrdr.started) == (1, 0)
    return error.message


def change(fields: dict[str, Any], name: str, value: object) -> None:
    if value is MISSING:
        del fields[name]
    else:
        fields[name] = value


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("final_train_loss", MISSING, "final_train_loss is missing"),
        ("final_val_loss", None, "final_val_loss is None"),
        ("final_val_loss", float("nan"), "final_val_loss is nan"),
        ("final_val_loss", float("-inf"), "final_val_loss is -inf"),
        ("final_train_accuracy", "0.6", "final_train_accuracy is '0.6'"),
        ("final_val_accuracy", MISSING, "final_val_accuracy is missing"),
        ("final_val_accuracy", 58.0, "final_val_accuracy is 58.0"),
        ("final_val_accuracy", -0.1, "final_val_accuracy is -0.1"),
        ("final_val_accuracy", [0.6], "final_val_accuracy is list"),
        ("epochs_completed", 0, "epochs_completed is 0"),
        ("epochs_completed", True, "epochs_completed is True"),
        ("epochs_completed", 2.5, "epochs_completed is 2.5"),
        ("baseline_loss", "low", "baseline_loss is 'low'"),
        ("balanced_val_accuracy", 51.0, "balanced_val_accuracy is 51.0"),
        ("class_balance", {"BUY": "much"}, "class_balance.BUY is 'much'"),
        (
            "class_balance",
            {str(n): "x" for n in range(17)},
            "class_balance is dict: There should be at most 16 classes.",
        ),
    ],
)
async def test_a_trainings_figure_that_is_missing_or_no_such_figure_is_refused_by_name(
    name: str, value: object, said: str, bench: Bench
) -> None:
    change(bench.ktrdr.summary["training_metrics"], name, value)
    assert f"{TRAINING}.{said}" in await refusal(bench, "training")


@pytest.mark.parametrize("value", [MISSING, None, "", 7, "models\n/x", "x" * 513])
async def test_a_model_path_that_is_missing_or_none_is_refused_by_name(value: object, bench: Bench) -> None:
    change(bench.ktrdr.summary, "model_path", value)
    assert "data.result_summary.model_path is" in await refusal(bench, "training")


@pytest.mark.parametrize(
    ("epochs", "said"),
    [
        (None, "data.metrics is None"),
        ([], "data.metrics.epochs is list"),
        ([{"train_loss": 1.0}], "data.metrics.epochs.0.val_loss is missing"),
        ([{"train_loss": 1.0, "val_loss": float("nan")}], "data.metrics.epochs.0.val_loss is nan"),
        (
            [{}] * 1000,
            "contract: data.metrics.epochs.0.train_loss is missing; data.metrics.epochs.0.val_loss is missing. ",
        ),
    ],
)
async def test_losses_by_epoch_that_are_missing_are_refused_by_name(
    epochs: list[dict[str, Any]] | None, said: str, bench: Bench
) -> None:
    bench.ktrdr.epochs = epochs
    assert said in await refusal(bench, "training")


async def test_a_best_epoch_that_was_never_run_is_refused(bench: Bench) -> None:
    bench.ktrdr.summary["training_metrics"]["best_epoch"] = 4
    assert "best_epoch is 4, and epochs_completed 3" in await refusal(bench, "training")


async def test_what_a_service_tells_beyond_the_contract_is_used(bench: Bench) -> None:
    bench.ktrdr.summary["training_metrics"] |= {
        "best_epoch": 2,
        "baseline_loss": 1.08,
        "balanced_train_accuracy": 0.5,
        "balanced_val_accuracy": 0.45,
        "class_balance": {"BUY": 0.3, "HOLD": 0.4, "SELL": 0.3},
    }
    result = await bench.engine.train(bench.training(), bench.told)
    assert (result.best_epoch, result.baseline_loss, result.balanced) == (2, 1.08, True)
    assert (result.train_accuracy, result.validation_accuracy) == (0.5, 0.45)
    assert result.class_balance == {"BUY": 0.3, "HOLD": 0.4, "SELL": 0.3}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        *((name, MISSING, f"{name} is missing") for name in ("sharpe_ratio", "win_rate", "max_drawdown_pct")),
        *((name, MISSING, f"{name} is missing") for name in ("total_return", "total_trades")),
        ("sharpe_ratio", None, "sharpe_ratio is None"),
        ("sharpe_ratio", float("nan"), "sharpe_ratio is nan"),
        ("sharpe_ratio", "0.7", "sharpe_ratio is '0.7'"),
        ("win_rate", 55.0, "win_rate is 55.0"),
        ("max_drawdown_pct", 6.12, "max_drawdown_pct is 6.12"),
        ("max_drawdown_pct", -0.06, "max_drawdown_pct is -0.06"),
        ("total_return", float("inf"), "total_return is inf"),
        ("total_trades", -1, "total_trades is -1"),
        ("total_trades", 40.5, "total_trades is 40.5"),
        ("annualized_return", {}, "annualized_return is dict"),
    ],
)
async def test_a_backtests_figure_that_is_missing_or_no_such_figure_is_refused_by_name(
    name: str, value: object, said: str, bench: Bench
) -> None:
    change(bench.ktrdr.metrics, name, value)
    assert f"{BACKTEST}.{said}" in await refusal(bench, "backtest")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"max_drawdown_pct": 0.5, "max_drawdown": 500.0, "total_return": 100.0, "total_return_pct": 0.001},
            "max_drawdown_pct is 0.5, and max_drawdown 500 in the account's currency",
        ),
        ({"max_drawdown": 630.0}, "max_drawdown_pct is 0.0612, and max_drawdown 630 in"),
        ({"max_drawdown": 630_000.0}, "max_drawdown_pct is 0.0612, and max_drawdown 630000 in"),
        ({"max_drawdown_pct": 0.0}, "max_drawdown_pct is 0, and max_drawdown 6300 in"),
        ({"total_return_pct": 4.2}, "total_return_pct is 4.2, and total_return 4200 of 100000 is 0.042"),
        ({"total_return": 0.042}, "total_return_pct is 0.042, and total_return 0.042 of 100000 is 4.2e-07"),
        ({"total_return": -4200.0}, "total_return_pct is 0.042, and total_return -4200 of 100000 is -0.042"),
        ({"win_rate": 0.0055}, "win_rate is 0.0055, and winning_trades 22 of total_trades 40 is 0.55"),
    ],
)
async def test_a_percentage_given_as_a_fraction_is_found_also_below_one(
    changes: dict[str, float], said: str, bench: Bench
) -> None:
    bench.ktrdr.metrics |= changes
    assert said in await refusal(bench, "backtest")


@pytest.mark.parametrize(
    "changes",
    [
        {"max_drawdown": 6120.0, "total_return": 100.0, "total_return_pct": 0.001},
        {"max_drawdown": 9180.0, "max_drawdown_pct": 0.0612, "total_return": 60_000.0, "total_return_pct": 0.6},
        {"max_drawdown": 0.0, "max_drawdown_pct": 0.0},
        {"max_drawdown": 100_000.0, "max_drawdown_pct": 1.0, "total_return": -1e5, "total_return_pct": -1.0},
        {"total_return": 123.4, "total_return_pct": 0.0012},
        {"win_rate": 0.5500001},
    ],
)
async def test_figures_that_agree_but_for_rounding_are_taken(changes: dict[str, float], bench: Bench) -> None:
    bench.ktrdr.metrics |= changes
    result = await bench.engine.backtest(bench.backtest(), bench.told)
    assert result.total_return == bench.ktrdr.metrics["total_return"] / 100_000


async def test_what_a_service_leaves_out_is_none(bench: Bench) -> None:
    for name in ("annualized_return", "sortino_ratio", "profit_factor", "max_drawdown", "total_return_pct"):
        del bench.ktrdr.metrics[name]
    result = await bench.engine.backtest(bench.backtest(), bench.told)
    assert (result.annual_return, result.sortino_ratio, result.profit_factor) == (None, None, None)
    assert result.max_drawdown == 0.0612


async def test_a_figure_without_bound_is_none(bench: Bench) -> None:
    bench.ktrdr.metrics |= {"profit_factor": 999_999.0, "sharpe_ratio": -999_999.0, "sortino_ratio": 999_999.0}
    result = await bench.engine.backtest(bench.backtest(), bench.told)
    assert (result.profit_factor, result.sharpe_ratio, result.sortino_ratio) == (None, None, None)


async def test_without_a_trade_there_is_no_win_rate(bench: Bench) -> None:
    bench.ktrdr.metrics |= {"total_trades": 0, "winning_trades": 0, "win_rate": 0.0, "profit_factor": 0.0}
    result = await bench.engine.backtest(bench.backtest(), bench.told)
    assert (result.total_trades, result.win_rate, result.profit_factor) == (0, None, None)


def poll(**changes: object) -> bytes:
    data = {"operation_id": "op_1", "status": "completed", "result_summary": None, "metrics": None}
    return json.dumps(
        {"success": True, "data": {k: v for k, v in (data | changes).items() if v is not MISSING}}
    ).encode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"[]", "the answer is list"),
        (b"null", "the answer is None"),
        (b'{"success": true}', "data is missing"),
        (b'{"success": false, "data": {}}', "success is False"),
        (poll(status="sleeping"), "data.status is 'sleeping'"),
        (poll(status=MISSING), "data.status is missing"),
        (poll(status=3), "data.status is 3"),
        (poll(operation_id=MISSING), "data.operation_id is missing"),
        (poll(operation_id="op_2"), "data.operation_id is 'op_2', and op_1 was asked for"),
        (poll(result_summary=MISSING), "data.result_summary is missing"),
        (poll(), "data.result_summary is None"),
    ],
)
async def test_an_answer_that_breaks_the_contract_is_refused_by_the_name_of_the_field(
    answer: bytes, said: str, bench: Bench
) -> None:
    bench.ktrdr.raw = answer
    assert said in await refusal(bench, "backtest")


@pytest.mark.parametrize(
    ("progress", "shown"),
    [
        ({"percentage": 100.4}, 1.0),
        ({"percentage": 10**400}, 1.0),
        ({"percentage": -3}, 0.0),
        ({"percentage": "40"}, 0.4),
        ({"percentage": True}, 0.4),
        ({"percentage": None}, 0.4),
        ({"percentage": float("nan")}, 0.4),
        ({"percentage": 50, "current_step": 7}, 0.5),
        ([], 0.4),
    ],
)
async def test_what_is_only_shown_fails_nothing(progress: object, shown: float, bench: Bench) -> None:
    bench.ktrdr.ops["op_1"] = Op("op_1", "training", {})
    bench.ktrdr.shows = {"progress": progress, "error_message": ["none"]}
    await bench.run("training", left_at("op_1"))
    assert {told.fraction for told in bench.told.all} == {0.4, shown}


async def test_what_came_is_shown_short_and_printable(bench: Bench) -> None:
    bench.ktrdr.raw = poll(status="\x1b[31m" + "x" * 5000)
    message = await refusal(bench, "backtest")
    assert message.isprintable()
    assert len(message) < 600


async def test_an_answer_without_end_is_refused(bench: Bench) -> None:
    bench.ktrdr.faults["poll"] = [Fault.HUGE]
    assert "longer than 1,000,000 bytes" in await refusal(bench, "training")


@pytest.mark.parametrize("given", ["../../etc", "op 1", "", "x" * 201])
async def test_an_operations_id_that_is_none_is_refused(given: str, bench: Bench) -> None:
    bench.ktrdr.gives = given
    error = await bench.refused("backtest")
    assert error.code is ErrorCode.BACKTEST_FAILED
    assert "operation_id is " in error.message
    assert bench.ktrdr.requests["poll"] == 0
