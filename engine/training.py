"""One training job from the strategy's file to the published model: the function that an engine process runs."""

import json
import time
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from domain.errors import ErrorCode, ResearchError
from domain.results import LossCurve, Task, TrainingResult
from domain.strategy import Strategy
from engine.dataset import Dataset, prepare
from engine.feature_cache import features_kept_in
from engine.features import build_features
from engine.fitting import Fitted, baseline_loss, fit
from engine.interface import Places, Progress, Report, TrainJob
from engine.metrics import class_metrics, return_metrics
from engine.model import WEIGHTS_FILE, Model, Recipe, load_model, outputs_of, predict, save_model
from engine.signals import loud_enough
from engine.strategy_file import read_strategy
from engine.universe import load_universe

__all__ = ["Model", "build_features", "load_model", "predict", "run_training", "summarise"]

HISTORY_FILE: Final = "history.json"


def run_training(
    job: TrainJob,
    places: Places,
    workdir: Path,
    final: PurePosixPath,
    report: Report,
    resume_from: Path | None = None,
) -> TrainingResult:
    """Train a job's strategy on its bars; blocks until done, reports what it prepares, and then after each epoch.

    Writes model.npz, model.json, history.json and the checkpoint into `workdir`. The paths in the result lie under
    `final`, the name that the directory is published by, relative to places.artifacts. `resume_from` is the directory
    of an earlier attempt; from a checkpoint of the same job in it the training goes on and gives the same bytes.

    Raises ResearchError: INVALID_STRATEGY, DATA_UNAVAILABLE, TRAINING_FAILED.
    """
    began = time.monotonic()
    report(Progress(fraction=0.0, step="reading bars"))
    strategy = read_strategy(job.strategy, places)
    if job.timeframe != strategy.training_data.base_timeframe:
        raise ResearchError(
            ErrorCode.INVALID_STRATEGY,
            f"the cycle wants bars of {job.timeframe}, but {job.strategy.name} is made for "
            f"{strategy.training_data.base_timeframe}: its look-aheads and periods count those bars. Start it with "
            f"that timeframe, or change training_data.timeframes in the file.",
        )
    universe = load_universe(strategy, job.symbol, job.timeframe, places.data)
    if strategy.decisions.filters.volume_filter:
        for frame in universe.frames.values():
            loud_enough(frame["volume"].to_numpy(dtype=np.float64))  # refuses now what the backtest could not trade
    with features_kept_in(places.cache):
        dataset = prepare(strategy, universe.frames)
    prepared = time.monotonic() - began
    report(Progress(fraction=0.0, step="compiling the network"))  # by far the longest part where nothing is cached
    fitted = fit(strategy, dataset, job.seed, workdir, report, job=job.model_dump_json(), resume_from=resume_from)
    model_id = save_model(_recipe(job, strategy, dataset), fitted.network, workdir)
    history = [record.model_dump() for record in fitted.state.history]
    (workdir / HISTORY_FILE).write_text(json.dumps(history, indent=1))
    return summarise(
        strategy,
        dataset,
        fitted,
        model_id=model_id,
        final=final,
        data_sha256=universe.sha256,
        seed=job.seed,
        seconds=prepared + fitted.state.seconds,
    )


def summarise(
    strategy: Strategy,
    dataset: Dataset,
    fitted: Fitted,
    *,
    model_id: str,
    final: PurePosixPath,
    data_sha256: str,
    seed: int,
    seconds: float,
) -> TrainingResult:
    """What is told of a fit, everything but the ids measured on train and validation alone."""
    history = fitted.state.history
    best = history[fitted.state.best_epoch - 1]
    validation = dataset.validation
    said = dataset.head.predictions(outputs_of(fitted.network, validation.features, validation.ends))
    targets = validation.targets
    if dataset.task is Task.CLASSIFICATION:
        metrics = class_metrics(said, targets, dataset.classes, dataset.unseen)
    else:
        metrics = return_metrics(said, targets)
    return TrainingResult(
        model_id=model_id,
        model_path=str(final / WEIGHTS_FILE),
        history_path=str(final / HISTORY_FILE),
        task=dataset.task,
        classes=len(dataset.classes),
        epochs=len(history),
        best_epoch=best.epoch,
        train_loss=_curve([record.train_loss for record in history]),
        validation_loss=_curve([record.validation_loss for record in history]),
        model_loss=best.validation_loss,
        baseline_loss=baseline_loss(strategy, dataset),
        train_accuracy=best.train_accuracy,
        validation_accuracy=best.validation_accuracy,
        validation_metrics=metrics,
        class_balance=dict(dataset.class_balance),
        features=dataset.features,
        parts=dataset.parts,
        bars_used=dataset.bars_used,
        data_sha256=data_sha256,
        seed=seed,
        seconds=seconds,
    )


def _recipe(job: TrainJob, strategy: Strategy, dataset: Dataset) -> Recipe:
    return Recipe(
        task=dataset.task,
        classes=dataset.classes,
        architecture=strategy.model,
        indicators=strategy.indicators,
        features=strategy.features,
        scalers={symbol: dict(scalers) for symbol, scalers in dataset.scalers.items()},
        target_mean=dataset.head.mean,
        target_scale=dataset.head.scale,
        decisions=strategy.decisions,
        strategy_sha256=job.strategy.sha256,
        symbol=job.symbol,
        timeframe=job.timeframe,
        seed=job.seed,
    )


def _curve(losses: list[float]) -> LossCurve:
    return LossCurve(initial=losses[0], final=losses[-1], best=min(losses))
