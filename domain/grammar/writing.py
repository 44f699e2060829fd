"""A strategy written out: as a YAML file of grammar v3, and as the one form by which equal experiments are known."""

import hashlib
import json
from typing import cast

import yaml

from domain.grammar.features import FuzzySet, NetworkInput, RawInput
from domain.grammar.learning import Training, TrainingData, unused_parameters
from domain.grammar.schema import Strategy
from domain.grammar.text import read_plain
from domain.grammar.values import Frozen


def dump_strategy(strategy: Strategy) -> str:
    """YAML text in ktrdr's v3 form; `load_strategy` reads an equal strategy from it."""
    data = strategy.training_data
    document: dict[str, object] = {"name": strategy.name}
    document |= {key: text for key in ("description", "hypothesis") if (text := getattr(strategy, key))}
    document |= {"version": strategy.version, "training_data": _training_data(data)}
    if strategy.context_data:
        document["context_data"] = [_plain(series) for series in strategy.context_data]
    document["indicators"] = {
        i.id: {"type": i.type, **i.parameters, **({"data_source": i.data_source} if i.data_source else {})}
        for i in strategy.indicators
    }
    if strategy.fuzzy_sets:
        document["fuzzy_sets"] = {fuzzy_set.id: _fuzzy_set(fuzzy_set) for fuzzy_set in strategy.fuzzy_sets}
    document["nn_inputs"] = [_input(entry, data.timeframes) for entry in strategy.nn_inputs]
    architecture = _plain(strategy.model)
    document["model"] = {"type": architecture.pop("type"), "architecture": architecture}
    document["decisions"] = _plain(strategy.decisions)
    document["training"] = _training(strategy.training)
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def canonical(strategy: Strategy) -> str:
    """JSON of what decides the experiment, the same for strategies that differ in names, wording or unused parts alone.

    Ids vanish: each feature is written out with its indicator. The order of features stays, as the network sees it.
    """
    features = []
    for feature in strategy.features:
        indicator = strategy.indicator(feature.indicator)
        written = feature.model_dump(mode="json", exclude={"name": True, "indicator": True, "membership": {"name"}})
        features.append(written | {"indicator": indicator.model_dump(mode="json", exclude={"id"})})
    content = {
        "training_data": strategy.training_data.model_dump(mode="json"),
        "context_data": [series.model_dump(mode="json") for series in strategy.context_data],
        "features": features,
        "model": strategy.model.model_dump(mode="json"),
        "decisions": strategy.decisions.model_dump(mode="json"),
        "training": strategy.training.model_dump(mode="json", exclude=unused_parameters(strategy.training.loss)),
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def strategy_hash(strategy: Strategy) -> str:
    """sha256 of the canonical form, 64 hexadecimal digits: equal for equal experiments."""
    return hashlib.sha256(canonical(strategy).encode()).hexdigest()


def _plain(value: Frozen) -> dict[str, object]:
    return cast("dict[str, object]", value.model_dump(mode="json", exclude_none=True))


def _training_data(data: TrainingData) -> dict[str, object]:
    symbols: dict[str, object] = {"mode": "single", "symbol": data.symbols[0]}
    if len(data.symbols) > 1:
        symbols = {"mode": "multi_symbol", "list": list(data.symbols)}
    frames: dict[str, object] = {"mode": "single", "timeframe": data.timeframes[0]}
    if len(data.timeframes) > 1:
        frames = {"mode": "multi_timeframe", "list": list(data.timeframes), "base_timeframe": data.base_timeframe}
    rest = _plain(data)
    return {"symbols": symbols, "timeframes": frames} | {
        key: rest[key] for key in ("history_required", "start_date", "end_date") if key in rest
    }


def _training(training: Training) -> dict[str, object]:
    """Without the untouched parameters of losses that are not in use."""
    defaults = {key: Training.model_fields[key].default for key in unused_parameters(training.loss)}
    return {key: value for key, value in _plain(training).items() if key not in defaults or value != defaults[key]}


def _fuzzy_set(fuzzy_set: FuzzySet) -> dict[str, object]:
    written: dict[str, object] = {"indicator": _dotted(fuzzy_set.indicator, fuzzy_set.output)}
    if fuzzy_set.input_transform is not None:
        written["input_transform"] = _plain(fuzzy_set.input_transform)
    for membership in fuzzy_set.memberships:
        written[membership.name] = {"type": membership.type, "parameters": list(membership.parameters)}
    return written


def _input(entry: NetworkInput, every: tuple[str, ...]) -> dict[str, object]:
    timeframes = "all" if entry.timeframes == every else list(entry.timeframes)
    if isinstance(entry, RawInput):
        name = _dotted(entry.indicator, entry.output)
        return {"raw_indicator": name, "timeframes": timeframes, "normalization": entry.normalization}
    return {"fuzzy_set": entry.fuzzy_set, "timeframes": timeframes}


def _dotted(indicator: str, output: str | None) -> str:
    return f"{indicator}.{output}" if output else indicator


class _Dumper(yaml.SafeDumper):
    """Short lists on one line, no anchors, and quotes around every text that a reader might take for something else."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if read_plain(text) == text else "'"
    if not text.isprintable() or text != text.strip():
        style = '"'  # the only style that escapes line breaks such as U+0085 and keeps blanks at the ends
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _write_list(dumper: yaml.SafeDumper, items: list[object]) -> yaml.SequenceNode:
    scalars = all(not isinstance(item, dict | list) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=scalars)


_Dumper.add_representer(str, _write_text)
_Dumper.add_representer(list, _write_list)
