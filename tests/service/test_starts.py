"""How the engine has a service begin its work: once, however long it takes, and never where the service says no."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from domain.errors import ErrorCode, ResearchError
from engine.interface import Operation, Progress
from engine.service.client import Service
from engine.service.engine import ServiceEngine
from engine.service.following import UNTOLD

from .conftest import AWAY, FAILED, KINDS, POLL, Bench, left_at, open_bench
from .fake_ktrdr import FakeKtrdr, Fault, Op


def in_escapes(token: str) -> str:
    """As JSON may have it, with every character by its number."""
    return "".join(f"\\u{ord(one):04X}" for one in token)


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


@pytest.mark.parametrize("where", ["current_step", "error_message"])
@pytest.mark.parametrize(
    "written",
    [str, lambda token: quote(token, safe=""), lambda token: json.dumps(token)[1:-1], in_escapes],
    ids=["plain", "in a URL", "in JSON", "in escapes"],
)
async def test_a_token_that_the_service_repeats_goes_nowhere(
    written: Callable[[str], str], where: str, bench: Bench
) -> None:
    token = 'sesame/"open"+1234'
    bench.ktrdr.token = token
    bench.ktrdr.ops["op_1"] = Op("op_1", "training", {}, status="running" if where == "current_step" else "failed")
    echo = f"Bearer-{written(token)}&"
    bench.ktrdr.shows = {"progress": {"current_step": echo}, "error_message": echo}
    async with Service(bench.ktrdr.url, SecretStr(token)) as service:
        asking = replace(bench, service=service, engine=ServiceEngine(service, bench.places, None, POLL))
        if where == "current_step":
            await asking.run("training", left_at("op_1"))
            said = next(step for step in bench.told.steps if "Bearer" in step)
        else:
            said = (await asking.refused("training", left_at("op_1"))).message
    assert "Bearer-***&" in said


async def test_a_short_token_is_no_piece_of_a_word_that_is_needed(bench: Bench) -> None:
    bench.ktrdr.token = "data"
    async with Service(bench.ktrdr.url, SecretStr("dat")) as service, Service(bench.ktrdr.url, SecretStr("data")) as ok:
        wrong = replace(bench, engine=ServiceEngine(service, bench.places, None, POLL))
        assert "no or wrong token: Bearer ***." in (await wrong.refused("backtest")).message
        assert await ok.operation("op_1") is None


@KINDS
async def test_an_address_that_nobody_can_call_is_told_with_what_to_correct(kind: str, bench: Bench) -> None:
    async with Service("http://xn--a") as service:
        error = await replace(bench, engine=ServiceEngine(service, bench.places, None, POLL)).refused(kind)
    assert error.code is AWAY[kind]
    assert "It cannot be called under KTRDR_API_URL: correct that" in error.message


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
    left = bench.told.last.operation
    assert left is not None
    assert left.unclear
    told = {
        "training": f" Operation {left.id} may have begun there. ",
        "backtest": " A backtest may have begun there whose id nobody was told. Look for it there. ",
    }
    assert told[kind] in error.message


@KINDS
async def test_a_start_that_is_refused_or_does_not_arrive_leaves_nothing_to_look_for(kind: str, bench: Bench) -> None:
    bench.ktrdr.faults["start"] = [Fault.BUSY] * 2
    working = asyncio.create_task(bench.run(kind))
    while not bench.told.steps or not bench.told.last.step.startswith("waiting for a free worker"):
        await asyncio.sleep(0)
    assert bench.told.last.operation is None
    await bench.ktrdr.stop()
    with pytest.raises(ResearchError, match="5 times in a row") as refused:
        await working
    assert "may have begun" not in refused.value.message
    assert bench.told.last.operation is None


@KINDS
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault.DROP, {"training": None, "backtest": "whose id nobody was told"}),
        (Fault.NO_START, {"training": "it may begin yet", "backtest": "whose id nobody was told"}),
    ],
)
async def test_a_cancel_after_a_start_that_was_not_answered_ends_what_began_or_tells(
    fault: Fault, said: dict[str, str | None], kind: str, bench: Bench
) -> None:
    bench.ktrdr.faults["start"] = [fault]
    patient = replace(bench, engine=ServiceEngine(bench.service, bench.places, None, poll_interval=60))
    working = asyncio.create_task(patient.run(kind))
    while not any("does not answer (1 of 5)" in step for step in bench.told.steps):
        await asyncio.sleep(POLL)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert bench.told.last.operation is not None
    expected = said[kind]
    answer = await bench.engine.withdraw(bench.told.last.operation)
    assert answer is None if expected is None else expected in (answer or "")
    running = [op for op in bench.ktrdr.of(kind) if op.status == "running"]
    assert len(running) == (kind == "backtest" and fault is Fault.DROP)


@KINDS
async def test_a_start_that_an_earlier_attempt_did_not_hear_of_is_made_again_and_counts_as_no_loss(
    kind: str, bench: Bench
) -> None:
    name = {"training": "op_1", "backtest": UNTOLD}[kind]
    await bench.run(kind, Progress(fraction=0, step="", operation=Operation(id=name, lost=1, unclear=True)))
    assert bench.ktrdr.started == 1
    assert not any("lost" in step for step in bench.told.steps)
    assert bench.told.last.operation is not None
    assert (bench.told.last.operation.lost, bench.told.last.operation.unclear) == (1, False)
    assert UNTOLD not in bench.ktrdr.ops


async def test_an_answer_to_a_start_that_breaks_the_contract_ends_what_may_have_begun(bench: Bench) -> None:
    bench.ktrdr.faults["start"] = [Fault.HUGE]
    error = await bench.refused("training")
    assert "longer than 1,000,000 bytes" in error.message
    assert [op.status for op in bench.ktrdr.of("training")] == ["cancelled"]


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
