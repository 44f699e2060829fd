"""Whatever a service answers, to whatever call: a whole valid result, or an error with the phase's code."""

import asyncio
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from pydantic import SecretStr

from domain.cycle import StrategyRef
from domain.errors import ErrorCode, ResearchError
from domain.results import BacktestResult, TrainingResult
from engine.interface import BacktestJob, Operation, Places, Progress, TrainJob
from engine.service.client import Service
from engine.service.engine import ServiceEngine
from engine.service.periods import NamedPeriods, Period
from store.strategies import StrategyFiles
from tests.service.fake_ktrdr import backtest_metrics, epochs, training_summary

from .conftest import Tried
from .stranger import ASKED, Stranger, http, stranger
from .trees import NODES, changed, cut, odd

SMALL = Path(__file__).parent.parent / "workflows" / "small_strategy.yaml"
POLL = 0.0005
NEVER = 30.0
NAME = ASKED.decode()
STARTED = {"success": True, "task_id": "op-1", "operation_id": "op-1", "status": "started", "message": "started"}
DONE: dict[str, dict[str, Any]] = {
    "training": {"result_summary": training_summary(), "metrics": {"epochs": epochs()}},
    "backtest": {"result_summary": {"metrics": backtest_metrics()}, "metrics": None},
}
CODES = {
    "training": (ErrorCode.TRAINING_FAILED, ErrorCode.TRAINING_SERVICE_UNAVAILABLE),
    "backtest": (ErrorCode.BACKTEST_FAILED, ErrorCode.BACKTEST_SERVICE_UNAVAILABLE),
}
STATUSES = st.sampled_from([200] * 9 + [201, 204, 307, 400, 401, 404, 404, 408, 422, 429, 500, 503, 999])
WHOLE = 1_100_000
TOKEN = "sesame-open-1234"
NOT_HTTP = [
    b"",
    b"HTTP/1.1 200",
    b"HTTP/1.1 abc\r\n\r\n",
    b"\0" * 50,
    b"SSH-2.0-x\r\n",
    b"HTTP/1.1 200 OK\r\n\xff: \xff\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
    b"HTTP/1.1 200 OK\r\nAuthorization Bearer %b\r\n\r\n{}" % TOKEN.encode(),
]
DAYS = NamedPeriods(Period(date(2017, 1, 2), date(2017, 6, 30)), Period(date(2017, 7, 3), date(2017, 9, 29)))


def operation(kind: str, status: str = "completed") -> dict[str, Any]:
    """A good answer to a poll."""
    progress = {"percentage": 50.0, "current_step": "epoch 1", "context": {}}
    return {
        "success": True,
        "data": {"operation_id": NAME, "status": status, "progress": progress, "error_message": None, **DONE[kind]},
    }


def in_json(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def answers_like(*good: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """What may come instead of a good answer, or as one."""
    trees = st.sampled_from(good)
    contents = (
        trees.flatmap(odd).map(in_json)
        | trees.flatmap(odd).flatmap(odd).map(in_json)
        | changed(*good).map(in_json)
        | trees.map(in_json).flatmap(cut)
        | NODES.map(in_json)
        | st.binary(max_size=20)
        | st.sampled_from([b"[" * 100_000, b" " * WHOLE, b'{"detail": "\x1b[2J"}', b"\xef\xbb\xbf{}", b'"\\ud800"'])
        | st.sampled_from([f'{{"detail": "{TOKEN}"}}', f"{{{TOKEN}", f'"{TOKEN}"']).map(str.encode)
    )
    headers = st.sampled_from([b""] * 6 + [b"Content-Encoding: gzip\r\n", b"Location: //\r\n", b"Retry-After: x\r\n"])
    return st.builds(http, contents, STATUSES, headers) | st.sampled_from(NOT_HTTP)


def scripts(kind: str) -> st.SearchStrategy[dict[str, list[bytes]]]:
    """Some calls answered by chance, and those after them well."""
    polls = answers_like(operation(kind), operation(kind), operation(kind, "running"), operation(kind, "failed"))
    return st.fixed_dictionaries(
        {
            "GET": st.lists(polls, max_size=6).map(lambda some: [*some, http(in_json(operation(kind)))]),
            "POST": st.lists(answers_like(STARTED), max_size=6).map(lambda some: [*some, http(in_json(STARTED))]),
            "DELETE": st.just([http(b"{}")]),
        }
    )


@pytest.mark.parametrize("kind", ["training", "backtest"])
def test_any_answers_give_a_valid_result_or_the_phases_error(kind: str, tmp_path: Path, tried: Tried) -> None:
    with asyncio.Runner() as runner, at_stranger(runner, tmp_path) as (bench, asked):

        def check(script: dict[str, list[bytes]]) -> None:
            asked.answers = script
            bench.told.clear()
            result = failed = None
            try:
                result = runner.run(asyncio.wait_for(work(bench, kind), NEVER))
            except ResearchError as error:
                failed = error
            assert is_sound(result) if failed is None else failed.code in CODES[kind] and is_shown(failed.message)
            assert all(is_shown(progress.step) for progress in bench.told)

        tried(check, scripts(kind), examples=75)


@pytest.mark.parametrize(
    ("where", "of"),
    [
        (("metrics", "epochs"), list),
        (("result_summary", "training_metrics"), dict),
        (("result_summary", "training_metrics", "class_balance"), dict),
        (("error_message",), list),
    ],
)
def test_a_crowd_in_an_answer_takes_memory_in_proportion(where: tuple[str, ...], of: type, tmp_path: Path) -> None:
    answer = deepcopy(operation("training"))
    inside = answer["data"]
    for step in where[:-1]:
        inside = inside[step]
    inside[where[-1]] = [{}] * 20_000 if of is list else {str(n): {} for n in range(10_000)}
    content = in_json(answer)
    with asyncio.Runner() as runner, at_stranger(runner, tmp_path) as (bench, asked):
        asked.answers = {name: [http(content)] for name in ("GET", "POST", "DELETE")}
        tracemalloc.start()
        try:
            with suppress(ResearchError):
                runner.run(work(bench, "training"))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 100 * len(content)


@pytest.mark.parametrize("kind", ["training", "backtest"])
def test_the_answers_that_are_spoiled_are_good_ones(kind: str, tmp_path: Path) -> None:
    with asyncio.Runner() as runner, at_stranger(runner, tmp_path) as (bench, asked):
        asked.answers = {"GET": [http(in_json(operation(kind)))], "POST": [http(in_json(STARTED))]}
        assert is_sound(runner.run(work(bench, kind)))


@pytest.mark.parametrize("figure", ["winning_trades", "total_trades"])
def test_a_count_that_no_float_can_hold_is_refused_by_name(figure: str, tmp_path: Path) -> None:
    answer = deepcopy(operation("backtest"))
    answer["data"]["result_summary"]["metrics"][figure] = 10**400
    with asyncio.Runner() as runner, at_stranger(runner, tmp_path) as (bench, asked):
        asked.answers = {"GET": [http(in_json(answer))], "POST": [http(in_json(STARTED))]}
        with pytest.raises(ResearchError, match=f"{figure} is 1000") as refused:
            runner.run(work(bench, "backtest"))
    assert refused.value.code is ErrorCode.BACKTEST_FAILED


def test_no_answer_to_a_delete_raises(tmp_path: Path, tried: Tried) -> None:
    with asyncio.Runner() as runner, at_stranger(runner, tmp_path) as (bench, asked):

        def check(answers: list[bytes]) -> None:
            asked.answers = {"DELETE": [*answers, http(b"{}")]}
            said = runner.run(asyncio.wait_for(bench.engine.withdraw(Operation(id="op-1")), NEVER))
            assert said is None or is_shown(said)

        tried(check, st.lists(answers_like(STARTED), max_size=3), examples=4)


@dataclass(frozen=True)
class Bench:
    """An engine on a service, a strategy for it, and what it has reported."""

    engine: ServiceEngine
    strategy: StrategyRef
    told: list[Progress] = field(default_factory=list)


async def work(bench: Bench, kind: str) -> TrainingResult | BacktestResult:
    """The work of this kind, of a symbol that we have no bars of ourselves."""
    job = {"cycle_id": "cycle-1", "strategy": bench.strategy, "symbol": "THEIRS", "timeframe": "1h", "seed": 3}
    if kind == "training":
        return await bench.engine.train(TrainJob.model_validate(job), bench.told.append)
    model = {"model_path": None, "model_id": "op-7", "service_model": "models/small", "data_sha256": None, "trials": 4}
    return await bench.engine.backtest(BacktestJob.model_validate(job | model), bench.told.append)


@contextmanager
def at_stranger(runner: asyncio.Runner, root: Path) -> Iterator[tuple[Bench, Stranger]]:
    """An engine on a service that answers as it is told to."""
    stack = AsyncExitStack()
    strategy = StrategyFiles(root / "strategies").save("small", SMALL.read_text())
    places = Places(artifacts=root, strategies=root / "strategies", data=root)

    async def opened() -> tuple[Bench, Stranger]:
        asked = await stack.enter_async_context(stranger())
        service = await stack.enter_async_context(Service(asked.url, SecretStr(TOKEN)))
        return Bench(ServiceEngine(service, places, DAYS, POLL), strategy), asked

    try:
        yield runner.run(opened())
    finally:
        runner.run(stack.aclose())


def is_shown(text: str) -> bool:
    """Whether it is fit for a person's screen, and keeps the token to itself."""
    return text.isprintable() and len(text) <= 2_000 and TOKEN not in text


def is_sound(result: TrainingResult | BacktestResult | None) -> bool:
    """Whether it is a whole result of ours, without NaN, whose fractions are fractions."""
    if isinstance(result, TrainingResult):
        fractions = [result.train_accuracy, result.validation_accuracy, *result.class_balance.values()]
    else:
        assert isinstance(result, BacktestResult)
        fractions = [result.max_drawdown, 0.0 if result.win_rate is None else result.win_rate]
    again = type(result).model_validate_json(result.model_dump_json())
    return again == result and all(0 <= fraction <= 1 for fraction in fractions)
