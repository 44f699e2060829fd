"""The catalogue of indicators: bounds, defaults, names, and a warm-up that agrees with TA-Lib."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from talib import abstract

from domain.strategy import INDICATORS, Indicator, Parameter, find_indicator, load_strategy, lookback

PARAMETERS = [
    pytest.param(kind.name, parameter, id=f"{kind.name}.{parameter.name}")
    for kind in INDICATORS.values()
    for parameter in kind.parameters
    if parameter.kind in ("whole", "real")
]

TALIB = {
    "rsi": ("RSI", {"period": "timeperiod"}),
    "roc": ("ROC", {"period": "timeperiod"}),
    "momentum": ("MOM", {"period": "timeperiod"}),
    "cci": ("CCI", {"period": "timeperiod"}),
    "williamsr": ("WILLR", {"period": "timeperiod"}),
    "stochastic": ("STOCH", {"k_period": "fastk_period", "smooth_k": "slowk_period", "d_period": "slowd_period"}),
    "aroon": ("AROON", {"period": "timeperiod"}),
    "atr": ("ATR", {"period": "timeperiod"}),
    "bollingerbands": ("BBANDS", {"period": "timeperiod"}),
    "macd": ("MACD", {"fast_period": "fastperiod", "slow_period": "slowperiod", "signal_period": "signalperiod"}),
    "parabolicsar": ("SAR", {}),
    "sma": ("SMA", {"period": "timeperiod"}),
    "wma": ("WMA", {"period": "timeperiod"}),
    "ema": ("EMA", {"period": "timeperiod"}),
    "obv": ("OBV", {}),
    "mfi": ("MFI", {"period": "timeperiod"}),
}


def with_value(kind: str, parameter: Parameter, value: float) -> Indicator:
    """The indicator with one parameter set, and those it has to be ordered against out of the way."""
    others: dict[str, dict[str, float]] = {
        "macd": {"fast_period": 1, "slow_period": 200},
        "parabolicsar": {"initial_af": 0.001, "max_af": 1},
    }
    return Indicator(id="a", type=kind, parameters={**others.get(kind, {}), parameter.name: value})


@pytest.mark.parametrize("name", TALIB)
def test_warmup_is_the_first_bar_on_which_the_library_has_a_value(name: str):
    function, names = TALIB[name]
    kind = INDICATORS[name]
    defaults = {parameter.name: parameter.default for parameter in kind.parameters}
    library = abstract.Function(function)
    library.set_parameters({there: defaults[here] for here, there in names.items()})
    assert lookback(name, {}) == library.lookback


def test_warmup_of_adx_is_that_of_the_index_which_is_later_than_its_directions():
    assert lookback("adx", {"period": 14}) == 27 == abstract.Function("ADX").lookback


@pytest.mark.parametrize(("kind", "parameter"), PARAMETERS)
def test_a_parameter_is_taken_at_its_bounds_and_refused_beyond(kind: str, parameter: Parameter):
    beyond = 1 if parameter.kind == "whole" else 1e-9
    if not (kind == "macd" and parameter.name in ("fast_period", "slow_period")) and kind != "parabolicsar":
        assert with_value(kind, parameter, parameter.high).parameters[parameter.name] == parameter.high
        if not parameter.above:
            assert with_value(kind, parameter, parameter.low).parameters[parameter.name] == parameter.low
    for value in (parameter.low if parameter.above else parameter.low - beyond, parameter.high + beyond):
        with pytest.raises(ValidationError, match="out of bounds"):
            with_value(kind, parameter, value)


@pytest.mark.parametrize("kind", INDICATORS)
def test_every_indicator_stands_by_its_defaults_and_has_a_warmup(kind: str):
    indicator = Indicator(id="a", type=kind.upper())
    assert indicator.parameters == {parameter.name: parameter.default for parameter in INDICATORS[kind].parameters}
    assert 0 <= indicator.warmup < 400


@pytest.mark.parametrize(
    ("written", "meant"),
    [("RSI", "rsi"), ("BBands", "bollingerbands"), ("SimpleMovingAverage", "sma"), ("williams_r", "williamsr")],
)
def test_an_indicator_is_found_by_any_of_its_names(written: str, meant: str):
    found = find_indicator(written)
    assert found is not None
    assert found.name == meant


def test_macd_refuses_a_fast_period_that_is_not_faster():
    with pytest.raises(ValidationError, match="fast_period has to be smaller than slow_period"):
        Indicator(id="a", type="macd", parameters={"fast": 26, "slow": 26})


def test_a_parameter_under_two_names_at_once_is_refused():
    with pytest.raises(ValidationError, match="a second time"):
        Indicator(id="a", type="macd", parameters={"fast": 5, "fast_period": 6})


def test_the_warmup_of_a_strategy_is_that_of_its_slowest_input():
    file = Path(__file__).parent / "strategies" / "quoted_numbers.yaml"
    assert load_strategy(file.read_text()).strategy.warmup == 199
