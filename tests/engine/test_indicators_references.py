"""Each indicator is what its definition says, on real bars; what the engine has from formulas is also TA-Lib's."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import talib

from domain.strategy import Indicator
from engine.bars import load_bars
from engine.indicators import Outputs, compute
from tests.engine import indicator_references as references

PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "momentum": [{}, {"period": 1, "source": "high"}],
    "cci": [{}, {"period": 2}, {"period": 61}],
    "williamsr": [{}, {"period": 1}, {"period": 33}],
    "rvi": [{}, {"period": 4, "signal_period": 1}, {"period": 17, "signal_period": 9}],
    "fishertransform": [{}, {"period": 2, "smoothing": 1}, {"period": 31, "smoothing": 7}],
    "aroon": [{}, {"period": 1}, {"period": 2}, {"period": 55}],
    "bollingerbandwidth": [{}, {"period": 7, "multiplier": 0.5, "source": "low"}],
    "keltnerchannels": [{}, {"period": 3, "atr_period": 40, "multiplier": 1.3}],
    "donchianchannels": [{}, {"period": 2}, {"period": 71}],
    "squeezeintensity": [{}, {"bb_period": 9, "kc_period": 31, "kc_multiplier": 3.5}, {"period": 5, "source": "open"}],
    "supertrend": [{}, {"period": 2, "multiplier": 0.4}, {"period": 41, "multiplier": 1.5}],
    "parabolicsar": [{}, {"initial_af": 0.05, "step_af": 0.01}, {"initial_af": 0.01, "step_af": 0.1, "max_af": 0.06}],
    "ichimoku": [{}, {"tenkan_period": 1, "kijun_period": 30, "senkou_b_period": 2, "displacement": 1}],
    "wma": [{}, {"period": 2, "source": "open"}, {"period": 60}],
    "distancefromma": [{}, {"period": 1}, {"period": 9, "ma_type": "EMA"}, {"period": 40, "source": "high"}],
    "obv": [{}],
    "vwap": [{}, {"period": 0}, {"period": 1}, {"period": 30, "use_typical_price": False}],
    "mfi": [{}, {"period": 1}, {"period": 50}],
    "cmf": [{}, {"period": 2}, {"period": 50}],
    "adline": [{}, {"use_sma_smoothing": True, "smoothing_period": 40}],
    "volumeratio": [{}, {"period": 2}],
}
CASES = [pytest.param(kind, p, id=f"{kind}-{n}") for kind, sets in PARAMETERS.items() for n, p in enumerate(sets)]


def computed(kind: str, frame: pd.DataFrame, **parameters: Any) -> Outputs:
    return compute(Indicator(id="it", type=kind, parameters=parameters), frame)


@pytest.fixture(scope="module", params=["EURUSD", "AAPL"])
def frame(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Bars with and without holes over night; Apple's have bars without volume among them."""
    return load_bars(request.param, "1h", tmp_path_factory.mktemp("none")).frame.iloc[-300:]


@pytest.mark.parametrize(("kind", "parameters"), CASES)
def test_an_indicator_is_what_its_definition_says(kind: str, parameters: dict[str, Any], frame: pd.DataFrame) -> None:
    expected = getattr(references, kind)(frame, **parameters)
    lines = computed(kind, frame, **parameters)
    assert set(lines) == set(expected)
    for output, line in expected.items():
        size = np.nanmax(np.abs(np.asarray(line, dtype=float)))
        np.testing.assert_allclose(lines[output], line, rtol=1e-6, atol=1e-9 * size, err_msg=str(output))


def test_formulas_for_what_the_library_has_are_the_librarys(frame: pd.DataFrame) -> None:
    high, low, close, volume = (frame[name].to_numpy() for name in ("high", "low", "close", "volume"))
    flow = talib.MFI(high, low, close, volume, timeperiod=9)
    np.testing.assert_allclose(computed("mfi", frame, period=9)[None], flow, rtol=1e-7)
    line = talib.AD(high, low, close, volume)
    np.testing.assert_allclose(computed("adline", frame)["line"], line, rtol=1e-9)
    stops = talib.SAR(high, low, acceleration=0.02, maximum=0.2)
    np.testing.assert_allclose(computed("parabolicsar", frame)[None], stops, rtol=1e-12)
