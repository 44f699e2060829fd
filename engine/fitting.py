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

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from domain.errors import ErrorCode, ResearchError
from domain.strategy import PlateauSchedule, StepSchedule, Strategy, Training
from engine.checkpoint import Checkpoint, EpochRecord, FitState, read_checkpoint, write_checkpoint
from engine.dataset import Dataset, PartRows
from engine.interface import Progress, Report
from engine.metrics import accuracy
from engine.model import arrays_of, refill, with_weights
from engine.network import (
    EpochResult,
    Network,
    Plan,
    Rows,
    class_losses,
    make_network,
    make_optimizer,
    return_losses,
    run_epoch,
)

_EPOCHS_KEY = 1


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
    key = jax.random.key(seed)
    network = make_network(strategy.model, len(dataset.features), dataset.head, jax.random.fold_in(key, 0))
    optimizer_state = make_optimizer(plan).init(eqx.filter(network, eqx.is_inexact_array))
    step = _Step(network, optimizer_state, network, FitState(learning_rate=training.learning_rate))
    mark = fingerprint(strategy, dataset, seed, job)
    found = read_checkpoint(resume_from, mark) if resume_from is not None else None
    if found is not None:
        step = _restore(step, found)
        write_checkpoint(workdir, mark, found)
        report(_progress(step.state, training))
    epochs_key = jax.random.fold_in(key, _EPOCHS_KEY)
    train, validation = _on_device(dataset.train), _on_device(dataset.validation)
    began = time.monotonic() - step.state.seconds
    while step.state.epoch < training.epochs and not _stops(step.state, training):
        epoch_key = jax.random.fold_in(epochs_key, step.state.epoch + 1)
        rate = jnp.float32(step.state.learning_rate)
        network, optimizer_state, result = run_epoch(
            step.network, step.optimizer_state, train, validation, epoch_key, rate, plan
        )
        state = _advance(step.state, _record(step.state, dataset, result), training)
        better = state.best_epoch == state.epoch
        state = state.model_copy(update={"seconds": time.monotonic() - began})
        step = _Step(network, optimizer_state, network if better else step.best, state)
        write_checkpoint(workdir, mark, _checkpoint(step))
        report(_progress(state, training))
    return Fitted(step.best, step.state)


def make_plan(strategy: Strategy, dataset: Dataset) -> Plan:
    """The training's numbers as the compiled epoch takes them."""
    training = strategy.training
    return Plan(
        head=dataset.head,
        loss=training.loss,
        focal_gamma=training.focal_gamma,
        huber_delta=training.huber_delta,
        batch_size=training.batch_size,
        gradient_clip=training.gradient_clip,
    )


def baseline_loss(strategy: Strategy, dataset: Dataset) -> float:
    """The validation loss of guessing train's class frequencies for every row, or train's mean return."""
    plan, targets = make_plan(strategy, dataset), jnp.asarray(dataset.validation.targets)
    if not dataset.head.classes:
        return float(jnp.mean(return_losses(plan, jnp.full(targets.shape, dataset.head.mean), targets)))
    frequencies = np.bincount(dataset.train.targets, minlength=dataset.head.classes) / len(dataset.train.targets)
    guess = jnp.broadcast_to(jnp.log(jnp.asarray(frequencies)), (len(targets), dataset.head.classes))
    return float(jnp.mean(class_losses(plan, guess, targets)))


def fingerprint(strategy: Strategy, dataset: Dataset, seed: int, job: str) -> str:
    """What a checkpoint belongs to: resumed under any other, it would not give the same bits."""
    digest = hashlib.sha256(f"{job} {seed} {jax.__version__} {jax.default_backend()}".encode())
    digest.update(strategy.model_dump_json().encode())
    for rows in (dataset.train, dataset.validation):
        digest.update(np.ascontiguousarray(rows.features).tobytes())
        digest.update(np.ascontiguousarray(rows.targets).tobytes())
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
    classes = dataset.head.classes
    return EpochRecord(
        epoch=epoch,
        learning_rate=before.learning_rate,
        train_loss=train_loss,
        validation_loss=validation_loss,
        train_accuracy=accuracy(np.asarray(result.train_predictions), dataset.train.targets, classes),
        validation_accuracy=accuracy(np.asarray(result.validation_predictions), dataset.validation.targets, classes),
    )


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


def _on_device(rows: PartRows) -> Rows:
    return Rows(jnp.asarray(rows.features), jnp.asarray(rows.targets))


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
