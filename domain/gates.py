"""The two gates between phases: pure functions over results. Each tells every threshold's value, bound and verdict."""

from enum import StrEnum

from pydantic import Field

from domain.results import BacktestResult, Frozen, Task, TrainingResult

_FRACTIONS = frozenset(
    {"accuracy", "balanced accuracy", "directional accuracy", "train loss decrease", "win rate", "max drawdown"}
)
_COUNTS = frozenset({"trades"})
"""Checks whose values people read as percent, and as whole numbers."""


class GateName(StrEnum):
    """Which gate."""

    TRAINING = "training"
    BACKTEST = "backtest"


class Bound(StrEnum):
    """On which side of its bound a value must lie. The bound itself passes."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


class GateThresholds(Frozen):
    """The bounds of both gates. Fractions are fractions."""

    training_min_skill: float = Field(0.02, ge=0, le=1)
    training_max_loss_ratio: float = Field(1.05, gt=0)
    training_min_loss_decrease: float = Field(0.0, ge=-1, le=1)
    backtest_min_win_rate: float = Field(0.10, ge=0, le=1)
    backtest_max_drawdown: float = Field(0.40, ge=0, le=1)
    backtest_min_sharpe: float = -0.5
    backtest_min_trades: int = Field(5, ge=0)


class Check(Frozen):
    """One threshold: what was measured, what it was held against, and the verdict.

    A value that does not exist never passes. Where a service does not tell enough to decide, told is false, and whoever
    shows the check says so: it stops nothing, and proves nothing.
    """

    name: str
    value: float | None
    kind: Bound
    bound: float
    passed: bool
    told: bool = True

    def __str__(self) -> str:
        value = "none" if self.value is None else f"{self.value:.4g}"
        if not self.told:
            return (
                f"{self.name} {value}, {self.kind.value} {self.bound:.4g}: the service does not tell enough to decide"
            )
        return f"{self.name} {value}, {self.kind.value} {self.bound:.4g}"

    @property
    def is_fraction(self) -> bool:
        """Whether value and bound are fractions, which people read as percent."""
        return self.name in _FRACTIONS

    def shown(self, value: float | None) -> str:
        """Its value or its bound as people read it, in its own unit."""
        if value is None:
            return "-" if self.told else "not told"
        if self.is_fraction:
            return f"{value * 100:.2f} %"
        return f"{value:.0f}" if self.name in _COUNTS else f"{value:.4f}"


class GateResult(Frozen):
    """A gate's verdict with all its checks, not only the first that failed."""

    gate: GateName
    passed: bool
    checks: tuple[Check, ...]

    @property
    def reason(self) -> str:
        """The checks that failed, in words; empty if the gate passed."""
        return "; ".join(str(check) for check in self.checks if not check.passed)


def training_gate(result: TrainingResult, bounds: GateThresholds) -> GateResult:
    """Whether the model learned something that holds on the validation part.

    The accuracy is balanced, so that a model that always names the commonest class has 1/k and no skill.
    """
    name = "balanced accuracy" if result.balanced else "accuracy"
    if result.task is Task.REGRESSION:
        name = "directional accuracy"
    decrease = None
    if result.train_loss.initial > 0:
        decrease = (result.train_loss.initial - result.train_loss.final) / result.train_loss.initial
    return _gate(
        GateName.TRAINING,
        _accuracy(name, result, bounds.training_min_skill),
        _loss_ratio(result, bounds.training_max_loss_ratio),
        _at_least("train loss decrease", decrease, bounds.training_min_loss_decrease),
    )


def backtest_gate(result: BacktestResult, bounds: GateThresholds) -> GateResult:
    """Whether the backtest, after costs, is worth an assessment."""
    return _gate(
        GateName.BACKTEST,
        _at_least("win rate", result.win_rate, bounds.backtest_min_win_rate),
        _at_most("max drawdown", result.max_drawdown, bounds.backtest_max_drawdown),
        _at_least("Sharpe ratio", result.sharpe_ratio, bounds.backtest_min_sharpe),
        _at_least("trades", float(result.total_trades), bounds.backtest_min_trades),
    )


def _accuracy(name: str, result: TrainingResult, skill: float) -> Check:
    check = _at_least(name, result.validation_accuracy, result.chance + skill)
    # Below chance is no skill, whatever the classes' shares are; above it, a common class may do it alone.
    return check.model_copy(update={"told": False}) if check.passed and not result.chance_known else check


def _loss_ratio(result: TrainingResult, bound: float) -> Check:
    name = "loss ratio to guessing"
    if result.baseline_loss is None:
        return Check(name=name, value=None, kind=Bound.AT_MOST, bound=bound, passed=True, told=False)
    return _at_most(name, result.model_loss / result.baseline_loss if result.baseline_loss > 0 else None, bound)


def _gate(name: GateName, *checks: Check) -> GateResult:
    return GateResult(gate=name, passed=all(check.passed for check in checks), checks=checks)


def _at_least(name: str, value: float | None, bound: float) -> Check:
    passed = value is not None and value >= bound
    return Check(name=name, value=value, kind=Bound.AT_LEAST, bound=bound, passed=passed)


def _at_most(name: str, value: float | None, bound: float) -> Check:
    passed = value is not None and value <= bound
    return Check(name=name, value=value, kind=Bound.AT_MOST, bound=bound, passed=passed)
