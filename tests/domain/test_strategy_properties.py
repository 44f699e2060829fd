"""What holds for every strategy and every damaged file, tried on many."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain.strategy import (
    INDICATORS,
    LABELS_OF,
    LOSSES_OF,
    PRICE_COLUMNS,
    TIMEFRAMES,
    ContextLabels,
    CostModel,
    DataSplit,
    Decisions,
    EarlyStopping,
    Filters,
    ForwardReturnLabels,
    FuzzyInput,
    FuzzySet,
    Indicator,
    InputTransform,
    LoadedStrategy,
    Membership,
    Mlp,
    Parameter,
    PlateauSchedule,
    RawInput,
    Recurrent,
    RegimeLabels,
    StepSchedule,
    Strategy,
    StrategyInvalid,
    StrategyIssue,
    Training,
    TrainingData,
    TripleBarrierLabels,
    ZigzagLabels,
    canonical,
    dump_strategy,
    load_strategy,
    strategy_hash,
    trainability,
)

FILES = sorted((Path(__file__).parent / "strategies").glob("*.yaml"))
TEXTS = [file.read_text() for file in FILES]

# Shrinking a whole strategy takes minutes and tells little more than the strategy itself.
SLOW_TO_DRAW: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much],
    "phases": (Phase.explicit, Phase.reuse, Phase.generate),
}

ids = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,12}", fullmatch=True).filter(
    lambda name: name not in ("indicator", "input_transform")
)
tickers = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9]{0,6}(\.[A-Z]{1,3})?", fullmatch=True)
reals = st.floats(allow_nan=False, allow_infinity=False)
shares = st.floats(0, 1)
prose = st.text(st.characters(codec="utf-8"), max_size=40)


def parameters_of(parameter: Parameter) -> st.SearchStrategy[Any]:
    if parameter.kind == "flag":
        return st.booleans()
    if parameter.kind == "choice":
        return st.sampled_from(parameter.choices)
    if parameter.kind == "whole":
        return st.integers(int(parameter.low), int(parameter.high))
    return st.floats(parameter.low, parameter.high, exclude_min=parameter.above)


@st.composite
def indicators(draw: st.DrawFn, indicator_id: str) -> Indicator:
    kind = draw(st.sampled_from([k for k in INDICATORS.values() if k.name != "zigzag"]))
    values = {parameter.name: draw(parameters_of(parameter)) for parameter in kind.parameters}
    for smaller, larger, strictly in kind.ordered:
        low, high = sorted([values[smaller], values[larger]])
        values[smaller], values[larger] = low, high
        if strictly and low == high:
            values[larger] = high + 1
    if kind.name == "parabolicsar":
        values["initial_af"] = min(values["initial_af"], 0.1)
        values["max_af"] = max(values["max_af"], 0.1)
    return Indicator(id=indicator_id, type=kind.name, parameters=values)


@st.composite
def memberships(draw: st.DrawFn, name: str) -> Membership:
    kind = draw(st.sampled_from(["triangular", "trapezoidal", "gaussian"]))
    if kind == "gaussian":
        parameters = [draw(reals), draw(st.floats(0, 1e6, exclude_min=True))]
    else:
        count = 3 if kind == "triangular" else 4
        parameters = sorted(draw(st.lists(reals, min_size=count, max_size=count)))
    return Membership(name=name, type=kind, parameters=tuple(parameters))


def output_of(draw: st.DrawFn, indicator: Indicator) -> str | None:
    return draw(st.sampled_from([None, *(o for o in indicator.kind.outputs if o != "chikou")]))


@st.composite
def labels(draw: st.DrawFn, source: str) -> Any:
    bars = st.integers(1, 1000)
    if source == "zigzag":
        return ZigzagLabels(zigzag_threshold=draw(st.floats(0.001, 0.5)), label_lookahead=draw(bars))
    if source == "forward_return":
        return ForwardReturnLabels(horizon=draw(bars))
    if source == "triple_barrier":
        method = draw(st.sampled_from(["atr", "close"]))
        return TripleBarrierLabels(
            vol_method=method, max_holding_period=draw(bars), compute_weights=draw(st.booleans())
        )
    return (
        ContextLabels(horizon=draw(bars))
        if source == "context"
        else RegimeLabels(vol_lookback=draw(st.integers(2, 500)))
    )


@st.composite
def trainings(draw: st.DrawFn, output_format: Any) -> Training:
    schedules = st.sampled_from([None, StepSchedule(step_size=7, gamma=0.9), PlateauSchedule(factor=0.1, patience=3)])
    return Training(
        labels=draw(labels(draw(st.sampled_from(LABELS_OF[output_format])))),
        loss=draw(st.sampled_from(LOSSES_OF[output_format])),
        focal_gamma=draw(st.floats(0, 10)),
        huber_delta=draw(st.floats(0.001, 100)),
        epochs=draw(st.integers(1, 1000)),
        batch_size=draw(st.integers(1, 65536)),
        learning_rate=draw(st.floats(0, 1, exclude_min=True)),
        gradient_clip=draw(st.none() | st.floats(0.01, 1000)),
        lr_scheduler=draw(schedules),
        early_stopping=draw(st.none() | st.builds(EarlyStopping, patience=st.integers(1, 1000), min_delta=shares)),
        data_split=draw(st.sampled_from([None, DataSplit(train=0.7, validation=0.15, test=0.15)])),
        validation_split=draw(st.none() | st.floats(0.1, 0.5)),
    )


@st.composite
def whole_strategies(draw: st.DrawFn) -> Strategy:
    frames = draw(st.lists(st.sampled_from(tuple(TIMEFRAMES)), min_size=1, max_size=3, unique=True))
    days = sorted(draw(st.lists(st.dates(), min_size=2, max_size=2)))
    calculated = [draw(indicators(i)) for i in draw(st.lists(ids, min_size=1, max_size=3, unique=True))]
    sets: list[FuzzySet] = []
    entries: list[FuzzyInput | RawInput] = []
    for position, indicator in enumerate(calculated):
        members = [draw(memberships(name)) for name in draw(st.lists(ids, min_size=1, max_size=3, unique=True))]
        sets.append(
            FuzzySet(
                id=f"set{position}",
                indicator=indicator.id,
                output=output_of(draw, indicator),
                memberships=tuple(members),
                input_transform=draw(st.none() | st.just(InputTransform(type="price_ratio", reference="open"))),
            )
        )
        some = tuple(draw(st.lists(st.sampled_from(frames), max_size=2, unique=True)))
        entries.append(FuzzyInput(fuzzy_set=f"set{position}", timeframes=some))
    normalization = draw(st.sampled_from(["none", "minmax", "zscore"]))
    raw = calculated[0]
    entries.append(RawInput(indicator=raw.id, output=output_of(draw, raw), normalization=normalization))
    output_format = draw(st.sampled_from(["classification", "regression"]))
    sizes = st.lists(st.integers(1, 1024), min_size=1, max_size=8).map(tuple)
    return Strategy(
        name=draw(st.from_regex(r"[A-Za-z0-9_-]{1,80}", fullmatch=True)),
        description=draw(prose),
        hypothesis=draw(prose),
        training_data=TrainingData(
            symbols=tuple(draw(st.lists(tickers, min_size=1, max_size=3, unique=True))),
            timeframes=tuple(frames),
            base_timeframe=frames[-1],
            history_required=draw(st.integers(50, 1000)),
            start_date=draw(st.none() | st.just(days[0])),
            end_date=draw(st.none() | st.just(days[1])),
        )
        if not draw(st.booleans())
        else TrainingData(symbols=("EURUSD",), timeframes=tuple(frames), base_timeframe=frames[0]),
        indicators=tuple(calculated),
        fuzzy_sets=tuple(sets),
        nn_inputs=tuple(entries),
        model=draw(
            st.builds(Mlp, hidden_layers=sizes, dropout=st.floats(0, 0.9), activation=st.sampled_from(["relu", "tanh"]))
            | st.builds(Recurrent, type=st.sampled_from(["lstm", "gru"]), sequence_length=st.integers(1, 512))
        ),
        decisions=Decisions(
            output_format=output_format,
            confidence_threshold=draw(shares),
            cost_model=draw(st.none() | st.just(CostModel(round_trip_cost=0.001, min_edge_multiplier=2))),
            position_awareness=draw(st.booleans()),
            filters=Filters(min_signal_separation=draw(st.integers(0, 50)), volume_filter=draw(st.booleans())),
            allow_short_from_flat=draw(st.booleans()),
        ),
        training=draw(trainings(output_format)),
    )


@settings(max_examples=40, **SLOW_TO_DRAW)
@given(whole_strategies())
def test_every_strategy_reads_back_equal_from_its_dump(strategy: Strategy):
    again = load_strategy(dump_strategy(strategy)).strategy
    assert again == strategy
    assert canonical(again) == canonical(strategy)


@settings(max_examples=20, **SLOW_TO_DRAW)
@given(whole_strategies())
def test_every_strategy_survives_json_and_has_features_and_an_answer_on_training(strategy: Strategy):
    assert Strategy.model_validate_json(strategy.model_dump_json()) == strategy
    assert len({feature.name for feature in strategy.features}) == len(strategy.features) > 0
    assert trainability(strategy).trainable == (trainability(strategy).lacks == ())
    assert len(strategy_hash(strategy)) == 64


def load_or_refuse(text: str | bytes) -> LoadedStrategy | None:
    """Only the two outcomes that are promised; any other exception fails the test."""
    issues: tuple[StrategyIssue, ...] = ()
    try:
        loaded = load_strategy(text)
    except StrategyInvalid as invalid:
        issues, loaded = invalid.issues, None
    assert (loaded is None) == bool(issues)
    assert all(issue.line >= 1 and issue.path and issue.message for issue in issues)
    if loaded is None:
        return None
    assert load_strategy(dump_strategy(loaded.strategy)).strategy == loaded.strategy
    return loaded


values = st.sampled_from(
    ["", "null", "true", "-1", "0", "1e999", ".nan", ".inf", "[]", "{}", "[[1]]", "{a: 1}", "[null]", "'x'", "[{}]",
     '"\\0"', "!!str x", "*a", "&a b", "9" * 30, "~", "- a", "a: b: c", "{type: gru}", "2024-01-01", "0x10", "1_000",
     "|", "no", "?"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TEXTS), st.data())
def test_a_value_replaced_by_anything_is_refused_or_valid_and_nothing_else(text: str, data: st.DataObject):
    lines = text.split("\n")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        key, colon, _old = lines[at].partition(":")
        lines[at] = f"{key}{colon} {data.draw(values)}" if colon else data.draw(values)
    load_or_refuse("\n".join(lines))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TEXTS), st.data())
def test_lines_lost_doubled_moved_or_cut_are_refused_or_valid_and_nothing_else(text: str, data: st.DataObject):
    lines = text.split("\n")
    spots = st.integers(0, len(lines) - 1)
    at, to = data.draw(spots), data.draw(spots)
    what = data.draw(st.sampled_from(["lose", "double", "move", "indent", "cut"]))
    if what == "lose":
        del lines[at]
    elif what == "double":
        lines.insert(to, lines[at])
    elif what == "move":
        lines.insert(to, lines.pop(at))
    elif what == "indent":
        lines[at] = "  " + lines[at]
    else:
        lines = lines[:at]
    load_or_refuse("\n".join(lines))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_text_and_any_bytes_are_refused_and_nothing_else(text: str | bytes):
    assert load_or_refuse(text) is None


@pytest.mark.parametrize("column", PRICE_COLUMNS)
def test_every_price_column_can_be_a_source(column: str):
    assert Indicator(id="a", type="sma", parameters={"source": column}).word("source") == column


@pytest.mark.parametrize(
    "text", ["a\x85b", "\u2028", " a ", "a\n\nb\n", "1e5", "no", "null", "'", "# a", "a: b", "\u00e9", "\t"]
)
def test_wording_survives_the_file_whatever_its_characters(text: str):
    strategy = load_strategy(TEXTS[0]).strategy.model_copy(update={"description": text})
    assert load_strategy(dump_strategy(strategy)).strategy == strategy
