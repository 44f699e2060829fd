"""What the phases produce. Fractions are fractions (0.12 is 12 %), times are aware UTC, files go by reference.

Every path is relative to the artifacts' root and was written by us; a reader refuses one that leaves the root.

A service over HTTP tells less than the embedded engine finds out. What it does not tell is None, and never a zero.
"""

from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Frozen(BaseModel):
    """The base of every value that crosses a border: immutable, no unknown fields, no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _relative(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
        raise ValueError(f"{path!r} is not a relative path inside the artifacts")
    return path


ArtifactPath = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_relative)]


class Task(StrEnum):
    """What the network predicts."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class PartName(StrEnum):
    """The parts of the bars in the order of time. No code of a cycle reads the lockbox."""

    TRAIN = "train"
    VALIDATION = "validation"
    BACKTEST = "backtest"
    LOCKBOX = "lockbox"


SECONDS_PER_YEAR = 365.25 * 86_400
"""Of a calendar year, as figures are annualised here."""


class Part(Frozen):
    """One part of the bars: first and last bar's opening time, and the number of bars, where it is known."""

    name: PartName
    start: datetime
    end: datetime
    bars: int | None = Field(ge=0)

    @property
    def years(self) -> float:
        """Calendar years from the first to the last."""
        return (self.end - self.start).total_seconds() / SECONDS_PER_YEAR


class ServiceRun(Frozen):
    """What a service over HTTP did: its operation, and the model as the service names it, which is said to it alone."""

    operation_id: str = Field(min_length=1, max_length=200)
    model_path: str | None = Field(None, max_length=512)


class LossCurve(Frozen):
    """A loss over the epochs: after the first, after the last, and the lowest."""

    initial: float
    final: float
    best: float


class TrainingResult(Frozen):
    """A trained model and how well it does on the validation part; the backtest part has not been read yet."""

    model_id: str = Field(description="sha256 of the bytes of model.npz and model.json; of a service: its operation")
    model_path: ArtifactPath | None
    history_path: ArtifactPath | None = Field(
        description="JSON: loss and accuracy of train and validation for each epoch"
    )
    service: ServiceRun | None = None
    task: Task
    classes: int = Field(ge=0, description="classes that occur in train; 0 for a regression")
    epochs: int = Field(ge=1, description="epochs that were run")
    best_epoch: int = Field(ge=1, description="the epoch whose weights are the model, counted from 1")
    train_loss: LossCurve
    validation_loss: LossCurve
    model_loss: float = Field(description="validation loss of the model that was kept")
    baseline_loss: float | None = Field(
        description="validation loss of guessing train's class frequencies (regression: train's mean)"
    )
    train_accuracy: Fraction = Field(description="balanced accuracy; regression: directional accuracy")
    validation_accuracy: Fraction = Field(description="balanced accuracy; regression: directional accuracy")
    balanced: bool = Field(True, description="false: the accuracies are plain, for a service tells no others")
    validation_metrics: dict[str, float] = Field(default_factory=dict)
    class_balance: dict[str, Fraction] = Field(default_factory=dict, description="share of each class in train")
    features: tuple[str, ...]
    parts: tuple[Part, ...]
    bars_used: int | None
    data_sha256: str | None
    seed: int
    seconds: float = Field(ge=0)

    @property
    def chance(self) -> float:
        """The accuracy of a model without skill: one half for a regression, else one in the number of classes.

        A plain accuracy is reached by naming the commonest class every time, where it is known how common that is.
        """
        if self.task is Task.REGRESSION:
            return 0.5
        if not self.balanced and self.class_balance:
            return max(self.class_balance.values())
        return 1 / max(self.classes, 1)

    @property
    def chance_known(self) -> bool:
        """Whether `chance` is what a model without skill reaches; else it may reach more, with a common class."""
        return self.task is Task.REGRESSION or self.balanced or bool(self.class_balance)

    @property
    def skill(self) -> float:
        """The validation accuracy above chance, as the training gate counts it."""
        return self.validation_accuracy - self.chance


class Figures(Frozen):
    """The figures of an equity curve. None where the figure is undefined (a Sharpe ratio without variance)."""

    total_return: float
    annual_return: float | None
    sharpe_ratio: float | None
    sortino_ratio: float | None
    max_drawdown: Fraction = Field(description="largest fall from a peak, as a positive fraction")


class Costs(Frozen):
    """What every fill pays, as fractions of the price, and what that came to, as a fraction of the initial capital."""

    commission: float = Field(ge=0)
    half_spread: float = Field(ge=0)
    total: float | None = Field(ge=0)


class Interval(Frozen):
    """A 95 % interval."""

    low: float
    high: float


class Stretch(Frozen):
    """The net figures of some of a backtest's bars: a year's, or a regime's, which need not lie side by side.

    The returns of all years, and of all regimes, compound to the whole backtest's.
    """

    name: str = Field(min_length=1, max_length=60)
    bars: int = Field(ge=1)
    total_return: float
    sharpe_ratio: float | None = Field(description="annualised; None without variance or with too few bars")
    max_drawdown: Fraction = Field(description="of the curve of these bars alone, one after the other")
    trades: int = Field(ge=0, description="trades that began in these bars")
    exposure: Fraction = Field(description="share of these bars with a position")


class BacktestResult(Frozen):
    """A backtest after costs, with its own doubt. The figures without a prefix are net."""

    total_return: float
    annual_return: float | None
    sharpe_ratio: float | None
    sharpe_interval: Interval | None = Field(description="stationary bootstrap, annualised")
    sortino_ratio: float | None
    max_drawdown: Fraction
    win_rate: Fraction | None = Field(description="share of closed trades that won after costs; None without trades")
    profit_factor: float | None = Field(description="gains over losses of the trades; None without a losing trade")
    total_trades: int = Field(ge=0)
    exposure: Fraction | None = Field(description="share of bars with a position")
    turnover: float | None = Field(ge=0, description="value traded a year, in multiples of the equity")
    costs: Costs
    gross: Figures | None
    benchmark_return: float | None = Field(description="buy and hold over the same bars, without costs")
    excess_sharpe: float | None = Field(description="Sharpe of the return in excess of an equally exposed buy and hold")
    excess_sharpe_interval: Interval | None
    trials: int = Field(ge=1, description="backtests known of this symbol and timeframe, this one counted")
    expected_max_sharpe: float = Field(
        description="the Sharpe that the best of so many trials without skill would show"
    )
    deflated_low: float | None = Field(
        description="lower bound of the excess Sharpe less expected_max_sharpe: above 0 the trials do not explain it"
    )
    minimum_provable_sharpe: float = Field(description="the smallest Sharpe that a sample of this length could prove")
    probabilistic_sharpe: Fraction | None = Field(
        None, description="probability that the true Sharpe ratio is above 0, by skew and kurtosis of the returns"
    )
    deflated_sharpe: Fraction | None = Field(
        None, description="probability that the true Sharpe ratio is above expected_max_sharpe"
    )
    luck_percentile: Fraction | None = Field(
        None, description="share of random entries with the same positions, costs paid, that returned less"
    )
    luck_median_return: float | None = Field(None, description="what the middle one of the random entries returned")
    luck_draws: int = Field(0, ge=0, description="how many random entries were drawn")
    by_year: tuple[Stretch, ...] = Field((), max_length=128, description="calendar years in UTC, in their order")
    by_regime: tuple[Stretch, ...] = Field((), max_length=8, description="kinds of market that occurred")
    regime_rule: str | None = Field(None, max_length=400, description="what tells the regimes apart")
    equity_path: ArtifactPath | None
    trades_path: ArtifactPath | None
    service: ServiceRun | None = None
    part: Part
    data_sha256: str | None
    seconds: float = Field(ge=0)


class Verdict(StrEnum):
    """What the assessment says."""

    PROMISING = "promising"
    NEUTRAL = "neutral"
    POOR = "poor"


class Hypothesis(Frozen):
    """A statement that a later cycle can test."""

    text: str = Field(min_length=1, max_length=1000)
    rationale: str = Field(min_length=1, max_length=2000)


class HypothesisStatus(StrEnum):
    """What is known of a hypothesis. A test that decided nothing leaves it open to another one."""

    UNTESTED = "untested"
    VALIDATED = "validated"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


OPEN_STATUSES = (HypothesisStatus.UNTESTED, HypothesisStatus.INCONCLUSIVE)
"""A hypothesis with one of these can still be settled."""

HypothesisId = Annotated[str, Field(pattern=r"^h[1-9][0-9]{0,17}$")]
"""How the store calls a hypothesis: h and its number."""


class Settlement(Frozen):
    """What a cycle's results say of a hypothesis that it tested."""

    hypothesis_id: HypothesisId
    status: Literal[HypothesisStatus.VALIDATED, HypothesisStatus.REFUTED, HypothesisStatus.INCONCLUSIVE]
    why: str = Field(min_length=1, max_length=1000)


class Assessment(Frozen):
    """What the results mean, and which rules or reasons decided it."""

    verdict: Verdict
    decided_by: tuple[str, ...] = Field(default=(), max_length=16)
    strengths: tuple[str, ...] = Field(min_length=1, max_length=16)
    weaknesses: tuple[str, ...] = Field(min_length=1, max_length=16)
    suggestions: tuple[str, ...] = Field(default=(), max_length=16)
    hypotheses: tuple[Hypothesis, ...] = Field(default=(), max_length=8)
    settled: tuple[Settlement, ...] = Field(default=(), max_length=8)
