"""A training's state after an epoch, on disk: resumed from it, a training gives the model it would have given.

Two files: arrays in `checkpoint-<epoch>.npz`, and `checkpoint.json`, which names them with their hash and is replaced
in one step. So there is a whole checkpoint at every moment, whenever the process dies. No pickle.
"""

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray
from pydantic import Field, ValidationError

from domain.results import Fraction, Frozen
from engine.model import Arrays, pack, unpack

STATE_FILE: Final = "checkpoint.json"


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


class _File(Frozen):
    fingerprint: str
    arrays: str = Field(pattern=r"^checkpoint-[0-9]+\.npz$")
    sha256: str
    state: FitState


def write_checkpoint(directory: Path, fingerprint: str, checkpoint: Checkpoint) -> None:
    """Replace the directory's checkpoint by this one."""
    content = pack({f"{tree}/{name}": a for tree, arrays in checkpoint.arrays.items() for name, a in arrays.items()})
    name = f"checkpoint-{checkpoint.state.epoch}.npz"
    _replace(directory / name, content)
    file = _File(
        fingerprint=fingerprint, arrays=name, sha256=hashlib.sha256(content).hexdigest(), state=checkpoint.state
    )
    _replace(directory / STATE_FILE, file.model_dump_json(indent=1).encode())
    for older in directory.glob("checkpoint-*.npz"):
        if older.name != name:
            older.unlink(missing_ok=True)


def read_checkpoint(directory: Path, fingerprint: str) -> Checkpoint | None:
    """The directory's checkpoint, or None if there is none, or it is damaged, or another training's."""
    try:
        file = _File.model_validate_json((directory / STATE_FILE).read_bytes())
        content = (directory / file.arrays).read_bytes()
        if file.fingerprint != fingerprint or hashlib.sha256(content).hexdigest() != file.sha256:
            return None
        flat = unpack(content)
    except (OSError, ValueError, ValidationError, zipfile.BadZipFile):
        return None
    arrays: dict[str, dict[str, NDArray[Any]]] = {}
    for key, array in flat.items():
        tree, _, name = key.partition("/")
        arrays.setdefault(tree, {})[name] = array
    return Checkpoint(file.state, arrays)


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)
