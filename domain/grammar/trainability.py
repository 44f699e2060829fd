"""Whether an engine can train a valid strategy, and all that it lacks: nothing asked for is left out in silence."""

from collections.abc import Iterator
from dataclasses import dataclass

from domain.grammar.features import Indicator
from domain.grammar.indicators import INDICATORS
from domain.grammar.learning import Decisions, Training, TripleBarrierLabels
from domain.grammar.schema import Strategy
from domain.grammar.values import TIMEFRAMES


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do, as a table to be widened."""

    models: frozenset[str]
    indicators: frozenset[str]
    memberships: frozenset[str]
    normalizations: frozenset[str]
    labels: frozenset[str]
    losses: frozenset[str]
    optimizers: frozenset[str]
    schedules: frozenset[str]
    input_transforms: frozenset[str] = frozenset()
    gradient_clip: bool = False
    early_stopping: bool = False
    cost_model: bool = False
    min_signal_separation: bool = False
    volume_filter: bool = False
    position_awareness: bool = False
    allow_short_from_flat: bool = False
    label_weights: bool = False
    class_weights: bool = False
    several_symbols: bool = False
    higher_timeframes: bool = False
    context_data: bool = False


ENGINE_CAPABILITIES = Capabilities(
    models=frozenset({"mlp", "lstm", "gru"}),
    indicators=frozenset(INDICATORS) - {"zigzag"},
    memberships=frozenset({"triangular", "trapezoidal", "gaussian"}),
    normalizations=frozenset({"none", "minmax", "zscore"}),
    labels=frozenset({"zigzag", "forward_return", "triple_barrier"}),
    losses=frozenset({"cross_entropy", "focal", "huber", "mse"}),
    optimizers=frozenset({"adam"}),
    schedules=frozenset({"step", "reduce_on_plateau"}),
    input_transforms=frozenset({"price_ratio"}),
    gradient_clip=True,
    early_stopping=True,
    cost_model=True,
    min_signal_separation=True,
    volume_filter=True,
    position_awareness=True,
    allow_short_from_flat=True,
    several_symbols=True,
    higher_timeframes=True,
    label_weights=True,
    class_weights=True,
)
"""What the embedded engine can train."""


@dataclass(frozen=True)
class Trainability:
    """lacks: each thing that the engine cannot do, by path ("model.type: lstm"). notes: what it does in its own way."""

    lacks: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def trainable(self) -> bool:
        return not self.lacks

    def __str__(self) -> str:
        return "trainable: yes" if self.trainable else f"trainable: no, this engine lacks {'; '.join(self.lacks)}"


def trainability(strategy: Strategy, engine: Capabilities = ENGINE_CAPABILITIES) -> Trainability:
    """Compare a strategy with an engine. Indicators and fuzzy sets that no input uses are not asked for."""
    lacks = (*_data(strategy, engine), *_features(strategy, engine), *_model(strategy, engine))
    rest = (*_decisions(strategy.decisions, engine), *_training(strategy.training, engine))
    return Trainability(tuple(dict.fromkeys(lacks + rest)), tuple(_split(strategy.training)))


def _split(training: Training) -> Iterator[str]:
    fixed = "the backtest part and the lockbox after them stay where they are"
    if training.data_split is not None:
        train, validation = training.data_split.train, training.data_split.validation
        yield f"training.data_split: train and validation are divided as {train:g} to {validation:g}; {fixed}"
        if training.validation_split is not None:
            yield "training.validation_split: not used, data_split divides train and validation"
    elif training.validation_split is not None:
        share = training.validation_split
        yield f"training.validation_split: validation is {share:g} of train and validation together; {fixed}"


def _data(strategy: Strategy, engine: Capabilities) -> Iterator[str]:
    data = strategy.training_data
    if len(data.symbols) > 1 and not engine.several_symbols:
        yield f"training_data.symbols: {len(data.symbols)} of them"
    for timeframe in sorted({feature.timeframe for feature in strategy.features} - {data.base_timeframe}):
        finer = TIMEFRAMES[timeframe] < TIMEFRAMES[data.base_timeframe]
        if finer or not engine.higher_timeframes:
            yield (
                f"training_data.timeframes: {timeframe} beside the base timeframe {data.base_timeframe}"
                f"{', which is coarser' if finer else ''}"
            )
    if strategy.context_data and not engine.context_data:
        yield f"context_data: {', '.join(dict.fromkeys(series.provider for series in strategy.context_data))}"


def _features(strategy: Strategy, engine: Capabilities) -> Iterator[str]:
    indicators: dict[str, Indicator] = {}
    for position, entry in enumerate(strategy.nn_inputs):
        if entry.kind == "raw":
            indicators[entry.indicator] = strategy.indicator(entry.indicator)
            if entry.normalization not in engine.normalizations:
                yield f"nn_inputs[{position}].normalization: {entry.normalization}"
            continue
        fuzzy_set = strategy.fuzzy_set(entry.fuzzy_set)
        indicators[fuzzy_set.indicator] = strategy.indicator(fuzzy_set.indicator)
        transform = fuzzy_set.input_transform
        if transform is not None and transform.type not in engine.input_transforms:
            yield f"fuzzy_sets.{fuzzy_set.id}.input_transform: {transform.type}"
        for membership in fuzzy_set.memberships:
            if membership.type not in engine.memberships:
                yield f"fuzzy_sets.{fuzzy_set.id}.{membership.name}.type: {membership.type}"
    for indicator in indicators.values():
        if indicator.type not in engine.indicators:
            yield f"indicators.{indicator.id}.type: {indicator.type}"
        if indicator.data_source is not None and not engine.context_data:
            yield f"indicators.{indicator.id}.data_source: {indicator.data_source}"


def _model(strategy: Strategy, engine: Capabilities) -> Iterator[str]:
    model = strategy.model
    if model.type not in engine.models:
        yield f"model.type: {model.type}"
    natural = "softmax" if strategy.decisions.output_format == "classification" else "linear"
    if model.output_activation not in (None, natural):
        yield f"model.architecture.output_activation: {model.output_activation}"


def _decisions(decisions: Decisions, engine: Capabilities) -> Iterator[str]:
    if decisions.cost_model is not None and not engine.cost_model:
        yield "decisions.cost_model"
    if decisions.position_awareness and not engine.position_awareness:
        yield "decisions.position_awareness: true"
    if decisions.allow_short_from_flat and not engine.allow_short_from_flat:
        yield "decisions.allow_short_from_flat: true"
    if decisions.filters.min_signal_separation and not engine.min_signal_separation:
        yield f"decisions.filters.min_signal_separation: {decisions.filters.min_signal_separation}"
    if decisions.filters.volume_filter and not engine.volume_filter:
        yield "decisions.filters.volume_filter: true"


def _training(training: Training, engine: Capabilities) -> Iterator[str]:
    if training.labels.source not in engine.labels:
        yield f"training.labels.source: {training.labels.source}"
    if (
        isinstance(training.labels, TripleBarrierLabels)
        and training.labels.compute_weights
        and not engine.label_weights
    ):
        yield "training.labels.compute_weights: true"
    if training.class_weights != "none" and not engine.class_weights:
        yield f"training.class_weights: {training.class_weights}"
    if training.loss not in engine.losses:
        yield f"training.loss: {training.loss}"
    if training.optimizer not in engine.optimizers:
        yield f"training.optimizer: {training.optimizer}"
    if training.lr_scheduler is not None and training.lr_scheduler.type not in engine.schedules:
        yield f"training.lr_scheduler.type: {training.lr_scheduler.type}"
    if training.gradient_clip is not None and not engine.gradient_clip:
        yield f"training.gradient_clip: {training.gradient_clip:g}"
    if training.early_stopping is not None and not engine.early_stopping:
        yield "training.early_stopping"
