"""A training's state after an epoch, on disk: resumed from it, a training gives the model it would have given.

One file, `checkpoint-<epoch>`: a line with the hash of all that follows, a line of JSON, which says how the arrays lie
behind it, and their bytes. It gets its name when it is whole, and only then the one before it loses its own, so there
is a whole checkpoint at every moment, whenever the process dies. No pickle.

Many an epoch takes but ten milliseconds, hence no archive with a member for each array, and no new file each time: what
was the checkpoint before the last is written over, under a name that nobody reads. To write a fresh one and delete it
takes up to half as long again, to rename it over the last one three times as long (60 KB on ext4). It isn't synced
either: what a machine takes along that loses its power is epochs, which are done again to the same bytes.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, ValidationError

from domain.results import Fraction, Frozen
from engine.model import Arrays

_NAME: Final = re.compile(r"checkpoint-([0-9]+)")
_SPARE: Final = "checkpoint-spare"


class EpochRecord(Frozen):
    """One epoch as it is told in the history. Losses and accuracies after it, without dropout."""

    epoch: int = Field(ge=1)
    learning_rate: float
    train_loss: float
    validation_loss: float
    train_accuracy: Fraction
    validation_accuracy: Fraction


class FitState(Frozen):
    """Everything beside the arrays that the next epoch depends on. The random keys follow from the seed and epoch.

    stop_loss: the loss that early stopping measures against, and stale the epochs that did not beat it by min_delta.
    plateau: epochs without a better loss since the last better one or the last change of the learning rate.
    """

    epoch: int = Field(0, ge=0)
    learning_rate: float
    best_loss: float | None = None
    best_epoch: int = 0
    stop_loss: float | None = None
    stale: int = 0
    plateau: int = 0
    history: tuple[EpochRecord, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """State and arrays; the arrays of several trees in one mapping, each under the tree's name."""

    state: FitState
    arrays: Mapping[str, Arrays]


class _Array(Frozen):
    """Where an array belongs, and what its bytes are."""

    tree: str
    name: str
    dtype: str
    shape: tuple[NonNegativeInt, ...]


class _Head(Frozen):
    fingerprint: str
    state: FitState
    arrays: tuple[_Array, ...]


def write_checkpoint(directory: Path, fingerprint: str, checkpoint: Checkpoint) -> None:
    """Replace the directory's checkpoint by this one."""
    placed = [(tree, name, array) for tree, arrays in checkpoint.arrays.items() for name, array in arrays.items()]
    head = _Head(
        fingerprint=fingerprint,
        state=checkpoint.state,
        arrays=tuple(_Array(tree=tree, name=name, dtype=a.dtype.str, shape=a.shape) for tree, name, a in placed),
    )
    content = b"".join((head.model_dump_json().encode(), b"\n", *(array.tobytes() for _, _, array in placed)))
    path, spare = directory / f"checkpoint-{checkpoint.state.epoch}", directory / _SPARE
    spare.touch()
    with spare.open("r+b") as file:
        file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        file.truncate()
    spare.replace(path)
    for _, other in _checkpoints(directory):
        if other != path:
            other.replace(spare)


def read_checkpoint(directory: Path, fingerprint: str) -> Checkpoint | None:
    """The directory's checkpoint, or None if there is none, or it is damaged, or another training's."""
    for _, path in sorted(_checkpoints(directory), reverse=True):
        try:
            digest, _, content = path.read_bytes().partition(b"\n")
            if digest != hashlib.sha256(content).hexdigest().encode():
                continue
            text, _, data = content.partition(b"\n")
            head = _Head.model_validate_json(text)
            if head.fingerprint == fingerprint:
                return Checkpoint(head.state, _taken_apart(head.arrays, memoryview(data)))
        except (OSError, ValueError, TypeError, ValidationError):
            continue
    return None


def _checkpoints(directory: Path) -> Iterator[tuple[int, Path]]:
    """Those in a directory, with their epochs: two, where the process died between one and the other."""
    for path in directory.glob("checkpoint-*"):
        if named := _NAME.fullmatch(path.name):
            yield int(named[1]), path


def _taken_apart(arrays: tuple[_Array, ...], data: memoryview) -> Mapping[str, Arrays]:
    """By tree, then by name. ValueError where the data are not as long as they should be."""
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for one in arrays:
        dtype = np.dtype(one.dtype)
        size = prod(one.shape) * dtype.itemsize
        found.setdefault(one.tree, {})[one.name] = np.frombuffer(data[:size], dtype).reshape(one.shape)
        data = data[size:]
    if data:
        raise ValueError("there is more than the arrays that are named")
    return found
