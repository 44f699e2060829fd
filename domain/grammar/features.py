"""What a strategy's network sees: indicators, fuzzy sets over them, and the inputs chosen from both."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from domain.grammar.indicators import INDICATORS, IndicatorType, ParameterValue, find_indicator, read_parameters
from domain.grammar.values import (
    MAX_MEMBERSHIPS,
    Frozen,
    Identifier,
    LowerCase,
    Real,
    Timeframe,
    Word,
    nearest,
    shorten,
)

MembershipType = Literal["triangular", "trapezoidal", "gaussian"]
FUZZY_SET_KEYS = ("indicator", "input_transform")
"""The keys of a fuzzy set that are not memberships."""
Normalization = Literal["none", "minmax", "zscore"]


def _canonical_type(value: object) -> object:
    kind = find_indicator(value) if isinstance(value, str) else None
    if kind is None:
        hint = nearest(value, INDICATORS)
        raise PydanticCustomError(
            "indicator_type", "is {given}, which is no indicator", {"given": repr(shorten(value)), "hint": hint}
        )
    return kind.name


def _membership_type(value: object) -> object:
    word = value.strip().lower() if isinstance(value, str) else value
    return {"triangle": "triangular", "trapezoid": "trapezoidal"}.get(word, word) if isinstance(word, str) else word


class Indicator(Frozen):
    """One calculation. `type` is canonical, and `parameters` holds every parameter of the catalogue."""

    id: Identifier
    type: Annotated[str, BeforeValidator(_canonical_type)]
    parameters: dict[str, ParameterValue] = Field(default_factory=dict)
    data_source: Word | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        read = read_parameters(INDICATORS[self.type], self.parameters)
        if read.problems:
            text = "; ".join(f"{key} {message}, {hint}" for key, message, hint in read.problems)
            raise PydanticCustomError("parameters", "{text}", {"text": text})
        self.parameters.clear()
        self.parameters.update(read.values)
        return self

    @property
    def kind(self) -> IndicatorType:
        """The catalogue's row."""
        return INDICATORS[self.type]

    @property
    def warmup(self) -> int:
        """Leading bars on which at least one output has no value yet."""
        return self.kind.warmup(self.parameters)

    def whole(self, name: str) -> int:
        """A whole-number parameter."""
        value = self.parameters[name]
        if type(value) is not int:
            raise TypeError(f"{self.type}.{name} is no whole number")
        return value

    def real(self, name: str) -> float:
        """A numeric parameter."""
        value = self.parameters[name]
        if isinstance(value, bool | str):
            raise TypeError(f"{self.type}.{name} is no number")
        return float(value)

    def flag(self, name: str) -> bool:
        """A true-or-false parameter."""
        return self.parameters[name] is True

    def word(self, name: str) -> str:
        """A parameter that is one of a few words, such as `source`."""
        return str(self.parameters[name])


class Membership(Frozen):
    """One membership function over an indicator's values, 0 to 1.

    triangular: a <= b <= c, 1 at b. trapezoidal: a <= b <= c <= d, 1 from b to c. gaussian: mu, sigma > 0.
    """

    name: Identifier
    type: Annotated[MembershipType, BeforeValidator(_membership_type)]
    parameters: tuple[Real, ...]

    @model_validator(mode="after")
    def _shape(self) -> Self:
        if self.name in FUZZY_SET_KEYS:
            self._refuse(f"is named {self.name}", "another name: that one is a key of every fuzzy set")
        shape = {"triangular": "a <= b <= c", "trapezoidal": "a <= b <= c <= d", "gaussian": "mu, sigma > 0"}[self.type]
        count = shape.count(",") + shape.count("<=") + 1
        if len(self.parameters) != count:
            self._refuse(f"has {len(self.parameters)} parameters; {self.type} takes {count}", shape)
        if self.type == "gaussian":
            if self.parameters[1] <= 0:
                self._refuse(f"has sigma {self.parameters[1]:g}", "sigma has to be above 0")
        elif list(self.parameters) != sorted(self.parameters):
            self._refuse(f"has {', '.join(f'{p:g}' for p in self.parameters)}, which is not in rising order", shape)
        return self

    def _refuse(self, message: str, hint: str) -> None:
        raise PydanticCustomError("membership", "{message}", {"message": message, "hint": hint})


class InputTransform(Frozen):
    """What is done to an indicator's value before its memberships: its ratio to a price column of the same bar."""

    type: Annotated[Literal["price_ratio"], LowerCase]
    reference: Annotated[Literal["open", "high", "low", "close"], LowerCase] = "close"


class FuzzySet(Frozen):
    """An interpretation of one output of one indicator.

    `output` is None exactly for indicators of one unnamed output; a set that names none has the first of several.
    """

    id: Identifier
    indicator: Identifier
    output: Word | None = None
    memberships: tuple[Membership, ...] = Field(min_length=1, max_length=MAX_MEMBERSHIPS)
    input_transform: InputTransform | None = None


class FuzzyInput(Frozen):
    """All memberships of a fuzzy set, on each of `timeframes` (empty when given as `all`; a Strategy fills them in)."""

    kind: Literal["fuzzy"] = "fuzzy"
    fuzzy_set: Identifier
    timeframes: tuple[Timeframe, ...] = ()


class RawInput(Frozen):
    """One output of an indicator itself, scaled by what was fitted on the training part alone."""

    kind: Literal["raw"] = "raw"
    indicator: Identifier
    output: Word | None = None
    timeframes: tuple[Timeframe, ...] = ()
    normalization: Annotated[Normalization, LowerCase] = "none"


NetworkInput = Annotated[FuzzyInput | RawInput, Field(discriminator="kind")]
"""One entry of nn_inputs; `kind` tells which."""


class Feature(Frozen):
    """One column that the network sees, in the one order that training and backtest share."""

    name: str
    timeframe: str
    indicator: str
    output: str | None
    membership: Membership | None = None
    input_transform: InputTransform | None = None
    normalization: Normalization = "none"
