"""Every planted leak breaks a promise of tests/engine/promises.py; the engine as it is breaks none."""

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pytest

from domain.strategy import Strategy
from engine.interface import BacktestJob, Places
from engine.model import load_model
from engine.training import run_training
from tests.engine.leaks import LEAKS, Leak
from tests.engine.promises import Case, broken

ASKED = {str(leak.asks): leak.asks for leak in LEAKS}
"""Each strategy that some leak needs, once."""

Build = Callable[[Mapping[str, Any]], Case]
Learnt = dict[str, tuple[BacktestJob, Places]]


@pytest.fixture(scope="module")
def learnt() -> Learnt:
    """What was trained already, by what it asks: the backtest that it leads to, and the places where it lies."""
    return {}


@pytest.fixture
def trained(
    job: Callable[..., Any],
    strategy: Callable[..., Strategy],
    eurusd: pd.DataFrame,
    tmp_path: Path,
    learnt: Learnt,
    final: PurePosixPath,
) -> Build:
    """A strategy, trained before anything is planted; each is trained once."""

    def build(asks: Mapping[str, Any]) -> Case:
        if str(asks) not in learnt:
            train_job, places = job(asks)
            (places.artifacts / final).mkdir(parents=True)
            training = run_training(train_job, places, places.artifacts / final, final, lambda _: None)
            wanted = BacktestJob(
                **train_job.model_dump(),
                model_path=training.model_path,
                model_id=training.model_id,
                data_sha256=training.data_sha256,
                trials=1,
            )
            learnt[str(asks)] = wanted, places
        wanted, places = learnt[str(asks)]
        model = load_model(places.artifacts / str(wanted.model_path))
        return Case(strategy(asks), model, wanted, places, eurusd, tmp_path / "backtest")

    return build


@pytest.mark.parametrize("asks", ASKED.values(), ids=[", ".join(asks) or "plain" for asks in ASKED.values()])
def test_the_engine_keeps_every_promise(asks: Mapping[str, Any], trained: Build) -> None:
    case = trained(asks)
    assert list(broken(case)) == []
    assert case.result.total_trades > 0


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name)
def test_a_planted_leak_is_caught(leak: Leak, trained: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    case = trained(leak.asks)
    leak.plant(monkeypatch)
    assert next(broken(case), None), f"nobody noticed that {leak.says}"
