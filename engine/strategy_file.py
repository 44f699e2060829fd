"""The strategy of a job, read from the strategies' directory and held to the hash that the job names."""

import hashlib

from domain.cycle import StrategyRef
from domain.errors import ErrorCode, ResearchError
from domain.strategy import Strategy, StrategyInvalid, load_strategy, trainability
from engine.interface import Places


def read_strategy(ref: StrategyRef, places: Places) -> Strategy:
    """The strategy, valid and trainable by the embedded engine.

    Raises ResearchError INVALID_STRATEGY as kept_strategy, and where it asks for what that engine cannot do.
    """
    strategy = kept_strategy(ref, places)
    answer = trainability(strategy)
    if not answer.trainable:
        raise _invalid(ref, f"cannot be trained by the embedded engine, which lacks: {'; '.join(answer.lacks)}.")
    return strategy


def kept_strategy(ref: StrategyRef, places: Places) -> Strategy:
    """The strategy, valid, as its file has it.

    Raises ResearchError INVALID_STRATEGY, which says what is wrong with the file, if it is gone, was changed since the
    job was made, or breaks the grammar.
    """
    path = places.strategies / ref.path
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _invalid(ref, f"cannot be read: {error.strerror or error}. Save the strategy again.") from error
    found = hashlib.sha256(content).hexdigest()
    if found != ref.sha256:
        raise _invalid(
            ref,
            f"has changed since the cycle began: its sha256 is {found[:12]}, not {ref.sha256[:12]}. "
            "Put that file back, or start the cycle again with the strategy as it is now.",
        )
    try:
        return load_strategy(content).strategy
    except StrategyInvalid as error:
        raise _invalid(ref, f"breaks the grammar: {error}") from error


def _invalid(ref: StrategyRef, why: str) -> ResearchError:
    return ResearchError(ErrorCode.INVALID_STRATEGY, f"the strategy {ref.name} ({ref.path}) {why}")
