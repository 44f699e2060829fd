"""Fitting a network to a dataset, epoch by epoch: schedules, early stopping, the best epoch's weights, checkpoints.

Every epoch's randomness comes from the seed and the epoch's number alone, so a fit that is interrupted after any epoch
and resumed from its checkpoint gives the same bits as one that was not.
"""

import hashlib
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from domain.errors import ErrorCode, ResearchError
from domain.strategy import PlateauSchedule, StepSchedule, Strategy, Training
from engine.architectures import Network
from engine.checkpoint import Checkpoint, EpochRecord, FitState, read_checkpoint, write_checkpoint
from engine.dataset import Dataset, PartRows
from engine.interface import Progress, Report
from engine.metrics import accuracy
from engine.model import arrays_of, refill, with_weights
from engine.network import (
    Chance,
    EpochResult,
    Numbers,
    Plan,
    Rows,
    begin,
    filled_up,
    guessing_loss,
    run_epoch,
)


@dataclass(frozen=True)
class Fitted:
    """The network with the best epoch's weights, and how it came about."""

    network: Network
    state: FitState


@dataclass(frozen=True)
class _Step:
    """A fit between two epochs."""

    network: Network
    optimizer_state: Any
    best: Network
    state: FitState


def fit(
    strategy: Strategy,
    dataset: Dataset,
    seed: int,
    workdir: Path,
    report: Report,
    *,
    job: str = "",
    resume_from: Path | None = None,
) -> Fitted:
    """Train the strategy's network on the dataset, with a checkpoint in `workdir` and a report after each epoch.

    With a whole checkpoint of the same job (`job` names it), data and seed in `resume_from` it goes on from there, and
    without one it starts. Raises ResearchError TRAINING_FAILED when the loss stops being a number.
    """
    training = strategy.training
    plan = make_plan(strategy, dataset)
    given = on_device(dataset)
    network, optimizer_state = begin(strategy.model, len(dataset.features), plan, seed)
    step = _Step(network, optimizer_state, network, FitState(learning_rate=training.learning_rate))
    mark = fingerprint(strategy, dataset, seed, job)
    found = read_checkpoint(resume_from, mark) if resume_from is not None else None
    if found is not None:
        step = _restore(step, found)
        write_checkpoint(workdir, mark, found)
        report(_progress(step.state, training))
    began = time.monotonic() - step.state.seconds
    rate, numbers = step.state.learning_rate, numbers_of(training, dataset, step.state.learning_rate)
    while step.state.epoch < training.epochs and not _stops(step.state, training):
        if step.state.learning_rate != rate:
            rate, numbers = step.state.learning_rate, numbers_of(training, dataset, step.state.learning_rate)
        network, optimizer_state, result = run_epoch(
            step.network,
            step.optimizer_state,
            *given,
            Chance.of(seed, step.state.epoch + 1, len(dataset.train.ends)),
            numbers,
            plan,
        )
        state = _advance(step.state, _record(step.state, dataset, result), training)
        better = state.best_epoch == state.epoch
        state = state.model_copy(update={"seconds": time.monotonic() - began})
        step = _Step(network, optimizer_state, network if better else step.best, state)
        write_checkpoint(workdir, mark, _checkpoint(step))
        report(_progress(state, training))
    return Fitted(step.best, step.state)


def make_plan(strategy: Strategy, dataset: Dataset) -> Plan:
    """What of the training the epoch is compiled for."""
    training = strategy.training
    return Plan(dataset.head.classes, training.loss, training.batch_size, training.gradient_clip is not None)


def baseline_loss(strategy: Strategy, dataset: Dataset) -> float:
    """The validation loss of guessing train's class frequencies for every row, or train's mean return."""
    classes = dataset.head.classes
    # Scores whose softmax are the frequencies; a return of train's mean is 0 in units of the output.
    guess = np.log(np.bincount(dataset.train.targets, minlength=classes)) if classes else np.zeros(1)
    numbers = numbers_of(strategy.training, dataset, strategy.training.learning_rate)
    rows = _part_on_device(dataset.validation, dataset)
    return float(guessing_loss(jnp.asarray(guess.astype(np.float32)), rows, numbers, make_plan(strategy, dataset)))


def fingerprint(strategy: Strategy, dataset: Dataset, seed: int, job: str) -> str:
    """What a checkpoint belongs to: resumed under any other, it would not give the same bits."""
    digest = hashlib.sha256(f"{job} {seed} {jax.__version__} {jax.default_backend()}".encode())
    digest.update(strategy.model_dump_json().encode())
    digest.update(np.ascontiguousarray(dataset.train.features).tobytes())
    for rows in (dataset.train, dataset.validation):
        for array in (rows.ends, rows.targets, rows.weights):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _record(before: FitState, dataset: Dataset, result: EpochResult) -> EpochRecord:
    epoch = before.epoch + 1
    train_loss, validation_loss = float(result.train_loss), float(result.validation_loss)
    if not (math.isfinite(train_loss) and math.isfinite(validation_loss)):
        raise ResearchError(
            ErrorCode.TRAINING_FAILED,
            f"in epoch {epoch} the loss became {train_loss} (train) and {validation_loss} (validation), with the "
            f"learning rate {before.learning_rate:g}. Lower training.learning_rate, or set training.gradient_clip.",
        )
    return EpochRecord(
        epoch=epoch,
        learning_rate=before.learning_rate,
        train_loss=train_loss,
        validation_loss=validation_loss,
        train_accuracy=_accuracy(result.train_outputs, dataset, dataset.train),
        validation_accuracy=_accuracy(result.validation_outputs, dataset, dataset.validation),
    )


def _accuracy(outputs: Array, dataset: Dataset, rows: PartRows) -> float:
    said = np.asarray(outputs)[: len(rows.targets)]
    if not dataset.head.classes:
        said = dataset.head.predictions(said)
    # Of classes the largest output is the largest probability: no need to work that out.
    return accuracy(said, rows.targets, dataset.head.classes)


def _advance(state: FitState, record: EpochRecord, training: Training) -> FitState:
    """The state after an epoch, and the learning rate of the next."""
    loss = record.validation_loss
    better = state.best_loss is None or loss < state.best_loss
    least = training.early_stopping.min_delta if training.early_stopping else 0.0
    beaten = state.stop_loss is None or loss < state.stop_loss - least
    rate, plateau = _next_rate(state, training, record.epoch, 0 if better else state.plateau + 1)
    return FitState(
        epoch=record.epoch,
        learning_rate=rate,
        best_loss=loss if better else state.best_loss,
        best_epoch=record.epoch if better else state.best_epoch,
        stop_loss=loss if beaten else state.stop_loss,
        stale=0 if beaten else state.stale + 1,
        plateau=plateau,
        history=(*state.history, record),
    )


def _next_rate(state: FitState, training: Training, epoch: int, plateau: int) -> tuple[float, int]:
    schedule = training.lr_scheduler
    if isinstance(schedule, StepSchedule):
        return training.learning_rate * schedule.gamma ** (epoch // schedule.step_size), plateau
    if isinstance(schedule, PlateauSchedule) and plateau >= schedule.patience:
        return state.learning_rate * schedule.factor, 0
    return state.learning_rate, plateau


def _stops(state: FitState, training: Training) -> bool:
    return training.early_stopping is not None and state.stale >= training.early_stopping.patience


def _progress(state: FitState, training: Training) -> Progress:
    loss = state.history[-1].validation_loss
    return Progress(
        fraction=state.epoch / training.epochs,
        step=f"epoch {state.epoch} of {training.epochs}, validation loss {loss:.4g}",
    )


def numbers_of(training: Training, dataset: Dataset, learning_rate: float) -> Numbers:
    """The training's numbers at a learning rate, as the compiled epoch takes them."""
    huber_delta = training.huber_delta / dataset.head.scale
    return Numbers.of(learning_rate, training.focal_gamma, huber_delta, training.gradient_clip)


def on_device(dataset: Dataset) -> tuple[Array, Rows, Rows]:
    """Features and both parts' rows, as run_epoch wants them."""
    features = _filled(dataset.train.features)
    return jnp.asarray(features), _part_on_device(dataset.train, dataset), _part_on_device(dataset.validation, dataset)


def _part_on_device(rows: PartRows, dataset: Dataset) -> Rows:
    targets = rows.targets if dataset.head.classes else dataset.head.standardised(rows.targets).astype(np.float32)
    return Rows(
        ends=jnp.asarray(_filled(rows.ends)),
        targets=jnp.asarray(_filled(targets)),
        weights=jnp.asarray(_filled(rows.weights)),
        count=jnp.asarray(np.int32(len(targets))),
    )


def _filled(array: NDArray[Any]) -> NDArray[Any]:
    """The rows and zeros below them."""
    return np.pad(array, [(0, filled_up(len(array)) - len(array)), *[(0, 0)] * (array.ndim - 1)])


def _checkpoint(step: _Step) -> Checkpoint:
    trees = {"network": step.network, "optimizer": step.optimizer_state, "best": step.best}
    return Checkpoint(step.state, {name: arrays_of(tree) for name, tree in trees.items()})


def _restore(step: _Step, found: Checkpoint) -> _Step:
    return replace(
        step,
        network=with_weights(step.network, found.arrays["network"]),
        optimizer_state=refill(step.optimizer_state, found.arrays["optimizer"]),
        best=with_weights(step.best, found.arrays["best"]),
        state=found.state,
    )
