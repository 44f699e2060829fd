"""Files as ktrdr's users write them load unchanged, and each is told truly whether it can be trained here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from client.main import run
from domain.grammar.indicators import INDICATORS
from domain.grammar.learning import LABELS_OF, LOSSES_OF
from domain.grammar.values import TIMEFRAMES
from domain.strategy import LoadedStrategy, Strategy, dump_strategy, load_strategy
from tests.ran import Ran
from tests.strategies.expected import FILES, LACKS, text_of

NAMES = tuple(LACKS)


@pytest.fixture
def validated(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """What `research strategy validate` says of a file."""

    def call(name: str, *flags: str) -> Ran:
        capsys.readouterr()
        file = FILES / f"{name}.yaml"
        code = run(["--home", str(tmp_path / "home"), "strategy", "validate", str(file), *flags])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


def test_there_are_twenty_files_and_something_is_expected_of_each():
    assert sorted(path.stem for path in FILES.glob("*.yaml")) == sorted(NAMES)
    assert len(NAMES) == 20


@pytest.mark.parametrize("name", NAMES)
def test_a_file_loads_unchanged_and_reads_back_equal_from_its_own_dump(name: str):
    strategy = load_strategy(text_of(name)).strategy

    assert strategy.name == name
    assert load_strategy(dump_strategy(strategy)) == LoadedStrategy(strategy)


@pytest.mark.parametrize("name", NAMES)
def test_validate_says_whether_it_is_trainable_and_all_that_it_lacks(name: str, validated):
    told, report = validated(name), validated(name, "-o", "json")

    assert (told.code, report.code) == (0, 0)
    assert f"trainable: {'no' if LACKS[name] else 'yes'}\n" in told.out
    assert tuple(sorted(report.json["lacks"])) == LACKS[name]
    assert report.json["trainable"] is not bool(LACKS[name])


def test_no_key_of_the_files_is_left_out_without_a_word(validated):
    ignored = {name: set(validated(name, "-o", "json").json["ignored"]) for name in NAMES}

    assert {name: paths for name, paths in ignored.items() if paths} == {
        "Squeeze_Breakout_Majors": {"scope"},
        "basket_gru_quarter_hour": {"scope", "deployment", "training.method"},
        "carry_and_positioning": {"context_data[2].release_lag_days"},
        "ema_ribbon_pullback": {
            "scope",
            "deployment",
            "model.features",
            "model.input_size",
            "model.training.analytics",
            "decisions.num_classes",
            "training.method",
        },
        "oscillator_committee": {"scope"},
        "regime_switch_seed": {"decisions.num_classes"},
        "turtle_channels": {"scope"},
        "volume_tells": {"indicators.obv.source"},
    }


def test_together_the_files_use_all_of_the_grammar():
    used: dict[str, set[str]] = {}
    for name in NAMES:
        for what, value in _parts(load_strategy(text_of(name)).strategy):
            used.setdefault(what, set()).add(value)

    assert used == {
        # Only an input counts, and zigzag may never be one.
        "indicator": set(INDICATORS) - {"zigzag"},
        "membership": {"triangular", "trapezoidal", "gaussian"},
        "transform": {"open", "high", "low", "close"},
        "normalization": {"none", "minmax", "zscore"},
        "timeframe": set(TIMEFRAMES),
        "model": {"mlp", "lstm", "gru"},
        "output": {"softmax", "sigmoid", "tanh", "linear", "None"},
        "activation": {"relu", "tanh"},
        "labels": {label for labels in LABELS_OF.values() for label in labels},
        "loss": {loss for losses in LOSSES_OF.values() for loss in losses},
        "volatility": {"atr", "close"},
        "schedule": {"step", "reduce_on_plateau", "None"},
        "asks for": {
            "allow_short_from_flat",
            "compute_weights",
            "cost_model",
            "data_split",
            "early_stopping",
            "end_date",
            "gradient_clip",
            "min_signal_separation",
            "position_awareness",
            "several symbols",
            "several timeframes",
            "start_date",
            "validation_split",
            "volume_filter",
        },
    }


def _parts(strategy: Strategy) -> Iterator[tuple[str, str]]:
    """Each choice that a strategy makes among those of the grammar."""
    data, model, training, decisions = strategy.training_data, strategy.model, strategy.training, strategy.decisions
    for feature in strategy.features:
        yield "indicator", strategy.indicator(feature.indicator).type
        yield "timeframe", feature.timeframe
        yield "normalization", feature.normalization
        if feature.membership:
            yield "membership", feature.membership.type
        if feature.input_transform:
            yield "transform", feature.input_transform.reference
    yield from (("model", model.type), ("output", str(model.output_activation)))
    if model.type == "mlp":
        yield "activation", model.activation
    yield from (("labels", training.labels.source), ("loss", training.loss))
    if training.labels.source == "triple_barrier":
        yield "volatility", training.labels.vol_method
    yield "schedule", training.lr_scheduler.type if training.lr_scheduler else "None"
    asked = {
        "allow_short_from_flat": decisions.allow_short_from_flat,
        "compute_weights": getattr(training.labels, "compute_weights", False),
        "cost_model": decisions.cost_model,
        "data_split": training.data_split,
        "early_stopping": training.early_stopping,
        "end_date": data.end_date,
        "gradient_clip": training.gradient_clip,
        "min_signal_separation": decisions.filters.min_signal_separation,
        "position_awareness": decisions.position_awareness,
        "several symbols": len(data.symbols) > 1,
        "several timeframes": len(data.timeframes) > 1,
        "start_date": data.start_date,
        "validation_split": training.validation_split,
        "volume_filter": decisions.filters.volume_filter,
    }
    yield from (("asks for", what) for what, wanted in asked.items() if wanted)
