"""What a strategy learns and how: labels, network, training and the decisions made from its output.

Fractions are fractions: a zigzag_threshold of 0.025 is 2.5 %. Lengths of time are bars of the base timeframe.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from domain.grammar.values import (
    MAX_BATCH_SIZE,
    MAX_EPOCHS,
    MAX_HIDDEN_LAYERS,
    MAX_HIDDEN_SIZE,
    MAX_HISTORY_REQUIRED,
    MAX_LOOKAHEAD,
    MAX_RECURRENT_LAYERS,
    MAX_SEQUENCE_LENGTH,
    MAX_SYMBOLS,
    MAX_TIMEFRAMES,
    MAX_UNITS,
    Flag,
    Frozen,
    IsoDate,
    LowerCase,
    Real,
    Symbol,
    Timeframe,
    Whole,
    Word,
)

OutputFormat = Literal["classification", "regression"]
Loss = Literal["cross_entropy", "focal", "huber", "mse"]
LOSSES_OF: dict[OutputFormat, tuple[Loss, ...]] = {
    "classification": ("cross_entropy", "focal"),
    "regression": ("huber", "mse"),
}
"""The losses that fit an output format; the first is the default."""
PARAMETER_OF: dict[str, Loss] = {"focal_gamma": "focal", "huber_delta": "huber"}
"""The loss that a parameter of training belongs to."""
LABELS_OF: dict[OutputFormat, tuple[str, ...]] = {
    "classification": ("zigzag", "triple_barrier", "context", "regime"),
    "regression": ("forward_return",),
}

_Units = Annotated[Whole, Field(ge=1, le=MAX_UNITS)]
_Bars = Annotated[Whole, Field(ge=1, le=MAX_LOOKAHEAD)]
_Dropout = Annotated[Real, Field(ge=0, lt=1)]
_Barrier = Annotated[Real, Field(gt=0, le=20)]
_Share = Annotated[Real, Field(ge=0, le=1)]


class TrainingData(Frozen):
    """Which bars: symbols, timeframes (base_timeframe is one of them), optionally a range of days, both included."""

    symbols: tuple[Symbol, ...] = Field(min_length=1, max_length=MAX_SYMBOLS)
    timeframes: tuple[Timeframe, ...] = Field(min_length=1, max_length=MAX_TIMEFRAMES)
    base_timeframe: Timeframe
    history_required: Annotated[Whole, Field(ge=50, le=MAX_HISTORY_REQUIRED)] = 200
    start_date: IsoDate | None = None
    end_date: IsoDate | None = None


class ContextSeries(Frozen):
    """A series beside the bars, from a provider of its own. Valid; no engine here has such a provider."""

    provider: Word
    alignment: Word | None = None
    symbol: Symbol | None = None
    timeframe: Timeframe | None = None
    instrument_type: Word | None = None
    series: tuple[Word, ...] = Field(default=(), max_length=16)
    frequency: Word | None = None
    report: Word | None = None


class Mlp(Frozen):
    """A feed-forward network. `output_activation` None: softmax for classification, none for regression."""

    type: Literal["mlp"] = "mlp"
    hidden_layers: tuple[_Units, ...] = Field(min_length=1, max_length=MAX_HIDDEN_LAYERS)
    activation: Annotated[Literal["relu", "tanh"], LowerCase] = "relu"
    dropout: _Dropout = 0.0
    output_activation: Annotated[Literal["softmax", "sigmoid", "tanh", "linear"] | None, LowerCase] = None


class Recurrent(Frozen):
    """An LSTM or GRU over the last `sequence_length` bars."""

    type: Literal["lstm", "gru"]
    sequence_length: Annotated[Whole, Field(ge=1, le=MAX_SEQUENCE_LENGTH)] = 20
    hidden_size: Annotated[Whole, Field(ge=1, le=MAX_HIDDEN_SIZE)] = 64
    num_layers: Annotated[Whole, Field(ge=1, le=MAX_RECURRENT_LAYERS)] = 1
    dropout: _Dropout = 0.0
    output_activation: Annotated[Literal["softmax", "sigmoid", "tanh", "linear"] | None, LowerCase] = None


Model = Annotated[Mlp | Recurrent, Field(discriminator="type")]


class CostModel(Frozen):
    """A trade is worth taking when the predicted return exceeds round_trip_cost times min_edge_multiplier."""

    round_trip_cost: Annotated[Real, Field(ge=0, le=0.1)]
    min_edge_multiplier: Annotated[Real, Field(ge=0, le=100)] = 1.0


class Filters(Frozen):
    """min_signal_separation: bars between two signals at least. volume_filter: a signal counts only on a bar whose
    volume is at least the average of its last 20 bars."""

    min_signal_separation: Annotated[Whole, Field(ge=0, le=MAX_LOOKAHEAD)] = 0
    volume_filter: Flag = False


class Decisions(Frozen):
    """How an output becomes a signal. confidence_threshold: smallest probability of a class that is acted on.

    position_awareness: a signal against the position held closes it, and only a further one opens the other side;
    without it such a signal reverses at once.
    """

    output_format: Annotated[OutputFormat, LowerCase] = "classification"
    confidence_threshold: _Share = 0.5
    cost_model: CostModel | None = None
    position_awareness: Flag = False
    filters: Filters = Filters()
    allow_short_from_flat: Flag = False


class ZigzagLabels(Frozen):
    """Segments between confirmed extremes, threshold apart: rising BUY (0), the extremes HOLD (1), falling SELL (2)."""

    source: Literal["zigzag"] = "zigzag"
    zigzag_threshold: Annotated[Real, Field(gt=0, le=0.5)] = 0.025
    label_lookahead: _Bars = 20

    @property
    def lookahead(self) -> int:
        """Bars of the future that a label uses."""
        return self.label_lookahead


class ForwardReturnLabels(Frozen):
    """close[t + horizon] / close[t] - 1."""

    source: Literal["forward_return"] = "forward_return"
    horizon: _Bars = 20

    @property
    def lookahead(self) -> int:
        """Bars of the future that a label uses."""
        return self.horizon


class TripleBarrierLabels(Frozen):
    """The first of take-profit (BUY), stop (SELL) and time (HOLD), with barriers at multiples of volatility."""

    source: Literal["triple_barrier"] = "triple_barrier"
    pt_multiplier: _Barrier = 2.0
    sl_multiplier: _Barrier = 1.5
    max_holding_period: _Bars = 50
    vol_span: Annotated[Whole, Field(ge=1, le=500)] = 14
    vol_method: Annotated[Literal["atr", "close"], LowerCase] = "atr"
    compute_weights: Flag = False

    @property
    def lookahead(self) -> int:
        """Bars of the future that a label uses."""
        return self.max_holding_period


class ContextLabels(Frozen):
    """Bullish, neutral or bearish by the return over the next `horizon` bars."""

    source: Literal["context"] = "context"
    horizon: _Bars = 5
    bullish_threshold: Annotated[Real, Field(gt=-0.5, le=0.5)] = 0.005
    bearish_threshold: Annotated[Real, Field(ge=-0.5, lt=0.5)] = -0.005

    @property
    def lookahead(self) -> int:
        """Bars of the future that a label uses."""
        return self.horizon


class RegimeLabels(Frozen):
    """Trending up, trending down, ranging or volatile, by zigzags at two multiples of ATR."""

    source: Literal["regime"] = "regime"
    macro_atr_mult: _Barrier = 3.0
    micro_atr_mult: _Barrier = 1.0
    atr_period: Annotated[Whole, Field(ge=1, le=500)] = 14
    vol_lookback: Annotated[Whole, Field(ge=2, le=5000)] = 120
    vol_crisis_threshold: Annotated[Real, Field(gt=0, le=100)] = 2.0
    progression_tolerance: _Share = 0.5

    @property
    def lookahead(self) -> int:
        """The most that any label of the grammar may use, since a regime has no fixed end."""
        return MAX_LOOKAHEAD


Labels = Annotated[
    ZigzagLabels | ForwardReturnLabels | TripleBarrierLabels | ContextLabels | RegimeLabels,
    Field(discriminator="source"),
]


class StepSchedule(Frozen):
    """The learning rate times gamma every step_size epochs."""

    type: Literal["step"] = "step"
    step_size: Annotated[Whole, Field(ge=1, le=MAX_EPOCHS)] = 30
    gamma: Annotated[Real, Field(gt=0, le=1)] = 0.5


class PlateauSchedule(Frozen):
    """The learning rate times factor after `patience` epochs without a better validation loss. What `true` means."""

    type: Literal["reduce_on_plateau"] = "reduce_on_plateau"
    factor: Annotated[Real, Field(gt=0, lt=1)] = 0.5
    patience: Annotated[Whole, Field(ge=1, le=MAX_EPOCHS)] = 5


Schedule = Annotated[StepSchedule | PlateauSchedule, Field(discriminator="type")]


class EarlyStopping(Frozen):
    """Stop after `patience` epochs whose validation loss was not better than the best by min_delta."""

    patience: Annotated[Whole, Field(ge=1, le=MAX_EPOCHS)] = 15
    min_delta: Annotated[Real, Field(ge=0, le=1)] = 0.001


class DataSplit(Frozen):
    """Shares of the bars, in order of time; they add up to 1."""

    train: Annotated[Real, Field(gt=0, lt=1)]
    validation: Annotated[Real, Field(gt=0, lt=1)]
    test: Annotated[Real, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 0.001:
            hint = "train, validation and test have to add up to 1"
            raise PydanticCustomError("split", "{message}", {"message": f"adds up to {total:g}", "hint": hint})
        return self


class Training(Frozen):
    """How the network is fitted. None for gradient_clip, lr_scheduler, early_stopping: not asked for.

    class_weights balanced: a row's loss counts by one in its class's share of train; a key of our own.
    """

    labels: Labels
    loss: Annotated[Loss, LowerCase]
    focal_gamma: Annotated[Real, Field(ge=0, le=10)] = 2.0
    huber_delta: Annotated[Real, Field(gt=0, le=100)] = 0.01
    epochs: Annotated[Whole, Field(ge=1, le=MAX_EPOCHS)] = 100
    batch_size: Annotated[Whole, Field(ge=1, le=MAX_BATCH_SIZE)] = 32
    learning_rate: Annotated[Real, Field(gt=0, le=1)] = 0.001
    optimizer: Annotated[Literal["adam"], LowerCase] = "adam"
    gradient_clip: Annotated[Real, Field(gt=0, le=1000)] | None = None
    lr_scheduler: Schedule | None = None
    early_stopping: EarlyStopping | None = None
    data_split: DataSplit | None = None
    validation_split: Annotated[Real, Field(gt=0, lt=1)] | None = None
    class_weights: Annotated[Literal["none", "balanced"], LowerCase] = "none"


def unused_parameters(loss: str) -> set[str]:
    """The parameters of training that mean nothing under this loss."""
    return {parameter for parameter, owner in PARAMETER_OF.items() if owner != loss}
