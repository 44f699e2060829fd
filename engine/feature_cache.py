"""Features that were built before, by what they were built of: the same bars and indicators are computed once.

Kept as npy files below a folder of the machine's own. A file appears whole by a rename; a damaged one is made anew.
"""

import contextlib
import hashlib
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import talib
from numpy.typing import NDArray

from domain.strategy import Strategy
from engine.caches import bound

logger = logging.getLogger(__name__)

FORMAT: Final = 1
"""Raised with every change after which the same bars and indicators give other features."""

LEAST_BARS: Final = 100_000
"""With fewer bars computing takes milliseconds, as reading does: 2 to 9 ms for 6,000 bars, and a quarter of a second to
two seconds for a million, where hash and reading take 0.1 s (measured on two cores with 5 and 10 features)."""

MOST_BYTES: Final = 2 * 2**30

_folder: ContextVar[Path | None] = ContextVar("folder of kept features", default=None)


@contextlib.contextmanager
def features_kept_in(folder: Path | None) -> Iterator[None]:
    """Keep and reuse features below the folder for as long as the block runs; None keeps nothing."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def kept(strategy: Strategy, frame: pd.DataFrame, compute: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
    """What `compute` gives for the features of a strategy on these bars, or gave before."""
    folder = _folder.get()
    if folder is None or len(frame) < LEAST_BARS:
        return compute()
    path = folder / f"{_key(strategy, frame)}.npy"
    found = _read(path, (len(frame), len(strategy.features)))
    if found is not None:
        return found
    matrix = compute()
    _write(path, matrix)
    return matrix


def _key(strategy: Strategy, frame: pd.DataFrame) -> str:
    """sha256 of all that features depend on: bars with their times, indicators, columns, and who computes."""
    used = {feature.indicator for feature in strategy.features}
    asked = {
        "versions": [FORMAT, talib.__version__, np.__version__, pd.__version__],
        "base": strategy.training_data.base_timeframe,
        "indicators": [i.model_dump(mode="json") for i in strategy.indicators if i.id in used],
        "features": [feature.model_dump(mode="json") for feature in strategy.features],
        "columns": list(frame.columns),
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    digest.update(pd.DatetimeIndex(frame.index).as_unit("ns").asi8.tobytes())
    digest.update(np.ascontiguousarray(frame.to_numpy(dtype=np.float64)).tobytes())
    return digest.hexdigest()


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.float64] | None:
    try:
        matrix = np.load(path, allow_pickle=False)
        os.utime(path)  # what is used is not the oldest
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        logger.warning("kept features are made anew: %s cannot be read: %s", path, error)
        return None
    return matrix if matrix.shape == shape and matrix.dtype == np.float64 else None


def _write(path: Path, matrix: NDArray[np.float64]) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                np.save(file, matrix, allow_pickle=False)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("features could not be kept: %s", error)
        return
    bound(path.parent, "*.npy", MOST_BYTES)
