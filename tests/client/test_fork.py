"""`research fork`: a recorded cycle goes on from a later phase; what cannot be forked is told before anything runs."""

import asyncio

import pytest

from store.cycles import Store


@pytest.fixture
def source(place, completed):
    """A completed cycle in the running house's store."""
    status = completed.model_copy(update={"cycle_id": "cycle-20260301-120000-f0f0", "run_id": "run-of-source"})
    store = Store.open(place.settings.store_url, migrate=True)
    store.record(status)
    store.close()
    return status


async def test_a_cycle_is_assessed_again_without_training_or_backtest(reaching, source):
    ran = await asyncio.to_thread(
        reaching,
        *("-o", "json", "fork", source.cycle_id, "--from", "assess"),
        *("--set", "backtest_min_sharpe=-0.5", "--queue", "--wait"),
    )

    assert ran.code == 0, ran.out
    cycle = ran.json["cycle"]
    assert cycle["cycle_id"] != source.cycle_id
    assert (cycle["outcome"], cycle["assessment"]["verdict"]) == ("completed", "poor")
    assert cycle["request"]["fork"] == {"cycle_id": source.cycle_id, "run_id": "run-of-source", "phase": "assessing"}
    assert cycle["backtest"]["sharpe_ratio"] == source.backtest.sharpe_ratio
    assert (cycle["request"]["seed"], cycle["request"]["designer"]) == (7, "offline")
    shown = await asyncio.to_thread(reaching, "show", cycle["cycle_id"])
    assert f"Fork of: {source.cycle_id}, from assessing on" in shown.out
    assert "training " not in next(line for line in shown.out.splitlines() if "Took:" in line)


async def test_what_cannot_be_forked_is_told_with_what_can(reaching, place, source):
    designed = source.model_copy(
        update={"cycle_id": "cycle-20260301-120000-f0f1", "run_id": "run-f1", "training": None, "backtest": None}
    )
    nothing = designed.model_copy(
        update={"cycle_id": "cycle-20260301-120000-f0f2", "run_id": "run-f2", "strategy": None}
    )
    store = Store.open(place.settings.store_url)
    for status in (designed, nothing):
        store.record(status)
    store.close()

    for arguments, code, words in (
        ((designed.cycle_id, "--from", "assess"), 2, "has trained no model; fork it from train"),
        ((designed.cycle_id, "--from", "backtest"), 2, "has trained no model; fork it from train"),
        ((nothing.cycle_id, "--from", "train"), 2, "designed no strategy; there is nothing to take over"),
        ((source.cycle_id, "--from", "assess", "--seed", "3"), 2, "--seed is of the training"),
        ((source.cycle_id, "--from", "design"), 2, "design"),
        ((source.cycle_id,), 2, "--from"),
        ((source.cycle_id, "--from", "assess", "--model", "opus"), 2, "--model is for the designer claude"),
        ((source.cycle_id, "--from", "assess", "--designer", "claude"), 4, "Claude needs a key"),
        ((" ", "--from", "train"), 2, "the cycle's id is empty"),
        (("cycle-20260301-120000-f0f9", "--from", "assess"), 2, "there is no cycle"),
        ((source.cycle_id, "--from", "assess", "--timeout", "3"), 2, "--timeout needs"),
    ):
        ran = await asyncio.to_thread(reaching, "fork", *arguments)
        assert (ran.code, words in ran.err) == (code, True), ran.err


async def test_a_fork_that_would_backtest_a_model_that_is_gone_is_refused_at_once(reaching, place, source):
    place.settings.artifacts.mkdir(exist_ok=True)
    ran = await asyncio.to_thread(reaching, "fork", source.cycle_id, "--from", "backtest")

    assert ran.code == 2
    assert f"the model of cycle {source.cycle_id} is gone: there is no file " in ran.err
    assert "fork it from train" in ran.err


async def test_a_running_cycle_is_not_forked(reaching, long, place):
    started = (
        await asyncio.to_thread(
            reaching, "-o", "json", "start", "--strategy", str(long), "--designer", "offline", "--queue"
        )
    ).json
    ran = await asyncio.to_thread(reaching, "fork", started["cycle_id"], "--from", "train")
    await asyncio.to_thread(reaching, "cancel", started["cycle_id"])

    assert ran.code == 2
    assert "has not ended, and only an ended cycle can be forked" in ran.err
