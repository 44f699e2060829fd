"""A trained model as two files: the weights (npz) and everything else that a prediction needs (JSON). Never a pickle.

The files' bytes depend on the model alone, so that equal models have equal bytes and one id.
"""

import functools
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from domain.errors import ErrorCode, ResearchError
from domain.results import Frozen, Task
from domain.strategy import Decisions, Feature, Indicator
from domain.strategy import Model as Architecture
from engine.architectures import Network, skeleton
from engine.dataset import whole_windows
from engine.features import Matrix, Scaler, Scalers
from engine.labels import SignalClass
from engine.network import CHUNK, Head, forward

WEIGHTS_FILE: Final = "model.npz"
RECIPE_FILE: Final = "model.json"

Arrays = Mapping[str, NDArray[Any]]
_WHOLE: Final = slice(None)


class Recipe(Frozen):
    """What a model is beside its weights.

    classes: ids of the classes that the network tells apart, in the order of its outputs; empty for a regression.
    scalers: by symbol, then by feature.
    target_mean, target_scale: of the returns in train, in units of returns (regression).
    """

    format: Literal[2] = 2
    task: Task
    classes: tuple[SignalClass, ...]
    architecture: Architecture
    indicators: tuple[Indicator, ...]
    features: tuple[Feature, ...]
    scalers: dict[str, dict[str, Scaler]]
    target_mean: float = 0.0
    target_scale: float = 1.0
    decisions: Decisions
    strategy_sha256: str
    symbol: str
    timeframe: str
    seed: int

    @property
    def head(self) -> Head:
        """What the network's outputs mean."""
        return Head(len(self.classes), self.target_mean, self.target_scale)


@dataclass(frozen=True)
class Model:
    """A trained network with its recipe. model_id is the sha256 over the bytes of both files."""

    recipe: Recipe
    network: Network
    model_id: str

    def scalers(self, symbol: str) -> Scalers:
        """What build_features wants for a symbol's bars. Raises ResearchError BACKTEST_FAILED for one unknown to it."""
        try:
            return self.recipe.scalers[symbol]
        except KeyError:
            raise ResearchError(
                ErrorCode.BACKTEST_FAILED,
                f"the model was trained on {', '.join(self.recipe.scalers)}, not on {symbol}.",
            ) from None


def predict(model: Model, features: Matrix, part: slice = _WHOLE) -> NDArray[np.float64]:
    """The model's say on rows of `build_features`, of a part of them; the bars before a part are seen by its first.

    Classification: probabilities, shape (rows, 3), columns BUY, HOLD, SELL (SignalClass); a class that did not occur in
    train has 0. Regression: predicted returns, shape (rows,), as fractions. A row whose window has a NaN, or begins
    before the first bar, gets NaN.
    """
    head = model.recipe.head
    known = whole_windows(features, model.network.sequence_length)[part]
    filled = np.where(np.isfinite(features), features, 0.0).astype(np.float32)
    said = head.predictions(outputs_of(model.network, filled, np.arange(len(features))[part]))
    if not head.classes:
        return np.where(known, said, np.nan)
    probabilities = np.zeros((len(said), len(SignalClass)))
    probabilities[:, list(model.recipe.classes)] = said
    return np.where(known[:, np.newaxis], probabilities, np.nan)


def outputs_of(network: Network, features: NDArray[np.float32], ends: NDArray[np.integer]) -> NDArray[np.float32]:
    """The network's outputs, shape (ends, outputs), for the windows of `features` that end with these bars; of one
    that begins before the first bar what comes out means nothing.
    """
    # A chunk at a time, the last filled up, so that one compilation serves any number of rows.
    offsets = np.arange(1 - network.sequence_length, 1)
    filled = np.pad(ends, (0, -len(ends) % CHUNK))
    chunks = [
        np.asarray(forward(network, jnp.asarray(features[np.maximum(filled[at : at + CHUNK, None] + offsets, 0)])))
        for at in range(0, len(filled), CHUNK)
    ]
    return np.concatenate(chunks)[: len(ends)] if chunks else np.zeros((0, network.outputs), dtype=np.float32)


def save_model(recipe: Recipe, network: Network, directory: Path) -> str:
    """Write both files into an existing directory; gives the model's id."""
    weights = pack(arrays_of(network))
    text = json.dumps(recipe.model_dump(mode="json"), sort_keys=True, indent=1).encode()
    (directory / WEIGHTS_FILE).write_bytes(weights)
    (directory / RECIPE_FILE).write_bytes(text)
    return _model_id(weights, text)


def load_model(path: Path, model_id: str | None = None) -> Model:
    """The model in a directory (or beside a weights file), checked against `model_id` where one is given.

    Raises ResearchError BACKTEST_FAILED for files that are missing, damaged, or not those of that id.
    """
    directory = path if path.is_dir() else path.parent
    try:
        weights = (directory / WEIGHTS_FILE).read_bytes()
        text = (directory / RECIPE_FILE).read_bytes()
        found = _model_id(weights, text)
        if model_id is not None and found != model_id:
            raise _unreadable(directory, f"its id is {found[:12]}, not {model_id[:12]}")
        recipe = Recipe.model_validate_json(text)
        shapes = skeleton(recipe.architecture, len(recipe.features), recipe.head.outputs)
        return Model(recipe, with_weights(shapes, unpack(weights)), found)
    except (OSError, ValueError, TypeError, KeyError, ValidationError, zipfile.BadZipFile) as error:
        raise _unreadable(directory, str(error)) from error


def arrays_of(tree: Any) -> dict[str, NDArray[Any]]:  # noqa: ANN401
    """The arrays of a network, or of any tree, by their place in it, in a fixed order."""
    leaves, structure = jax.tree.flatten(tree)
    return {n: np.asarray(leaf) for n, leaf in zip(_places(structure), leaves, strict=True) if eqx.is_array(leaf)}


@functools.lru_cache(maxsize=32)
def _places(structure: Any) -> tuple[str, ...]:  # noqa: ANN401
    """The place of each leaf in words. Kept, since a training asks after each epoch, and it takes a millisecond."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(jax.tree.unflatten(structure, range(structure.num_leaves)))
    return tuple(jax.tree_util.keystr(path) for path, _ in leaves)


def with_weights(network: Network, weights: Arrays) -> Network:
    """The network with these weights in place of its own. ValueError if they are not those of such a network."""
    arrays, rest = eqx.partition(network, _is_array_or_its_shape)
    restored: Network = eqx.combine(refill(arrays, weights), rest)
    return restored


def _is_array_or_its_shape(leaf: object) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def refill(tree: Any, arrays: Arrays) -> Any:  # noqa: ANN401
    """A tree of arrays, each replaced by the one of its place. ValueError if names, shapes or types differ."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    names = [jax.tree_util.keystr(path) for path, _ in leaves]
    if set(names) != set(arrays):
        raise ValueError("the arrays are not those of this network")
    for name, (_, leaf) in zip(names, leaves, strict=True):
        if arrays[name].shape != leaf.shape or arrays[name].dtype != leaf.dtype:
            raise ValueError(f"the array {name} has another shape or type than the network's")
    return jax.tree_util.tree_unflatten(structure, [jnp.asarray(arrays[name]) for name in names])


def pack(arrays: Arrays) -> bytes:
    """The arrays as the bytes of an npz file; numpy dates its members 1980, so the bytes depend on the arrays alone."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{str(name): array for name, array in arrays.items()})
    return buffer.getvalue()


def unpack(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file; ValueError or BadZipFile for anything else, and nothing in it is ever executed."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (zlib.error, EOFError, RuntimeError, TypeError, AttributeError) as error:
        # A compressed, encrypted or cut member, a bare array: numpy has no one word for what is no npz file.
        raise ValueError(f"these are not the bytes of an npz file: {error}") from error


def _model_id(weights: bytes, recipe: bytes) -> str:
    return hashlib.sha256(weights + recipe).hexdigest()


def _unreadable(directory: Path, why: str) -> ResearchError:
    return ResearchError(
        ErrorCode.BACKTEST_FAILED,
        f"the model in {directory} cannot be read: {why[:300]}. Train the strategy again: the same job gives the same "
        "model.",
    )
