"""How the engine has a service begin its work: once, however long it takes, and never where the service says no."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from domain.errors import ErrorCode
from engine.interface import Operation
from engine.service.client import Service
from engine.service.engine import ServiceEngine

from .conftest import AWAY, FAILED, KINDS, POLL, Bench, open_bench
from .fake_ktrdr import FakeKtrdr, Fault


@KINDS
@pytest.mark.parametrize("fault", [Fault.BAD_REQUEST, Fault.UNPROCESSABLE])
async def test_a_start_that_is_ours_to_mend_is_told_in_the_services_words_and_made_once(
    fault: Fault, kind: str, bench: Bench
) -> None:
    bench.ktrdr.faults["start"] = [fault]
    error = await bench.refused(kind)
    assert error.code is FAILED[kind]
    assert f"The {kind} service says no: HTTP {fault.value}: fault {fault.value}" in error.message
    assert (bench.ktrdr.requests["start"], bench.ktrdr.started) == (1, 0)


@KINDS
async def test_a_redirect_is_not_followed(kind: str, bench: Bench) -> None:
    bench.ktrdr.faults["start"] = [Fault.REDIRECT]
    error = await bench.refused(kind)
    assert error.code is FAILED[kind]
    assert "KTRDR_API_URL" in error.message
    assert bench.ktrdr.started == 0


async def test_the_token_is_sent_and_is_in_no_error_even_where_the_service_repeats_it(bench: Bench) -> None:
    bench.ktrdr.token = "right"
    async with Service(bench.ktrdr.url, SecretStr("right")) as service:
        engine = ServiceEngine(service, bench.places, None, POLL)
        await engine.train(bench.training(), bench.told)
    async with Service(bench.ktrdr.url, SecretStr("wrong-secret")) as service:
        wrong = Bench(service, ServiceEngine(service, bench.places, None, POLL), bench.places, bench.ktrdr, bench.told)
        error = await wrong.refused("backtest")
    assert error.code is ErrorCode.BACKTEST_FAILED
    assert "KTRDR_API_TOKEN" in error.message
    assert "Bearer ***" in error.message
    assert "secret" not in error.message


async def test_a_token_that_no_header_can_carry_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="KTRDR_API_TOKEN") as refused:
        Service("http://127.0.0.1:1", SecretStr("se\ncret"))
    assert "cret" not in str(refused.value)


@KINDS
async def test_a_service_without_a_free_worker_is_waited_for(kind: str, bench: Bench) -> None:
    bench.ktrdr.faults["start"] = [Fault.BUSY] * 7
    await bench.run(kind)
    assert bench.told.steps.count(f"waiting for a free worker at the {kind} service") == 7
    assert (bench.ktrdr.requests["start"], bench.ktrdr.started) == (8, 1)


@KINDS
@pytest.mark.parametrize(
    "faults",
    [[Fault.ERROR] * 4, [Fault.NO_START] * 4, [*[Fault.ERROR] * 4, Fault.BUSY, *[Fault.ERROR] * 4]],
    ids=["500", "no start", "503 between"],
)
async def test_a_start_that_came_to_nothing_is_made_again(faults: list[Fault], kind: str, bench: Bench) -> None:
    bench.ktrdr.faults["start"] = list(faults)
    await bench.run(kind)
    assert bench.ktrdr.started == 1


@KINDS
async def test_five_starts_that_came_to_nothing_are_too_many_although_polls_are_answered(
    kind: str, bench: Bench
) -> None:
    bench.ktrdr.faults["start"] = [Fault.ERROR] * 5
    error = await bench.refused(kind)
    assert error.code is AWAY[kind]
    assert (bench.ktrdr.requests["start"], bench.ktrdr.started) == (5, 0)


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.HALF, Fault.TORN, Fault.HANG])
async def test_a_training_whose_start_was_not_answered_is_looked_for_before_it_is_started_again(
    fault: Fault, ktrdr: FakeKtrdr, tmp_path: Path
) -> None:
    ktrdr.faults["start"] = [fault]
    async with open_bench(ktrdr, tmp_path, patience=0.2) as bench:
        await bench.engine.train(bench.training(), bench.told)
    assert ktrdr.started == 1


async def test_a_training_that_failed_before_its_start_was_answered_is_not_taken_for_one_of_an_earlier_life(
    bench: Bench,
) -> None:
    bench.ktrdr.faults |= {"start": [Fault.DROP], "poll": []}
    bench.ktrdr.fails_at_once = True
    error = await bench.refused("training")
    assert error.code is ErrorCode.TRAINING_FAILED
    assert bench.ktrdr.started == 1


async def test_a_service_that_gives_trainings_ids_of_its_own_is_followed_under_them(bench: Bench) -> None:
    bench.ktrdr.gives_ids = True
    result = await bench.engine.train(bench.training(), bench.told)
    assert result.model_id == "op_training_1"


@KINDS
async def test_a_cancel_while_a_start_is_under_way_leaves_no_operation_that_nobody_knows(
    kind: str, bench: Bench
) -> None:
    bench.ktrdr.faults["start"] = [Fault.GATE]
    working = asyncio.create_task(bench.run(kind))
    while not bench.ktrdr.started:
        await asyncio.sleep(POLL)
    working.cancel()
    await asyncio.sleep(POLL)
    bench.ktrdr.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    (op,) = bench.ktrdr.of(kind)
    assert bench.told.last.operation == Operation(id=op.id)
