"""The offline designer: Optuna's TPE over the strategy grammar. Costs no tokens, learns from earlier cycles.

It learns from validation and gate results alone; figures of the backtest part do not reach it, since a search that saw
them would fit them. The search has no state: each proposal rebuilds it from a memory snapshot, so the same seed and
snapshot give the same strategy, letter by letter.
"""

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from pydantic import ValidationError

from domain.cycle import MemorySnapshot, TrialRecord
from domain.errors import ErrorCode, ResearchError
from domain.results import Frozen
from domain.strategy import Strategy, dump_strategy, strategy_hash, trainability
from engine.bars import Bars
from engine.design_space import LAYERS, OSCILLATORS, TRENDS, VOLATILITIES, Choice, Ground, strategy_of
from engine.labels import TRADED, Targets, compute_labels
from engine.splits import MIN_VALIDATION, TRAIN, split_bars, training_bars

if TYPE_CHECKING:
    import optuna

MIN_CLASS_SHARE: Final = 0.10
"""The smallest share of train that a traded class of a proposal's labels has."""

MAX_DRAWS: Final = 200
"""So many draws without a usable new strategy, and the designer gives up."""

RANDOM_TRIALS: Final = 8
"""With fewer usable trials in memory, draws are random: there is too little to learn from."""

LONGEST_HORIZON: Final = 48
FEWEST_TRAIN_BARS: Final = 320
"""The history that strategies ask for (200 bars) and a little to learn from."""


class Proposal(Frozen):
    """A new strategy. `parameters_json` is the designer's own account of it, which it reads back from memory."""

    strategy_text: str
    name: str
    hypothesis: str
    parameters_json: str


def propose(
    *, symbol: str, timeframe: str, seed: int, memory: MemorySnapshot, bars: Bars, is_known: Callable[[str], bool]
) -> Proposal:
    """A strategy that has not been tried, trainable by the embedded engine.

    `is_known` tells whether a canonical hash has been tried; it has to answer as of the snapshot, or the same snapshot
    no longer gives the same design. Errors: data_unavailable for too few bars, design_invalid if no draw was usable.
    """
    tried = {trial.strategy_hash for trial in memory.trials}
    ground = _ground(bars)
    unusable = known = 0
    for choice in islice(_draws(seed, memory), MAX_DRAWS):
        strategy = strategy_of(choice, ground, "offline")
        if not _usable(strategy, bars):
            unusable += 1
            continue
        digest = strategy_hash(strategy)
        if digest in tried or is_known(digest):
            known += 1
            continue
        named = strategy.model_copy(update={"name": f"offline_{digest[:8]}"})
        return Proposal(
            strategy_text=dump_strategy(named),
            name=named.name,
            hypothesis=named.hypothesis,
            parameters_json=choice.model_dump_json(),
        )
    raise ResearchError(
        ErrorCode.DESIGN_INVALID,
        f"the offline designer found no new strategy for {symbol} {timeframe} in {MAX_DRAWS} draws: {known} were tried "
        f"before, and {unusable} were not trainable here, had a class to be traded below {MIN_CLASS_SHARE:.0%} of "
        "train, or left validation without labels. Start with another seed, or give a strategy of your own with "
        "--strategy",
    )


def smallest_traded_share(strategy: Strategy, bars: Bars) -> float:
    """The smaller share of BUY and SELL among train's labels; of a forward return, of its two signs.

    Raises ResearchError: as split_bars and compute_labels, INVALID_STRATEGY for labels that leave validation too few.
    """
    split = split_bars(strategy, pd.DatetimeIndex(bars.frame.index))
    seen = training_bars(bars.frame, split)

    def labelled(part: slice, zone: slice) -> Targets:
        targets = compute_labels(strategy.training.labels, seen.iloc[zone])[: part.stop - part.start]
        return targets[~np.isnan(targets)]

    judged = len(labelled(split.validation, split.validation_zone))
    if judged < MIN_VALIDATION:
        raise ResearchError(
            ErrorCode.INVALID_STRATEGY,
            f"training.labels: they leave {judged} bars of validation with a label, which is too little to learn by "
            f"({MIN_VALIDATION} are needed): choose a smaller threshold or another horizon",
        )
    targets = labelled(split.train, split.train_zone)
    if not len(targets):
        return 0.0
    if strategy.decisions.output_format == "regression":
        return float(min(np.mean(targets > 0), np.mean(targets < 0)))
    return float(min(np.mean(targets == kind) for kind in TRADED))


def _usable(strategy: Strategy, bars: Bars) -> bool:
    """Whether the engine can train it on these bars, and every class to be traded has its share of train."""
    if not trainability(strategy).trainable:
        return False
    try:
        return smallest_traded_share(strategy, bars) >= MIN_CLASS_SHARE
    except ResearchError as error:
        if error.code is ErrorCode.INVALID_STRATEGY:
            return False
        raise


def merit(trial: TrialRecord) -> float | None:
    """What the search maximises: a gate passed counts more than any skill. None for a trial that shows nothing."""
    if trial.training_gate_passed is None or trial.validation_skill is None:
        return None
    return trial.validation_skill + bool(trial.training_gate_passed) + bool(trial.backtest_gate_passed)


def _draws(seed: int, memory: MemorySnapshot) -> Iterator[Choice]:
    """Choices without end, the likelier to do well the more the memory holds. A choice passed over is not repeated."""
    # Optuna takes most of a second to import, and only a design needs it.
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = _space()
    digest = hashlib.sha256(f"{seed}:{memory.id}".encode()).digest()
    sampler = optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4], "big"), n_startup_trials=RANDOM_TRIALS)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials([known for record in memory.trials if (known := _remembered(record, space)) is not None])
    while True:
        trial = study.ask(space)
        yield Choice.model_validate(trial.params)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)


def _space() -> "dict[str, optuna.distributions.BaseDistribution]":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    return {
        "label": CategoricalDistribution(("zigzag", "forward_return")),
        "zigzag_multiple": FloatDistribution(6, 40, log=True),
        "horizon": IntDistribution(6, 48),
        "trend": CategoricalDistribution(TRENDS),
        "trend_period": IntDistribution(10, 100, log=True),
        "oscillator": CategoricalDistribution(OSCILLATORS),
        "oscillator_period": IntDistribution(7, 60, log=True),
        "volatility": CategoricalDistribution(VOLATILITIES),
        "volatility_period": IntDistribution(10, 60, log=True),
        "oscillator_input": CategoricalDistribution(("raw", "fuzzy")),
        "membership": CategoricalDistribution(("triangular", "gaussian")),
        "layers": CategoricalDistribution(tuple(LAYERS)),
        "activation": CategoricalDistribution(("relu", "tanh")),
        "dropout": FloatDistribution(0, 0.4),
        "learning_rate": FloatDistribution(0.0005, 0.02, log=True),
        "focal": CategoricalDistribution((False, True)),
        "confidence": FloatDistribution(0.35, 0.7),
        "separation": IntDistribution(4, 72, log=True),
        "edge_multiple": FloatDistribution(0, 4),
    }


def _remembered(
    record: TrialRecord, space: "dict[str, optuna.distributions.BaseDistribution]"
) -> "optuna.trial.FrozenTrial | None":
    """The record as Optuna knows trials; None for a strategy that was not drawn from this space, or shows nothing."""
    import optuna

    value = merit(record)
    if value is None or record.parameters is None:
        return None
    try:
        choice = Choice.model_validate_json(record.parameters)
    except ValidationError:
        return None
    return optuna.trial.create_trial(params=choice.model_dump(), distributions=space, value=value)


def _ground(bars: Bars) -> Ground:
    """The first half of the bars, less the longest look-ahead: within train whatever labels are chosen."""
    train = bars.frame.iloc[: max(int(len(bars.frame) * TRAIN) - LONGEST_HORIZON, 0)]
    if len(train) < FEWEST_TRAIN_BARS:
        least = int((FEWEST_TRAIN_BARS + LONGEST_HORIZON) / TRAIN)
        raise ResearchError(
            ErrorCode.DATA_UNAVAILABLE,
            f"the offline designer needs at least {least} bars; {bars.symbol} {bars.timeframe} has {len(bars.frame)}. "
            "Import more bars, or a finer timeframe",
        )
    ground = Ground(bars.symbol, bars.timeframe, bars.asset_class, train)
    if ground.typical_return <= 0:
        raise ResearchError(
            ErrorCode.DATA_UNAVAILABLE,
            f"the closes of {bars.symbol} {bars.timeframe} do not move in train; there is nothing to design for. "
            "Import other bars",
        )
    return ground
