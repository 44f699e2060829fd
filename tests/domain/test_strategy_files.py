"""Files as ktrdr's users write them load, and mean what their authors meant."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from domain.strategy import (
    EarlyStopping,
    FuzzyInput,
    LoadedStrategy,
    Mlp,
    PlateauSchedule,
    RawInput,
    Recurrent,
    StepSchedule,
    TripleBarrierLabels,
    canonical,
    dump_strategy,
    load_strategy,
    strategy_hash,
    trainability,
)

FILES = sorted((Path(__file__).parent / "strategies").glob("*.yaml"))


@pytest.fixture
def load() -> Callable[[str], LoadedStrategy]:
    return lambda name: load_strategy((Path(__file__).parent / "strategies" / f"{name}.yaml").read_bytes())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_real_file_loads_and_reads_back_equal_from_its_own_dump(file: Path):
    strategy = load_strategy(file.read_text()).strategy
    again = load_strategy(dump_strategy(strategy))
    assert again == LoadedStrategy(strategy)


def test_there_are_files_of_at_least_six_styles():
    assert len(FILES) >= 6


def test_keys_that_change_nothing_are_accepted_and_told(load):
    assert load("rsi_reversal").ignored == (
        "scope",
        "deployment",
        "model.features",
        "training.method",
        "model.training.analytics",
    )


def test_training_under_model_counts_as_training(load):
    training = load("rsi_reversal").strategy.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (80, 64, 0.001)
    assert training.early_stopping == EarlyStopping(patience=12, min_delta=0.0005)


def test_training_wins_over_training_under_model_and_the_conflict_is_told(load):
    loaded = load("regime_daily")
    assert loaded.strategy.training.epochs == 100
    assert loaded.strategy.training.gradient_clip == 2
    assert loaded.notes == ("training.epochs wins over another value in model.training.epochs",)


def test_the_loss_that_is_not_given_is_the_one_that_fits_the_output(load):
    assert load("rsi_reversal").strategy.training.loss == "cross_entropy"


def test_short_parameter_names_are_the_long_ones(load):
    macd = load("trend_regression").strategy.indicator("macd_fast")
    assert macd.parameters == {"fast_period": 8, "slow_period": 21, "signal_period": 5, "source": "close"}


def test_types_in_any_letter_case_are_canonical(load):
    types = [indicator.type for indicator in load("upper_case_breakout").strategy.indicators]
    assert types == ["atr", "squeezeintensity", "fishertransform", "bollingerbands"]
    assert load("quoted_numbers").strategy.indicator("slow").type == "sma"


def test_one_period_of_a_squeeze_is_the_period_of_both_its_bands():
    text = (FILES[0].parent / "upper_case_breakout.yaml").read_text()
    squeeze = load_strategy(
        text.replace("type: SqueezeIntensity\n    period: 20", "type: squeezeintensity\n    period: 30")
    )
    assert squeeze.strategy.indicator("squeeze_20").whole("bb_period") == 30
    assert squeeze.strategy.indicator("squeeze_20").whole("kc_period") == 30


def test_an_indicator_of_several_outputs_without_a_dot_means_its_first(load):
    strategy = load("trend_regression").strategy
    assert strategy.fuzzy_set("trend").output == "adx"
    assert strategy.nn_inputs[3] == RawInput(
        indicator="adx_14", output="minus_di", timeframes=("1d",), normalization="zscore"
    )
    assert load("rsi_reversal").strategy.fuzzy_set("rsi_14").output is None


def test_a_list_of_three_is_a_triangle(load):
    first = load("trend_regression").strategy.fuzzy_set("macd_line").memberships[0]
    assert (first.name, first.type, first.parameters) == ("falling", "triangular", (-4.0, -1.0, 0.0))


def test_all_timeframes_are_written_out(load):
    strategy = load("two_timeframes_lstm").strategy
    assert strategy.nn_inputs[0] == FuzzyInput(fuzzy_set="rsi_momentum", timeframes=("5m", "1h"))
    assert strategy.training_data.base_timeframe == "1h"


def test_features_come_by_input_then_timeframe_then_membership(load):
    names = [feature.name for feature in load("two_timeframes_lstm").strategy.features]
    assert names == [
        "5m_rsi_momentum_low",
        "5m_rsi_momentum_neutral",
        "5m_rsi_momentum_high",
        "1h_rsi_momentum_low",
        "1h_rsi_momentum_neutral",
        "1h_rsi_momentum_high",
        "5m_rsi_14",
        "1h_rsi_14",
        "1h_adx_trend_weak",
        "1h_adx_trend_strong",
        "1h_roc_10",
    ]


def test_the_other_names_of_triple_barriers_are_the_same_barriers(load):
    assert load("two_timeframes_lstm").strategy.training.labels == TripleBarrierLabels(
        pt_multiplier=2.0, sl_multiplier=1.5, max_holding_period=24, vol_span=14, compute_weights=True
    )


def test_lr_scheduler_true_is_reduction_on_a_plateau_and_steps_are_steps(load):
    assert load("two_timeframes_lstm").strategy.training.lr_scheduler == PlateauSchedule()
    assert load("quoted_numbers").strategy.training.lr_scheduler == StepSchedule(step_size=20, gamma=0.5)


def test_quoted_numbers_and_words_are_numbers_and_flags(load):
    strategy = load("quoted_numbers").strategy
    assert strategy.model == Mlp(hidden_layers=(24, 12), activation="tanh", dropout=0.1)
    assert strategy.training_data.history_required == 300
    assert strategy.training_data.timeframes == ("1h",)
    assert strategy.decisions.allow_short_from_flat is True
    assert strategy.decisions.filters.volume_filter is False
    assert strategy.training.early_stopping is None
    assert strategy.indicator("ema_50").flag("adjust") is False


def test_both_ways_to_give_days_are_the_same(load):
    assert load("trend_regression").strategy.training_data.start_date == date(2012, 1, 1)
    assert load("quoted_numbers").strategy.training_data.end_date == date(2024, 1, 1)
    assert load("two_timeframes_lstm").strategy.training_data.end_date == date(2020, 12, 31)


def test_a_recurrent_network_has_its_own_architecture(load):
    assert load("carry_context").strategy.model == Recurrent(
        type="gru", sequence_length=10, hidden_size=32, num_layers=1, dropout=0.0
    )


def test_a_parameter_of_a_loss_that_is_not_used_is_told(load):
    text = (FILES[0].parent / "rsi_reversal.yaml").read_text().replace("method: supervised", "focal_gamma: 3")
    assert load_strategy(text).notes == ("training.focal_gamma is not used: it belongs to loss focal",)


def test_what_the_first_engine_lacks_is_named_by_path(load):
    result = trainability(load("two_timeframes_lstm").strategy)
    assert not result.trainable
    assert result.lacks == ("training_data.timeframes: 5m beside the base timeframe 1h, which is coarser",)


@pytest.mark.parametrize("name", ["rsi_reversal", "trend_regression", "quoted_numbers"])
def test_plain_strategies_are_trainable(load, name):
    assert trainability(load(name).strategy).lacks == ()


def test_a_split_of_its_own_is_told_not_left_out_in_silence(load):
    assert trainability(load("rsi_reversal").strategy).notes == (
        "training.data_split: train and validation are divided as 0.7 to 0.15; the backtest part and the lockbox after "
        "them stay where they are",
    )


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "linear"])
def test_an_output_activation_that_the_engine_does_not_compute_is_named(load, activation):
    text = (FILES[0].parent / "rsi_reversal.yaml").read_text()
    other = text.replace("output_activation: softmax", f"output_activation: {activation}")
    lacks = trainability(load_strategy(other).strategy).lacks
    assert lacks == (f"model.architecture.output_activation: {activation}",)


def test_an_indicator_that_no_input_uses_is_not_asked_for(load):
    text = (FILES[0].parent / "rsi_reversal.yaml").read_text()
    with_unused = text.replace("indicators:\n", "indicators:\n  volume:\n    type: obv\n")
    assert trainability(load_strategy(with_unused).strategy).trainable


def test_names_and_wording_do_not_make_another_experiment(load):
    text = (FILES[0].parent / "rsi_reversal.yaml").read_text()
    renamed = text.replace("rsi_14", "momentum").replace("rsi_reversal", "another").replace("oversold", "low")
    assert strategy_hash(load_strategy(renamed).strategy) == strategy_hash(load("rsi_reversal").strategy)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("period: 14", "period: 15"),
        ("[0, 25, 40]", "[0, 25, 41]"),
        ("epochs: 80", "epochs: 81"),
        ("dropout: 0.2", "dropout: 0.3"),
        ("symbol: EURUSD", "symbol: AAPL"),
        ("confidence_threshold: 0.6", "confidence_threshold: 0.61"),
        ("label_lookahead: 24", "label_lookahead: 25"),
    ],
)
def test_whatever_decides_the_result_makes_another_experiment(load, old, new):
    text = (FILES[0].parent / "rsi_reversal.yaml").read_text()
    changed = load_strategy(text.replace(old, new, 1)).strategy
    assert canonical(changed) != canonical(load("rsi_reversal").strategy)
