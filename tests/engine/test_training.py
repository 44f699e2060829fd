"""Training: real skill on real bars, none where there is none, the same bytes each time."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pytest

from domain.errors import ErrorCode, ResearchError
from domain.gates import GateResult, GateThresholds, training_gate
from domain.results import Task, TrainingResult
from domain.strategy import Strategy
from engine.bars import AssetClass, encode, file_name
from engine.dataset import Dataset, PartRows, prepare
from engine.fitting import baseline_loss, fit
from engine.interface import Progress
from engine.training import build_features, load_model, predict, summarise
from tests.engine.trainings import EPOCHS, Change, Prepared, model_bytes, nothing, train


def gate(result: TrainingResult) -> GateResult:
    return training_gate(result, GateThresholds())


def judged(strategy: Strategy, dataset: Dataset, workdir: Path, final: PurePosixPath) -> GateResult:
    workdir.mkdir()
    fitted = fit(strategy, dataset, 1, workdir, nothing)
    told = summarise(
        strategy, dataset, fitted, model_id="m", final=final, data_sha256="d", seed=1, seconds=fitted.state.seconds
    )
    return gate(told)


def test_segments_of_real_bars_are_learnt_well_enough_for_the_gate(
    job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath
) -> None:
    steps: list[Progress] = []
    result = train(job({"training": {"epochs": 12}}), tmp_path / "a", final, steps.append)
    assert gate(result).passed, gate(result).reason
    assert result.validation_accuracy > 1 / 3 + 0.05
    assert result.model_loss == result.validation_loss.best
    assert result.baseline_loss is not None
    assert result.model_loss < result.baseline_loss
    assert result.train_loss.final < result.train_loss.initial
    assert [step.step for step in steps[:2]] == ["reading bars", "compiling the network"]
    assert [step.fraction for step in steps] == pytest.approx([0, 0, *(epoch / 12 for epoch in range(1, 13))])
    assert steps[-1].step == f"epoch 12 of 12, validation loss {result.validation_loss.final:.4g}"


def test_the_result_says_where_the_files_will_be_and_what_they_hold(
    job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath
) -> None:
    result = train(job(), tmp_path / "a", final)
    assert result.model_path == "cyc-1/training-ab12cd/model.npz"
    assert result.history_path == "cyc-1/training-ab12cd/history.json"
    assert result.model_id == hashlib.sha256(model_bytes(tmp_path / "a")).hexdigest()
    history = json.loads((tmp_path / "a" / "history.json").read_text())
    assert [epoch["epoch"] for epoch in history] == list(range(1, EPOCHS + 1))
    assert history[result.best_epoch - 1]["validation_accuracy"] == result.validation_accuracy
    assert history[0]["train_loss"] == result.train_loss.initial
    assert sum(result.class_balance.values()) == pytest.approx(1)
    assert (result.bars_used or 0) <= sum(part.bars or 0 for part in result.parts[:2])


def test_the_saved_model_predicts_what_the_training_measured(
    job: Callable[..., Prepared],
    strategy: Callable[..., Strategy],
    eurusd: pd.DataFrame,
    tmp_path: Path,
    final: PurePosixPath,
) -> None:
    result = train(job(), tmp_path / "a", final)
    model = load_model(tmp_path / "a", result.model_id)
    features, names = build_features(strategy(), eurusd, model.scalers("EURUSD"))
    said = predict(model, features)
    assert names == result.features
    assert said.shape == (len(eurusd), 3)
    assert np.isnan(said[:30]).all()
    np.testing.assert_allclose(said[50:].sum(axis=1), 1, atol=1e-5)
    validation = prepare(strategy(), {"EURUSD": eurusd}).validation
    named = said[validation.ends].argmax(axis=1)
    assert np.mean(named == validation.targets) == result.validation_metrics["accuracy"]


def test_the_same_job_gives_the_same_bytes_and_another_seed_others(
    job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath
) -> None:
    first, again, other = (train(job(seed=s), tmp_path / n, final) for s, n in ((1, "a"), (1, "b"), (2, "c")))
    assert model_bytes(tmp_path / "a") == model_bytes(tmp_path / "b")
    assert first.model_dump(exclude={"seconds"}) == again.model_dump(exclude={"seconds"})
    assert (tmp_path / "a" / "model.npz").read_bytes() != (tmp_path / "c" / "model.npz").read_bytes()
    assert other.model_id != first.model_id


def test_a_model_that_sees_nothing_fails_the_gate(
    strategy: Callable[..., Strategy], eurusd: pd.DataFrame, tmp_path: Path, final: PurePosixPath
) -> None:
    dataset = prepare(strategy(), {"EURUSD": eurusd})

    def blind(rows: PartRows) -> PartRows:
        return dataclasses.replace(rows, features=np.zeros_like(rows.features))

    constant = dataclasses.replace(dataset, train=blind(dataset.train), validation=blind(dataset.validation))
    verdict = judged(strategy(), constant, tmp_path / "a", final)
    assert not verdict.passed
    assert verdict.checks[0].value == pytest.approx(1 / 3)


def test_shuffled_labels_fail_the_gate_in_at_least_nineteen_of_twenty_draws(
    strategy: Callable[..., Strategy], eurusd: pd.DataFrame, tmp_path: Path, final: PurePosixPath
) -> None:
    dataset = prepare(strategy(), {"EURUSD": eurusd})
    passed = 0
    for seed in range(20):
        shuffle = np.random.default_rng(seed).permutation
        mixed = dataclasses.replace(
            dataset,
            train=dataclasses.replace(dataset.train, targets=shuffle(dataset.train.targets)),
            validation=dataclasses.replace(dataset.validation, targets=shuffle(dataset.validation.targets)),
        )
        passed += judged(strategy(), mixed, tmp_path / str(seed), final).passed
    assert passed <= 1


def test_guessing_returns_by_their_mean_fails_the_gate(
    strategy: Callable[..., Strategy], regression: Change, eurusd: pd.DataFrame, tmp_path: Path, final: PurePosixPath
) -> None:
    it = strategy(regression)
    dataset = prepare(it, {"EURUSD": eurusd})

    def blind(rows: PartRows) -> PartRows:
        return dataclasses.replace(rows, features=np.zeros_like(rows.features))

    constant = dataclasses.replace(dataset, train=blind(dataset.train), validation=blind(dataset.validation))
    verdict = judged(it, constant, tmp_path / "a", final)
    assert not verdict.passed
    assert verdict.checks[0].value == 0.5


def test_nothing_of_backtest_and_lockbox_reaches_the_model(
    job: Callable[..., Prepared], eurusd: pd.DataFrame, tmp_path: Path, final: PurePosixPath
) -> None:
    before = train(job(), tmp_path / "before", final)
    changed = eurusd.copy()
    changed.loc[before.parts[2].start :] *= 1.7
    prepared = job()
    info, content = encode(
        changed, symbol="EURUSD", timeframe="1h", asset_class=AssetClass.FX, source="a test", licence="none"
    )
    prepared[1].data.mkdir()
    (prepared[1].data / file_name("EURUSD", "1h")).write_bytes(content)
    after = train(prepared, tmp_path / "after", final)
    assert after.data_sha256 == info.sha256 != before.data_sha256
    assert model_bytes(tmp_path / "after") == model_bytes(tmp_path / "before")


def test_returns_are_learnt_and_predicted_as_fractions(
    job: Callable[..., Prepared],
    strategy: Callable[..., Strategy],
    regression: Change,
    eurusd: pd.DataFrame,
    tmp_path: Path,
    final: PurePosixPath,
) -> None:
    result = train(job(regression), tmp_path / "a", final)
    assert result.task is Task.REGRESSION
    assert (result.classes, result.class_balance) == (0, {})
    model = load_model(tmp_path / "a" / "model.npz", result.model_id)
    features, _ = build_features(strategy(regression), eurusd, model.scalers("EURUSD"))
    said = predict(model, features)
    assert said.shape == (len(eurusd),)
    assert np.isnan(said[:30]).all()
    assert 0 < np.nanstd(said) < 0.02


def test_the_baseline_is_the_loss_of_guessing_trains_frequencies(
    strategy: Callable[..., Strategy], eurusd: pd.DataFrame
) -> None:
    dataset = prepare(strategy(), {"EURUSD": eurusd})
    shares = np.array(list(dataset.class_balance.values()))
    expected = -np.log(shares)[dataset.validation.targets].mean()
    assert baseline_loss(strategy(), dataset) == pytest.approx(expected, rel=1e-5)


def test_the_learning_rate_follows_its_steps(
    job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath
) -> None:
    step = {"training": {"lr_scheduler": {"type": "step", "step_size": 2, "gamma": 0.1}}}
    train(job(step), tmp_path / "a", final)
    history = json.loads((tmp_path / "a" / "history.json").read_text())
    assert [epoch["learning_rate"] for epoch in history] == pytest.approx([5e-3, 5e-3, 5e-4, 5e-4, 5e-5, 5e-5])


def test_a_plateau_halves_the_learning_rate_and_patience_ends_the_training(
    job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath
) -> None:
    # With so large a min_delta no epoch counts as better than the first, and at this rate none but few is.
    plateau = {
        "training": {
            "epochs": 60,
            "learning_rate": 0.5,
            "lr_scheduler": {"type": "reduce_on_plateau", "factor": 0.5, "patience": 2},
            "early_stopping": {"enabled": True, "patience": 5, "min_delta": 1.0},
        }
    }
    result = train(job(plateau), tmp_path / "a", final)
    history = json.loads((tmp_path / "a" / "history.json").read_text())
    assert result.epochs == 6
    rate, best, waited = 0.5, np.inf, 0
    for epoch in history:
        assert epoch["learning_rate"] == pytest.approx(rate)
        waited = 0 if epoch["validation_loss"] < best else waited + 1
        best = min(best, epoch["validation_loss"])
        if waited == 2:
            rate, waited = rate / 2, 0
    assert result.model_loss == best


def test_a_loss_that_is_no_number_fails_with_what_to_do(
    strategy: Callable[..., Strategy], eurusd: pd.DataFrame, tmp_path: Path
) -> None:
    dataset = prepare(strategy(), {"EURUSD": eurusd})
    huge = dataclasses.replace(
        dataset, train=dataclasses.replace(dataset.train, features=np.full_like(dataset.train.features, 1e38))
    )
    with pytest.raises(ResearchError, match=r"epoch 1 .* Lower training\.learning_rate") as failed:
        fit(strategy(), huge, 1, tmp_path, nothing)
    assert failed.value.code is ErrorCode.TRAINING_FAILED


def test_a_strategy_that_was_changed_is_refused(
    job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath
) -> None:
    training, places = job()
    file = places.strategies / training.strategy.path
    file.write_text(file.read_text() + "\n# later\n")
    with pytest.raises(ResearchError, match="has changed since") as refused:
        train((training, places), tmp_path / "a", final)
    assert refused.value.code is ErrorCode.INVALID_STRATEGY


def test_a_strategy_that_is_gone_is_refused(job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath) -> None:
    training, places = job()
    (places.strategies / training.strategy.path).unlink()
    with pytest.raises(ResearchError, match="cannot be read"):
        train((training, places), tmp_path / "a", final)


def test_a_strategy_that_the_engine_cannot_train_is_refused_with_what_is_lacking(
    job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath
) -> None:
    regime = {"training": {"labels": {"source": "regime", "zigzag_threshold": None, "label_lookahead": None}}}
    with pytest.raises(ResearchError, match=r"lacks: training.labels.source: regime") as refused:
        train(job(regime), tmp_path / "a", final)
    assert refused.value.code is ErrorCode.INVALID_STRATEGY


def test_a_job_at_another_timeframe_than_the_strategys_is_refused(
    job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath
) -> None:
    with pytest.raises(ResearchError, match="wants bars of 4h") as refused:
        train(job(timeframe="4h"), tmp_path / "a", final)
    assert refused.value.code is ErrorCode.INVALID_STRATEGY
