"""The grammar and its indicators in short, for prompts and tools: written from the grammar itself, never beside it."""

import types
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from domain.grammar import learning
from domain.strategy import (
    INDICATORS,
    LABELS_OF,
    LOSSES_OF,
    Capabilities,
    CostModel,
    DataSplit,
    Decisions,
    EarlyStopping,
    Filters,
    IndicatorType,
    Mlp,
    PlateauSchedule,
    RawInput,
    Recurrent,
    StepSchedule,
    Strategy,
    StrategyInvalid,
    Training,
    TrainingData,
    find_indicator,
    load_strategy,
)

_LABELS = (
    learning.ZigzagLabels,
    learning.ForwardReturnLabels,
    learning.TripleBarrierLabels,
    learning.ContextLabels,
    learning.RegimeLabels,
)

_SHAPES = {"triangular": "[a, b, c] rising", "trapezoidal": "[a, b, c, d] rising", "gaussian": "[mu, sigma]"}


def catalogue(able: Capabilities) -> str:
    """Every indicator that can be trained, with its parameters and outputs, one a line."""
    lines = [f"- {indicator_line(kind)}" for kind in INDICATORS.values() if kind.name in able.indicators]
    others = ", ".join(name for name in INDICATORS if name not in able.indicators)
    return "\n".join([*lines, f"Valid in the grammar, but not trainable here: {others}."])


def indicator_line(kind: IndicatorType) -> str:
    """`macd(fast_period, slow_period, signal_period) -> line, signal, histogram`, without outputs that look ahead.

    Nor defaults, `source` and the switches of outputs that come in any case: every prompt of a design has all lines.
    """
    unsaid = ("source", "include_oscillator", "include_middle")
    parameters = ", ".join(p.name for p in kind.parameters if p.name not in unsaid)
    outputs = [output for output in kind.outputs if output not in dict(kind.looks_ahead)]
    return f"{kind.name}({parameters})" + (f" -> {', '.join(outputs)}" if outputs else "")


def indicator_detail(kind: IndicatorType, able: Capabilities) -> str:
    """All that the grammar says of an indicator."""
    lines = [indicator_line(kind)]
    lines += [f"- {p.name}: {p.allowed}" for p in kind.parameters]
    lines += [
        f"- {small} has to be {'below' if strictly else 'at most'} {large}" for small, large, strictly in kind.ordered
    ]
    lines += [f"- also called {', '.join(kind.aliases)}"] if kind.aliases else []
    lines += [
        f"- refused as an input{f', output {output}' if output else ''}: {why}" for output, why in kind.looks_ahead
    ]
    lines.append(
        f"- leading bars without a value, by default: {kind.warmup({p.name: p.default for p in kind.parameters})}"
    )
    lines.append(f"- trainable here: {'yes' if kind.name in able.indicators else 'no'}")
    return "\n".join(lines)


def indicator_named(name: str) -> IndicatorType | None:
    """The indicator under any of its names."""
    return find_indicator(name)


def grammar(able: Capabilities) -> str:
    """Every section of a strategy that can be trained, with keys, bounds and defaults."""
    data = fields_of(TrainingData, but=("symbols", "timeframes", "base_timeframe"))
    model = fields_of(Mlp, but=("type", "output_activation"))
    several_bars = " or ".join(sorted(able.models & {"gru", "lstm"}))
    shape = fields_of(Recurrent, but=("type", "output_activation"))
    recurrent = f"{several_bars}, architecture: {{{shape}}}" if several_bars else ""
    decisions = fields_of(Decisions, but=(*_unable(able), "cost_model", "filters"))
    filters = fields_of(Filters, but=() if able.volume_filter else ("volume_filter",))
    training = fields_of(Training, but=("labels", "lr_scheduler", "early_stopping", "data_split", "optimizer"))
    lines = [
        "name: a file name, letters, digits, _ and -, up to 80",
        f"training_data: symbols {{mode: single, symbol: S}}; timeframes {{mode: single, timeframe: T}}; {data}",
        "indicators: a mapping of your own ids to {type: ..., parameters}",
        "fuzzy_sets: a mapping of your own ids to {indicator: ID or ID.output, <membership>: {type, parameters}, ...}; "
        f"types {'; '.join(f'{n} {shape}' for n, shape in _SHAPES.items() if n in able.memberships)}; with "
        "input_transform: {type: price_ratio, reference: close} the value is divided by the price, as an indicator in "
        "units of the price needs it",
        f"nn_inputs: a list of {{fuzzy_set: ID}} or {{raw_indicator: ID or ID.output, {_raw_normalization(able)}}}",
        f"model: {{type: mlp, architecture: {{{model}}}}}" + (f" or {{type: {recurrent}}}" if recurrent else ""),
        f"decisions: {decisions}; filters: {{{filters}}}; for a regression cost_model: {{{fields_of(CostModel)}}}",
        *_label_lines(able),
        "training.loss: " + "; ".join(f"{form}: {', '.join(losses)}" for form, losses in LOSSES_OF.items()),
        f"training: {training}; optimizer adam; early_stopping: {{enabled: true, {fields_of(EarlyStopping)}}}; "
        f"lr_scheduler: {{type: step, {fields_of(StepSchedule, but=('type',))}}} or "
        f"{{type: reduce_on_plateau, {fields_of(PlateauSchedule, but=('type',))}}}; "
        f"data_split: {{{fields_of(DataSplit)}}}, which divides train and validation alone",
    ]
    return "\n".join(f"- {line}" for line in lines)


def fields_of(model: type[BaseModel], but: Iterable[str] = ()) -> str:
    """The model's keys with their bounds and defaults: `epochs 1..1000 (100), ...`."""
    return ", ".join(_field(name, field) for name, field in model.model_fields.items() if name not in but)


@lru_cache(maxsize=2048)
def sketch(strategy_text: str | None) -> str:
    """What a strategy is, in a line; the text may be of any age and from any hand."""
    try:
        strategy = load_strategy(strategy_text or "").strategy
    except StrategyInvalid:
        return "a strategy that can no longer be read"
    return "; ".join(_traits(strategy))


def features_of(strategy: Strategy) -> frozenset[str]:
    """What two strategies can have in common: indicators by type, labels, network, kind of input."""
    indicators = {strategy.indicator(feature.indicator).type for feature in strategy.features}
    return frozenset({*indicators, strategy.training.labels.source, strategy.model.type, strategy.training.loss})


def _traits(strategy: Strategy) -> Iterator[str]:
    used = dict.fromkeys(feature.indicator for feature in strategy.features)
    yield "sees " + ", ".join(_called(strategy, name) for name in used)
    kinds = dict.fromkeys(entry.kind for entry in strategy.nn_inputs)
    labels = strategy.training.labels.model_dump(exclude={"source"})
    first = next(iter(labels.values()))
    yield f"{'+'.join(kinds)} inputs, labels {strategy.training.labels.source} {first}"
    size = "-".join(str(units) for units in strategy.model.hidden_layers) if isinstance(strategy.model, Mlp) else ""
    yield f"{strategy.model.type} {size}, {strategy.training.loss}".replace(" ,", ",")
    decisions = strategy.decisions
    yield f"confidence {decisions.confidence_threshold:g}, separation {decisions.filters.min_signal_separation}"


def _called(strategy: Strategy, name: str) -> str:
    indicator = strategy.indicator(name)
    numbers = (str(v) for v in indicator.parameters.values() if isinstance(v, int | float) and not isinstance(v, bool))
    return f"{indicator.type}({' '.join(numbers)})"


def _label_lines(able: Capabilities) -> Iterator[str]:
    for labels in _LABELS:
        source = labels.model_fields["source"].default
        if source in able.labels:
            form = next(form for form, sources in LABELS_OF.items() if source in sources)
            doc = " ".join((labels.__doc__ or "").split())
            yield f"training.labels ({form}): source {source}, {fields_of(labels, but=('source',))}. {doc}"


def _raw_normalization(able: Capabilities) -> str:
    default = RawInput.model_fields["normalization"].default
    return f"normalization {'|'.join(sorted(able.normalizations))} ({default})"


def _unable(able: Capabilities) -> tuple[str, ...]:
    switches = ("position_awareness", "allow_short_from_flat")
    return tuple(name for name in switches if not getattr(able, name))


def _field(name: str, field: FieldInfo) -> str:
    words = [name, _values(field)]
    if not field.is_required() and field.default is not None:
        words.append(f"({_plain(field.default)})")
    return " ".join(filter(None, words))


def _values(field: FieldInfo) -> str:
    """Bounds or choices in short; nothing where any value of its kind will do."""
    choices = list(_choices(field.annotation))
    if choices:
        return "|".join(choices)
    if field.annotation is bool:
        return "true|false"
    low = high = ""
    for constraint in (*field.metadata, *_nested(field.annotation)):
        if isinstance(constraint, Ge):
            low = f"{constraint.ge}"
        elif isinstance(constraint, Gt):
            low = f">{constraint.gt}"
        elif isinstance(constraint, Le):
            high = f"{constraint.le}"
        elif isinstance(constraint, Lt):
            high = f"<{constraint.lt}"
    listed = "list of " if get_origin(field.annotation) is tuple else ""
    return f"{listed}{low}..{high}" if low or high else ""


def _choices(annotation: object) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from (str(choice) for choice in get_args(annotation))
    elif get_origin(annotation) in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _choices(part)


def _nested(annotation: object) -> Iterator[Any]:
    for part in get_args(annotation):
        yield from getattr(part, "__metadata__", ())
        for metadata in getattr(part, "__metadata__", ()):
            if isinstance(metadata, FieldInfo):
                yield from metadata.metadata
        yield from _nested(part)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
