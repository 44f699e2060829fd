"""What a new cycle takes over from an earlier one, so that nothing that is done is done or paid again."""

from collections.abc import Callable

from domain.cycle import CycleStatus, Fork, Phase
from domain.errors import ErrorCode, ResearchError
from domain.results import ArtifactPath, BacktestResult, Frozen, TrainingResult


class Inherited(Frozen):
    """The results of the phases before the first that the new cycle does by itself; None for what it makes anew."""

    hypothesis: str | None = None
    memory_snapshot: str | None = None
    training: TrainingResult | None = None
    backtest: BacktestResult | None = None


def inherited_from(source: CycleStatus, fork: Fork) -> Inherited:
    """What a fork that begins with this phase takes over.

    Raises ResearchError, data_unavailable, where the source has not come so far, with the phase from which it could be
    forked instead.
    """
    if source.strategy is None:
        raise _too_early(source, "designed no strategy", "there is nothing to take over: start a new one")
    with_training, with_backtest = fork.phase is not Phase.TRAINING, fork.phase is Phase.ASSESSING
    if with_training and source.training is None:
        raise _too_early(source, "has trained no model", "fork it from train")
    if with_backtest and source.backtest is None:
        raise _too_early(source, "was not backtested", "fork it from backtest")
    return Inherited(
        hypothesis=source.hypothesis,
        memory_snapshot=source.memory_snapshot,
        training=source.training if with_training else None,
        backtest=source.backtest if with_backtest else None,
    )


def require_model(taken: Inherited, fork: Fork, is_there: Callable[[ArtifactPath], bool]) -> None:
    """Refuse a fork that would backtest a model whose file is gone, as `is_there` says of its path below the artifacts.
    A model at a service is the service's.

    Raises ResearchError, data_unavailable.
    """
    path = taken.training.model_path if taken.training is not None else None
    if fork.phase is Phase.BACKTESTING and path is not None and not is_there(path):
        raise ResearchError(
            ErrorCode.DATA_UNAVAILABLE,
            f"the model of cycle {fork.cycle_id} is gone: there is no file {path} below the artifacts; fork it from "
            "train, which makes it anew",
        )


def source_of(fork: Fork, recorded: CycleStatus | None) -> CycleStatus:
    """The record of the fork's source. Raises ResearchError, data_unavailable, where the store has none."""
    if recorded is None:
        raise ResearchError(
            ErrorCode.DATA_UNAVAILABLE,
            f"the store has no record of cycle {fork.cycle_id}, run {fork.run_id}, which this cycle is a fork of. Let "
            "the worker use the store in which it was recorded (RESEARCH_DATABASE_URL), and fork it again",
        )
    return recorded


def _too_early(source: CycleStatus, what: str, mend: str) -> ResearchError:
    return ResearchError(ErrorCode.DATA_UNAVAILABLE, f"cycle {source.cycle_id} {what}; {mend}")
