"""What the engine makes of a service that does its work, and of one that refuses, forgets, or goes away."""

import asyncio
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from domain.errors import ErrorCode, ResearchError
from domain.results import PartName, Task
from engine.interface import CostOverride, Operation
from engine.service.engine import ServiceEngine
from engine.service.following import MISSES
from engine.service.periods import NamedPeriods, Period

from .conftest import AWAY, FAILED, KINDS, POLL, Bench, left_at, open_bench
from .fake_ktrdr import FakeKtrdr, Fault, Op


async def test_a_training_comes_back_in_our_units_and_says_what_the_service_does_not_tell(bench: Bench) -> None:
    result = await bench.engine.train(bench.training(), bench.told)
    (op,) = bench.ktrdr.of("training")
    assert result.service is not None
    assert (result.model_id, result.service.operation_id, result.service.model_path) == (
        op.id,
        op.id,
        "models/small/1h_v3",
    )
    assert (result.task, result.classes, result.epochs, result.best_epoch) == (Task.CLASSIFICATION, 3, 3, 3)
    assert (result.train_loss.initial, result.train_loss.best, result.train_loss.final) == (1.1, 0.81, 0.81)
    assert (result.validation_loss.initial, result.validation_loss.best, result.validation_loss.final) == (
        1.05,
        0.88,
        0.9,
    )
    assert (result.train_accuracy, result.validation_accuracy, result.balanced) == (0.62, 0.58, False)
    assert (result.baseline_loss, result.bars_used, result.data_sha256, result.model_path) == (None,) * 4
    assert [(part.name, part.bars) for part in result.parts] == [(PartName.TRAIN, None)]


async def test_a_training_is_asked_for_by_name_under_an_id_of_ours(bench: Bench) -> None:
    await bench.engine.train(bench.training(), bench.told)
    (op,) = bench.ktrdr.of("training")
    assert op.id.startswith("cycle-1-")
    assert op.body == {
        "strategy_name": "small",
        "symbols": ["EURUSD"],
        "timeframes": ["1h"],
        "start_date": "2017-01-06",
        "end_date": "2017-08-23",
        "detailed_analytics": False,
        "task_id": op.id,
    }


async def test_a_backtest_comes_back_in_fractions_of_the_capital_and_none_is_taken_for_zero(bench: Bench) -> None:
    result = await bench.engine.backtest(bench.backtest(), bench.told)
    assert (result.total_return, result.annual_return, result.max_drawdown) == (0.042, 0.061, 0.0612)
    assert (result.sharpe_ratio, result.sortino_ratio, result.win_rate) == (0.71, 0.9, 0.55)
    assert (result.profit_factor, result.total_trades, result.trials) == (1.3, 40, 4)
    assert result.expected_max_sharpe > 1
    assert result.minimum_provable_sharpe > 1
    untold = (
        result.exposure,
        result.turnover,
        result.gross,
        result.benchmark_return,
        result.costs.total,
        result.sharpe_interval,
        result.excess_sharpe,
        result.excess_sharpe_interval,
        result.deflated_low,
        result.equity_path,
        result.trades_path,
        result.data_sha256,
        result.part.bars,
    )
    assert untold == (None,) * 13


async def test_a_backtest_is_asked_for_with_the_model_the_later_days_and_the_costs_in_use(bench: Bench) -> None:
    await bench.engine.backtest(bench.backtest(costs=CostOverride(half_spread=0.0007)), bench.told)
    (op,) = bench.ktrdr.of("backtest")
    assert op.body == {
        "strategy_name": "small",
        "start_date": "2017-08-24",
        "end_date": "2017-11-03",
        "symbol": "EURUSD",
        "timeframe": "1h",
        "initial_capital": 100_000.0,
        "commission": 0.00002,
        "slippage": 0.0007,
        "model_path": "models/small/1h_v3",
    }


async def test_costs_of_a_symbol_that_we_have_no_bars_of_are_the_services_own(ktrdr: FakeKtrdr, tmp_path: Path) -> None:
    periods = NamedPeriods(Period(date(2020, 1, 1), date(2021, 12, 31)), Period(date(2022, 1, 1), date(2022, 12, 31)))
    async with open_bench(ktrdr, tmp_path, periods=periods) as bench:
        await bench.engine.backtest(bench.backtest(symbol="NOSUCH"), bench.told)
    (op,) = ktrdr.of("backtest")
    assert (op.body["commission"], op.body["slippage"]) == (0.001, 0.0005)
    assert (op.body["start_date"], op.body["end_date"]) == ("2022-01-01", "2022-12-31")


async def test_what_the_service_says_of_its_progress_is_passed_on_short_and_printable(bench: Bench) -> None:
    bench.ktrdr.ops["op_1"] = Op("op_1", "training", {}, percentage=40.0, step="epoch\n2\x1b[31m " + "x" * 500)
    await bench.engine.train(bench.training(), bench.told, left_at("op_1"))
    told = next(progress for progress in bench.told.all if progress.step.startswith("epoch 2"))
    assert told.fraction == 0.4
    assert told.step.startswith("epoch 2?[31m xxx")
    assert len(told.step) == 200


async def test_a_training_that_is_there_already_is_taken_and_not_begun_again(bench: Bench) -> None:
    first = await bench.engine.train(bench.training(), bench.told)
    again = await bench.engine.train(bench.training(), bench.told)
    assert first.model_copy(update={"seconds": 0}) == again.model_copy(update={"seconds": 0})
    assert bench.ktrdr.started == 1


async def test_another_training_of_the_cycle_has_another_id(bench: Bench) -> None:
    await bench.engine.train(bench.training(), bench.told)
    await bench.engine.train(bench.training(seed=4), bench.told)
    assert len(bench.ktrdr.ops) == 2


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
async def test_what_failed_in_an_earlier_life_of_the_cycle_is_begun_under_the_next_number(
    ended: str, bench: Bench
) -> None:
    await bench.engine.train(bench.training(), bench.told)
    (first,) = bench.ktrdr.of("training")
    first.status = ended
    again = await bench.engine.train(bench.training(), bench.told)
    assert again.model_id == f"{first.id}-2"
    assert bench.ktrdr.started == 2


@KINDS
async def test_what_an_earlier_attempt_began_is_gone_on_with(kind: str, bench: Bench) -> None:
    bench.ktrdr.ops["op_1"] = Op("op_1", kind, {})
    result = await bench.run(kind, left_at("op_1"))
    assert result.service.operation_id == "op_1"
    assert bench.ktrdr.started == 0


@KINDS
async def test_what_failed_is_told_in_the_services_words_and_not_tried_again(kind: str, bench: Bench) -> None:
    bench.ktrdr.ops["op_1"] = Op("op_1", kind, {}, status="failed", error="out of\nmemory \x1b[0m" + "x" * 9999)
    error = await bench.refused(kind, left_at("op_1"))
    assert error.code is FAILED[kind]
    assert not error.code.retryable
    assert f"The {kind} failed at the service: out of memory ?[0mxxx" in error.message
    assert "operation op_1" in error.message
    assert len(error.message) < 1000
    assert (bench.ktrdr.started, bench.ktrdr.requests["poll"]) == (0, 1)


@KINDS
async def test_what_somebody_else_cancelled_says_so(kind: str, bench: Bench) -> None:
    bench.ktrdr.ops["op_1"] = Op("op_1", kind, {}, status="cancelled")
    error = await bench.refused(kind, left_at("op_1"))
    assert error.code is FAILED[kind]
    assert f"Somebody else cancelled the {kind} at the service (operation op_1)" in error.message


@KINDS
async def test_a_service_that_refuses_five_connections_is_unavailable(kind: str, bench: Bench) -> None:
    await bench.ktrdr.stop()
    error = await bench.refused(kind, left_at("op_1"))
    assert error.code is AWAY[kind]
    assert error.code.retryable
    assert f"The {kind} service at {bench.ktrdr.url} gave no usable answer 5 times in a row" in error.message
    assert "KTRDR_API_URL" in error.message
    misses = [step for step in bench.told.steps if "does not answer" in step]
    assert [step.split(":")[0] for step in misses] == [
        f"the {kind} service does not answer ({number} of 5)" for number in range(1, MISSES)
    ]
    assert bench.told.last.operation == Operation(id="op_1"), "the next attempt goes on with it"


@KINDS
@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.BUSY, Fault.DROP, Fault.HALF, Fault.TORN])
async def test_four_polls_without_a_usable_answer_are_borne_and_a_good_one_begins_the_count_anew(
    fault: Fault, kind: str, bench: Bench
) -> None:
    bench.ktrdr.ops["op_1"] = Op("op_1", kind, {})
    bench.ktrdr.polls = None
    bench.ktrdr.faults["poll"] = [fault] * 4
    working = asyncio.create_task(bench.run(kind, left_at("op_1")))
    while bench.ktrdr.requests["poll"] < 6:
        await asyncio.sleep(POLL)
    bench.ktrdr.faults["poll"] = [fault] * 4
    while bench.ktrdr.faults["poll"]:
        await asyncio.sleep(POLL)
    bench.ktrdr.release()
    await working
    assert bench.ktrdr.started == 0


@KINDS
@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.DROP, Fault.HALF, Fault.TORN])
async def test_five_polls_without_a_usable_answer_are_too_many(fault: Fault, kind: str, bench: Bench) -> None:
    bench.ktrdr.ops["op_1"] = Op("op_1", kind, {})
    bench.ktrdr.faults["poll"] = [fault] * 5
    error = await bench.refused(kind, left_at("op_1"))
    assert error.code is AWAY[kind]
    assert bench.ktrdr.requests["poll"] == 5


async def test_a_poll_that_times_out_is_only_a_slow_poll(ktrdr: FakeKtrdr, tmp_path: Path) -> None:
    ktrdr.ops["op_1"] = Op("op_1", "training", {})
    ktrdr.faults["poll"] = [Fault.HANG] * 7
    async with open_bench(ktrdr, tmp_path, patience=0.05) as bench:
        await bench.engine.train(bench.training(), bench.told, left_at("op_1"))
    assert bench.told.steps.count("the training service is slow: no answer within 0.05 s") >= 7
    assert ktrdr.started == 0


async def test_after_an_error_the_next_poll_is_twice_as_far(bench: Bench) -> None:
    bench.ktrdr.ops["op_1"] = Op("op_1", "training", {})
    bench.ktrdr.faults["poll"] = [Fault.ERROR]
    patient = ServiceEngine(bench.service, bench.places, None, poll_interval=0.2)
    await patient.train(bench.training(), bench.told, left_at("op_1"))
    after_error, after_answer = (later - sooner for sooner, later in pairwise(bench.ktrdr.polled_at[:3]))
    assert after_error >= 0.4
    assert after_answer >= 0.2


async def test_a_service_that_comes_back_in_time_goes_on_with_the_same_operation(bench: Bench) -> None:
    bench.ktrdr.polls = None
    working = asyncio.create_task(bench.engine.train(bench.training(), bench.told))
    while not bench.ktrdr.requests["poll"] > 2:
        await asyncio.sleep(POLL)
    await bench.ktrdr.stop()
    while not any("does not answer (2" in step for step in bench.told.steps):
        await asyncio.sleep(POLL)
    bench.ktrdr.release()
    await bench.ktrdr.listen()
    await working
    assert bench.ktrdr.started == 1


@KINDS
async def test_an_operation_that_the_service_lost_is_begun_again_once(kind: str, bench: Bench) -> None:
    bench.ktrdr.polls = None
    working = asyncio.create_task(bench.run(kind))
    while not bench.ktrdr.requests["poll"] > 2:
        await asyncio.sleep(POLL)
    lost = next(iter(bench.ktrdr.ops))
    bench.ktrdr.lose()
    bench.ktrdr.release()
    await working
    assert f"the service lost the {kind} {lost}; starting it again" in bench.told.steps
    assert bench.ktrdr.started == 2
    assert bench.told.last.operation is not None
    assert bench.told.last.operation.lost == 1


@KINDS
async def test_an_operation_that_the_service_lost_twice_fails_also_over_two_attempts(kind: str, bench: Bench) -> None:
    error = await bench.refused(kind, left_at("op_1", lost=1))
    assert error.code is FAILED[kind]
    assert f"The service lost the {kind} twice: it knows no operation op_1" in error.message
    assert bench.ktrdr.started == 0


@pytest.mark.parametrize(
    ("status", "faults", "asked"),
    [("running", [], 1), ("completed", [], 1), (None, [], 1), ("running", [Fault.ERROR, Fault.DROP], 3)],
    ids=["running", "already ended", "unknown", "at the third try"],
)
async def test_an_operation_is_ended_or_has_ended(
    status: str | None, faults: list[Fault], asked: int, bench: Bench
) -> None:
    if status:
        bench.ktrdr.ops["op_1"] = Op("op_1", "training", {}, status=status)
    bench.ktrdr.faults["delete"] = faults
    assert await bench.engine.withdraw(Operation(id="op_1")) is None
    assert bench.ktrdr.requests["delete"] == asked
    assert "cancelled" in bench.ktrdr.reasons[0]


async def test_an_operation_that_cannot_be_ended_in_three_tries_is_told_with_the_last_answer(bench: Bench) -> None:
    bench.ktrdr.faults["delete"] = [Fault.ERROR] * 4
    assert await bench.engine.withdraw(Operation(id="op_1")) == (
        "operation op_1 may still run at the service, which was asked to end it and answered: HTTP 500: fault 500"
    )
    assert bench.ktrdr.requests["delete"] == 3


@pytest.mark.parametrize(
    ("odd", "delete"),
    [
        *((odd, []) for odd in (Fault.UNAUTHORIZED, Fault.UNPROCESSABLE, Fault.HUGE, "sleeping")),
        (Fault.UNAUTHORIZED, [Fault.UNAUTHORIZED] * 3),
    ],
)
async def test_what_can_not_be_followed_any_more_is_ended_or_told(odd: str, delete: list[Fault], bench: Bench) -> None:
    bench.ktrdr.ops["op_1"] = Op("op_1", "training", {}, status=odd if odd == "sleeping" else "running")
    bench.ktrdr.faults |= {"poll": [odd] if isinstance(odd, Fault) else [], "delete": list(delete)}
    error = await bench.refused("training", left_at("op_1"))
    assert error.code is ErrorCode.TRAINING_FAILED
    assert (bench.ktrdr.ops["op_1"].status == "cancelled") is not bool(delete)
    left = "Operation op_1 may still run there. It was asked to end it, and answered: HTTP 401: fault 401."
    assert error.message.endswith(left) is bool(delete)
    assert (bench.told.last.operation is None) is not bool(delete)


async def test_a_model_of_the_embedded_engine_is_not_backtested_at_a_service(bench: Bench) -> None:
    with pytest.raises(ResearchError, match="trained by the embedded engine") as refused:
        await bench.engine.backtest(bench.backtest(service_model=None), bench.told)
    assert refused.value.code is ErrorCode.BACKTEST_FAILED
    assert bench.ktrdr.requests.total() == 0


async def test_a_strategy_that_was_changed_is_refused_before_anything_is_asked(bench: Bench) -> None:
    training, backtest = bench.training(), bench.backtest()
    (bench.places.strategies / "small.yaml").write_text("name: other\n")
    for work in (bench.engine.train(training, bench.told), bench.engine.backtest(backtest, bench.told)):
        with pytest.raises(ResearchError, match="has changed since the cycle began") as refused:
            await work
        assert refused.value.code is ErrorCode.INVALID_STRATEGY
    assert bench.ktrdr.requests.total() == 0
