"""Every indicator of the grammar: names, parameters with default and bounds, outputs, warm-up, and what looks ahead.

The table `INDICATORS` is the single source: schema, messages, the designer's search space and the engine read it.
Source: the grammar v3 that ktrdr's strategy files are written in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from domain.grammar.values import PRICE_COLUMNS, nearest, shorten, to_flag, to_real, to_whole

ParameterValue = bool | int | float | str
Kind = Literal["whole", "real", "flag", "choice"]


@dataclass(frozen=True)
class Parameter:
    """One parameter of an indicator. `low` and `high` are inclusive; with `above`, `low` itself is not."""

    name: str
    kind: Kind
    default: ParameterValue
    low: float = 0
    high: float = 0
    above: bool = False
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What would be right, in words."""
        if self.kind == "flag":
            return "true or false"
        if self.kind == "choice":
            return f"one of {', '.join(self.choices)}"
        number = "a whole number" if self.kind == "whole" else "a number"
        bounds = f"above {self.low:g} and up to {self.high:g}" if self.above else f"from {self.low:g} to {self.high:g}"
        return f"{number} {bounds} (default {self.default})"

    def read(self, value: object) -> ParameterValue:
        """The value in its own type; ValueError says what is wrong with it."""
        if self.kind == "flag":
            return to_flag(value)
        if self.kind == "choice":
            by_lower = {choice.lower(): choice for choice in self.choices}
            if not isinstance(value, str) or value.strip().lower() not in by_lower:
                raise ValueError(f"is {shorten(value)!r}")
            return by_lower[value.strip().lower()]
        number = to_whole(value) if self.kind == "whole" else to_real(value)
        if not (self.low < number if self.above else self.low <= number) or number > self.high:
            raise ValueError(f"is {shorten(number)}, out of bounds")
        return number


Parameters = Mapping[str, ParameterValue]


@dataclass(frozen=True)
class IndicatorType:
    """One row of the catalogue.

    outputs: in order, the first is what the bare id means; empty for an indicator of one unnamed output.
    warmup: leading bars on which at least one output has no value yet, from the complete parameters.
    looks_ahead: reason per output ("" for the whole indicator) that can never be an input.
    ordered: (smaller, larger, strictly) pairs of parameters.
    spreads: one key that files write for several parameters at once.
    aroon and donchianchannels give all their outputs whatever include_oscillator and include_middle say, as in ktrdr.
    """

    name: str
    parameters: tuple[Parameter, ...]
    warmup: Callable[[Parameters], int]
    outputs: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    looks_ahead: tuple[tuple[str, str], ...] = ()
    ordered: tuple[tuple[str, str, bool], ...] = ()
    spreads: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class ParametersRead:
    """Complete parameters with defaults, and (key as given, message, hint) of all that is wrong with them."""

    values: dict[str, ParameterValue]
    problems: tuple[tuple[str, str, str], ...]


def find_indicator(name: str) -> IndicatorType | None:
    """The catalogue's row for a type in any letter case, with or without underscores, under any of its names."""
    return _BY_NAME.get("".join(c for c in name.strip().lower() if c not in "_- "))


def read_parameters(kind: IndicatorType, given: Mapping[str, object]) -> ParametersRead:
    """Check the parameters of an indicator and complete them with defaults."""
    by_key = {key: parameter for parameter in kind.parameters for key in (parameter.name, *parameter.aliases)}
    values: dict[str, ParameterValue] = {}
    problems: list[tuple[str, str, str]] = []
    spreads = dict(kind.spreads)
    singly = [(key, key, value) for key, value in given.items() if key not in spreads]
    spread = [(key, name, value) for key, value in given.items() for name in spreads.get(key, ()) if name not in given]
    for key, name, value in singly + spread:
        parameter = by_key.get(name)
        if parameter is None:
            known = (*by_key, *spreads, "type", "data_source")
            problems.append((key, f"is not a parameter of {kind.name}", nearest(key, known)))
        elif parameter.name in values:
            problems.append((key, f"gives {parameter.name} a second time", f"keep {parameter.name} alone"))
        else:
            try:
                values[parameter.name] = parameter.read(value)
            except ValueError as error:
                problems.append((key, str(error), parameter.allowed))
    complete = {parameter.name: values.get(parameter.name, parameter.default) for parameter in kind.parameters}
    for smaller, larger, strictly in kind.ordered:
        low, high = float(complete[smaller]), float(complete[larger])
        if not problems and (low >= high if strictly else low > high):
            relation = "smaller than" if strictly else "at most"
            problems.append(
                (smaller, f"is {low:g}, but {larger} is {high:g}", f"{smaller} has to be {relation} {larger}")
            )
    return ParametersRead(complete, tuple(problems))


def lookback(type_name: str, parameters: Parameters) -> int:
    """Leading bars on which at least one output of the indicator has no value yet.

    `parameters` may be partial; the rest are defaults. KeyError for an unknown type.
    """
    kind = INDICATORS[type_name]
    return kind.warmup({p.name: p.default for p in kind.parameters} | dict(parameters))


def _period(low: int, high: int, default: int, name: str = "period", *aliases: str) -> Parameter:
    return Parameter(name, "whole", default, low, high, aliases=aliases)


def _multiplier(default: float, name: str = "multiplier") -> Parameter:
    return Parameter(name, "real", default, 0, 10, above=True)


def _step(name: str, default: float, low: float, high: float) -> Parameter:
    return Parameter(name, "real", default, low, high)


def _switch(name: str, default: bool) -> Parameter:
    return Parameter(name, "flag", default)


def _bars(*names: str, extra: int = 0) -> Callable[[Parameters], int]:
    """Chained windows: a window of n bars has its first value on bar n, so each costs n - 1."""
    return lambda p: sum(int(p[name]) - 1 for name in names) + extra


_SOURCE = Parameter("source", "choice", "close", choices=PRICE_COLUMNS)
_BANDS = ("upper", "middle", "lower")

_CATALOGUE = (
    IndicatorType("rsi", (_period(2, 100, 14), _SOURCE), _bars("period", extra=1)),
    IndicatorType("roc", (_period(1, 100, 10), _SOURCE), _bars("period", extra=1)),
    IndicatorType("momentum", (_period(1, 100, 10), _SOURCE), _bars("period", extra=1)),
    IndicatorType("cci", (_period(2, 100, 20),), _bars("period")),
    IndicatorType("williamsr", (_period(1, 100, 14),), _bars("period")),
    IndicatorType(
        "stochastic",
        (_period(1, 100, 14, "k_period"), _period(1, 20, 3, "d_period"), _period(1, 20, 3, "smooth_k")),
        _bars("k_period", "d_period", "smooth_k"),
        ("k", "d"),
    ),
    IndicatorType(
        "rvi",
        (_period(4, 100, 10), _period(1, 50, 4, "signal_period")),
        _bars("period", "signal_period", extra=3),
        ("rvi", "signal"),
    ),
    IndicatorType(
        "fishertransform",
        (_period(2, 100, 10), _period(1, 20, 3, "smoothing")),
        _bars("period", "smoothing", extra=1),
        ("fisher", "signal"),
    ),
    IndicatorType(
        "aroon",
        (_period(1, 200, 14), _switch("include_oscillator", default=False)),
        _bars("period", extra=1),
        ("up", "down", "oscillator"),
    ),
    IndicatorType("atr", (_period(1, 100, 14),), _bars("period", extra=1)),
    IndicatorType(
        "bollingerbands",
        (_period(2, 200, 20), _multiplier(2.0), _SOURCE),
        _bars("period"),
        _BANDS,
        ("bbands",),
    ),
    IndicatorType("bollingerbandwidth", (_period(2, 200, 20), _multiplier(2.0), _SOURCE), _bars("period")),
    IndicatorType(
        "keltnerchannels",
        (_period(2, 500, 20), _period(2, 200, 10, "atr_period"), _multiplier(2.0)),
        lambda p: max(int(p["period"]) - 1, int(p["atr_period"])),
        _BANDS,
    ),
    IndicatorType(
        "donchianchannels", (_period(2, 500, 20), _switch("include_middle", default=True)), _bars("period"), _BANDS
    ),
    IndicatorType(
        "supertrend", (_period(2, 200, 10), _multiplier(3.0)), _bars("period", extra=1), ("trend", "direction")
    ),
    IndicatorType(
        "macd",
        (
            _period(1, 100, 12, "fast_period", "fast"),
            _period(1, 200, 26, "slow_period", "slow"),
            _period(1, 50, 9, "signal_period", "signal"),
            _SOURCE,
        ),
        _bars("slow_period", "signal_period"),
        ("line", "signal", "histogram"),
        ordered=(("fast_period", "slow_period", True),),
    ),
    IndicatorType("adx", (_period(2, 200, 14),), lambda p: 2 * int(p["period"]) - 1, ("adx", "plus_di", "minus_di")),
    IndicatorType(
        "parabolicsar",
        (
            _step("initial_af", 0.02, 0.001, 0.1),
            _step("step_af", 0.02, 0.001, 0.1),
            _step("max_af", 0.2, 0.01, 1),
        ),
        _bars(extra=1),
        ordered=(("initial_af", "max_af", False),),
    ),
    IndicatorType(
        "ichimoku",
        (
            _period(1, 50, 9, "tenkan_period"),
            _period(1, 100, 26, "kijun_period"),
            _period(1, 200, 52, "senkou_b_period"),
            _period(1, 100, 26, "displacement"),
        ),
        lambda p: (
            max(int(p["tenkan_period"]), int(p["kijun_period"]), int(p["senkou_b_period"])) - 1 + int(p["displacement"])
        ),
        ("tenkan", "kijun", "senkou_a", "senkou_b", "chikou"),
        looks_ahead=(
            ("chikou", "chikou is the close of a later bar drawn back in time: on bar t it shows bar t + displacement"),
        ),
    ),
    IndicatorType("sma", (_period(2, 500, 20), _SOURCE), _bars("period"), aliases=("simplemovingaverage",)),
    IndicatorType("wma", (_period(2, 500, 20), _SOURCE), _bars("period")),
    IndicatorType("ema", (_period(1, 500, 20), _SOURCE, _switch("adjust", default=True)), _bars("period")),
    IndicatorType("obv", (), _bars()),
    IndicatorType(
        "vwap",
        (_period(0, 200, 20), _switch("use_typical_price", default=True)),
        lambda p: max(int(p["period"]) - 1, 0),
    ),
    IndicatorType("mfi", (_period(1, 100, 14),), _bars("period", extra=1)),
    IndicatorType(
        "cmf",
        (_period(2, 500, 21),),
        _bars("period", extra=8),
        ("cmf", "mf_multiplier", "mf_volume", "momentum", "signal", "histogram", "above_zero", "below_zero"),
    ),
    IndicatorType(
        "adline",
        (_switch("use_sma_smoothing", default=False), _period(2, 200, 21, "smoothing_period")),
        lambda p: max(21, int(p["smoothing_period"]) - 1 if p["use_sma_smoothing"] else 0),
        ("line", "mf_multiplier", "mf_volume", "roc_10", "momentum_21", "relative_strength"),
    ),
    IndicatorType("volumeratio", (_period(2, 100, 20),), _bars("period")),
    IndicatorType(
        "distancefromma",
        (_period(1, 200, 20), Parameter("ma_type", "choice", "SMA", choices=("SMA", "EMA")), _SOURCE),
        _bars("period"),
    ),
    IndicatorType(
        "squeezeintensity",
        (
            _period(2, 100, 20, "bb_period"),
            _multiplier(2.0, "bb_multiplier"),
            _period(2, 100, 20, "kc_period"),
            _multiplier(2.0, "kc_multiplier"),
            _SOURCE,
        ),
        lambda p: max(int(p["bb_period"]) - 1, int(p["kc_period"]) - 1, 10),
        spreads=(("period", ("bb_period", "kc_period")),),
    ),
    IndicatorType(
        "zigzag",
        (Parameter("threshold", "real", 0.05, 0, 1), _SOURCE),
        _bars(),
        looks_ahead=(("", "zigzag's extremes are known only after the price has turned: it draws them back in time"),),
    ),
)

INDICATORS: Mapping[str, IndicatorType] = {kind.name: kind for kind in _CATALOGUE}
"""The catalogue, by canonical name."""

_BY_NAME = {name: kind for kind in _CATALOGUE for name in (kind.name, *kind.aliases)}
INDICATOR_NAMES: tuple[str, ...] = tuple(sorted(_BY_NAME))
"""All names under which an indicator can be written, for messages."""
