"""The strategy that a job names, read from the strategies' root and checked against its hash."""

import hashlib
from pathlib import Path

from domain.cycle import StrategyRef
from domain.errors import ErrorCode, ResearchError
from domain.strategy import Strategy, StrategyInvalid, load_strategy


def open_strategy(ref: StrategyRef, root: Path) -> Strategy:
    """The strategy of a reference.

    Raises ResearchError INVALID_STRATEGY if the file is gone, is no longer the one that was saved, or is no strategy.
    """
    path = root / ref.path
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _invalid(f"{path} cannot be read: {error.strerror}. Restore the file, or start a new cycle.") from error
    if hashlib.sha256(content).hexdigest() != ref.sha256:
        raise _invalid(f"{path} was changed after it was saved for this cycle. Start a new cycle with it.")
    try:
        return load_strategy(content).strategy
    except StrategyInvalid as error:
        raise _invalid(f"{path} is not a valid strategy: {error}") from error


def _invalid(message: str) -> ResearchError:
    return ResearchError(ErrorCode.INVALID_STRATEGY, message)
