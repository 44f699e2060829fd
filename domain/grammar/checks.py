"""Rules between the parts of a strategy: names that must exist, losses that must fit, bounds on the whole.

They work on whatever parts are valid by themselves, so that a file with one broken indicator still hears about a
misspelt fuzzy set; a part that is present but broken is None and draws no complaint of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from domain.grammar.features import FuzzyInput, FuzzySet, Indicator, RawInput
from domain.grammar.learning import LABELS_OF, LOSSES_OF, ContextLabels, Decisions, Training, TrainingData
from domain.grammar.values import (
    MAX_CONTEXT_SERIES,
    MAX_FEATURES,
    MAX_FUZZY_SETS,
    MAX_INDICATORS,
    MAX_INPUTS,
    Loc,
    Problem,
    nearest,
)

MAX_ENTRIES = {
    "context_data": MAX_CONTEXT_SERIES,
    "indicators": MAX_INDICATORS,
    "fuzzy_sets": MAX_FUZZY_SETS,
    "nn_inputs": MAX_INPUTS,
}


@dataclass(frozen=True)
class Parts:
    """A strategy in pieces. Keyed by id or list position; None stands for a piece that is there but not valid."""

    training_data: TrainingData | None
    context_series: int
    indicators: Mapping[str, Indicator | None]
    fuzzy_sets: Mapping[str, FuzzySet | None]
    nn_inputs: tuple[FuzzyInput | RawInput | None, ...]
    decisions: Decisions | None
    training: Training | None


def cross_check(parts: Parts) -> Iterator[Problem]:
    """All that is wrong between the parts, in the order of the file's sections."""
    too_large = list(_sizes(parts))
    yield from too_large
    if too_large:
        return  # what is too large is not searched: looking for the nearest of thousands of names takes minutes
    yield from _days(parts.training_data)
    yield from _sources(parts)
    for fuzzy_set in filter(None, parts.fuzzy_sets.values()):
        at: Loc = ("fuzzy_sets", fuzzy_set.id, "indicator")
        yield from _reference(parts, at, fuzzy_set.indicator, fuzzy_set.output)
    yield from _inputs(parts)
    yield from _learning(parts)


def check_size(section: str, count: int) -> Iterator[Problem]:
    """Whether a section of so many entries is too large."""
    if count > MAX_ENTRIES[section]:
        yield Problem((section,), f"has {count} entries", f"at most {MAX_ENTRIES[section]}")


def _sizes(parts: Parts) -> Iterator[Problem]:
    yield from check_size("context_data", parts.context_series)
    yield from check_size("indicators", len(parts.indicators))
    yield from check_size("fuzzy_sets", len(parts.fuzzy_sets))
    yield from check_size("nn_inputs", len(parts.nn_inputs))


def _days(data: TrainingData | None) -> Iterator[Problem]:
    if data is None:
        return
    if data.start_date and data.end_date and data.start_date > data.end_date:
        message = f"is {data.end_date}, before the start {data.start_date}"
        yield Problem(("training_data", "end_date"), message, "a day on or after the start")
    if data.base_timeframe not in data.timeframes:
        message = f"is {data.base_timeframe}, which is not among the timeframes"
        yield Problem(("training_data", "base_timeframe"), message, f"one of {', '.join(data.timeframes)}")
    for section, values in (("symbols", data.symbols), ("timeframes", data.timeframes)):
        for position, value in enumerate(values):
            if value in values[:position]:
                yield Problem(("training_data", section, position), f"{value} stands there twice", "name each one once")


def _sources(parts: Parts) -> Iterator[Problem]:
    for indicator in filter(None, parts.indicators.values()):
        if indicator.data_source is not None and not parts.context_series:
            message = f"names the series {indicator.data_source!r}, but the file has no context_data"
            hint = "add the series to context_data, or use `source` for a price column"
            yield Problem(("indicators", indicator.id, "data_source"), message, hint)


def _reference(parts: Parts, at: Loc, indicator_id: str, output: str | None) -> Iterator[Problem]:
    if indicator_id not in parts.indicators:
        yield Problem(
            at, f"names the indicator {indicator_id!r}, which does not exist", nearest(indicator_id, parts.indicators)
        )
        return
    indicator = parts.indicators[indicator_id]
    if indicator is None:
        return
    kind = indicator.kind
    if output is not None and output not in kind.outputs:
        message = f"names the output {output!r}, which {kind.name} does not have"
        hint = (
            nearest(output, kind.outputs) if kind.outputs else f"write {indicator_id} without a dot: it has one output"
        )
        yield Problem(at, message, hint)
        return
    reasons = dict(kind.looks_ahead)
    reason = reasons.get("") or reasons.get(output or (kind.outputs[0] if kind.outputs else ""))
    if reason:
        yield Problem(at, f"would show the future to the network: {reason}", "use another indicator or output")


def _inputs(parts: Parts) -> Iterator[Problem]:
    allowed = parts.training_data.timeframes if parts.training_data else ()
    seen: dict[str, int] = {}
    if not parts.nn_inputs:
        yield Problem(("nn_inputs",), "has no entries", "at least one input, such as `- fuzzy_set: NAME`")
    for position, entry in enumerate(parts.nn_inputs):
        if entry is None:
            continue
        at: Loc = ("nn_inputs", position)
        if isinstance(entry, RawInput):
            yield from _reference(parts, (*at, "indicator"), entry.indicator, entry.output)
        elif entry.fuzzy_set not in parts.fuzzy_sets:
            message = f"names the fuzzy set {entry.fuzzy_set!r}, which does not exist"
            yield Problem((*at, "fuzzy_set"), message, nearest(entry.fuzzy_set, parts.fuzzy_sets))
        for timeframe in entry.timeframes:
            if allowed and timeframe not in allowed:
                message = f"asks for {timeframe}, which training_data does not have"
                yield Problem((*at, "timeframes"), message, f"all, or some of {', '.join(allowed)}")
        names = [f"{frame}_{column}" for frame in entry.timeframes or allowed for column in _columns(parts, entry)]
        for name in names:
            if name in seen:
                message = f"gives the feature {name}, which nn_inputs[{seen[name]}] gives already"
                yield Problem(at, message, "name each input once")
                break
            seen[name] = position
    if len(seen) > MAX_FEATURES:
        yield Problem(("nn_inputs",), f"makes {len(seen)} features", f"at most {MAX_FEATURES}")


def _columns(parts: Parts, entry: FuzzyInput | RawInput) -> list[str]:
    """The names of an input's features, without the timeframe."""
    if isinstance(entry, RawInput):
        indicator = parts.indicators.get(entry.indicator)
        outputs = indicator.kind.outputs if indicator else ()
        output = entry.output or (outputs[0] if outputs else "")
        return [raw_column(entry.indicator, output)]
    fuzzy_set = parts.fuzzy_sets.get(entry.fuzzy_set)
    return [f"{fuzzy_set.id}_{membership.name}" for membership in fuzzy_set.memberships] if fuzzy_set else []


def raw_column(indicator_id: str, output: str | None) -> str:
    """The name of a raw input's feature, without the timeframe."""
    return f"{indicator_id}_{output}" if output else indicator_id


def _learning(parts: Parts) -> Iterator[Problem]:
    training, decisions = parts.training, parts.decisions
    if training is None:
        return
    labels = training.labels
    if isinstance(labels, ContextLabels) and labels.bearish_threshold >= labels.bullish_threshold:
        message = f"is {labels.bearish_threshold:g}, but bullish_threshold is {labels.bullish_threshold:g}"
        yield Problem(("training", "labels", "bearish_threshold"), message, "below bullish_threshold")
    if decisions is None:
        return
    output = decisions.output_format
    if training.loss not in LOSSES_OF[output]:
        message = f"is {training.loss}, which does not fit output_format {output}"
        yield Problem(("training", "loss"), message, f"one of {', '.join(LOSSES_OF[output])}")
    if labels.source not in LABELS_OF[output]:
        message = f"is {labels.source}, which does not fit output_format {output}"
        yield Problem(("training", "labels", "source"), message, f"one of {', '.join(LABELS_OF[output])}")
    if output == "regression" and training.class_weights != "none":
        message = f"is {training.class_weights}, but a regression has no classes"
        yield Problem(("training", "class_weights"), message, "none, or leave it out")
