"""What the figures of a cycle say beside the verdict: rules that add a strength or a weakness, and what follows.

A remark states what was measured, never more: no strategy is called profitable, since one stretch of bars shows what
happened there. A weakness may bring a suggestion and a hypothesis that a later cycle can find false.
"""

from collections.abc import Callable
from dataclasses import dataclass

from domain.gates import GateResult
from domain.results import BacktestResult, Hypothesis, TrainingResult

NARROW = 0.05
"""A gate's check within this fraction of its bound passed narrowly."""

COST_SHARE = 0.5
"""Costs above this share of the gross return decide the result."""

FEW_TRADES = 50
"""Up to so many trades, single ones weigh heavily in every figure."""

DEEP_DRAWDOWN = 0.20
"""A fall from a peak above this fraction is named."""

SMALL_GAP = 0.05
"""Train accuracy above validation accuracy by no more than this: little was learned by heart."""

LARGE_GAP = 0.10
"""By more than this: part of what was learned holds in train alone."""

RARE = 0.10
"""A class below this share of train is hardly learned."""

LITTLE_EXPOSURE = 0.02
"""In the market for less of the time than this, a result rests on few bars."""


@dataclass(frozen=True)
class Evidence:
    """All that an assessment may look at."""

    training: TrainingResult
    backtest: BacktestResult
    gates: tuple[GateResult, ...] = ()

    @property
    def accuracy_gap(self) -> float:
        """How much of the train accuracy the validation part did not show."""
        # Without the rounding 0.65 - 0.50 lies above 0.15.
        return round(self.training.train_accuracy - self.training.validation_accuracy, 12)

    @property
    def narrow(self) -> tuple[str, ...]:
        """The checks that passed with little to spare."""
        return tuple(
            str(check)
            for gate in self.gates
            for check in gate.checks
            if check.passed
            and check.value is not None
            and check.bound
            and abs(check.value - check.bound) <= NARROW * abs(check.bound)
        )

    @property
    def untold(self) -> tuple[str, ...]:
        """What a service did not tell, of what an assessment rests on."""
        training, backtest = self.training, self.backtest
        figures = {
            "accuracy with classes weighed alike": training.balanced or None,
            "the loss of guessing": training.baseline_loss,
            "returns before costs": backtest.gross,
            "the return of buy and hold": backtest.benchmark_return,
            "time in the market": backtest.exposure,
            "the equity bar by bar, on which every interval rests": backtest.equity_path,
        }
        return tuple(name for name, value in figures.items() if value is None)

    @property
    def gross_return(self) -> float | None:
        """The backtest's return before costs."""
        return self.backtest.gross.total_return if self.backtest.gross else None

    @property
    def rare_classes(self) -> tuple[str, ...]:
        """The classes with a small share of train."""
        return tuple(sorted(name for name, share in self.training.class_balance.items() if share < RARE))


@dataclass(frozen=True)
class Remarks:
    """The remarks of one assessment."""

    strengths: tuple[str, ...]
    weaknesses: tuple[str, ...]
    suggestions: tuple[str, ...]
    hypotheses: tuple[Hypothesis, ...]


@dataclass(frozen=True)
class Strength:
    """A good word, where it holds."""

    name: str
    holds: Callable[[Evidence], bool]
    words: Callable[[Evidence], str]


@dataclass(frozen=True)
class Weakness:
    """A doubt, where it holds, and what a later cycle could do about it."""

    name: str
    holds: Callable[[Evidence], bool]
    words: Callable[[Evidence], str]
    suggestion: str | None = None
    hypothesis: Callable[[Evidence], str] | None = None


def remarks_on(evidence: Evidence) -> Remarks:
    """Every rule that holds, in the order of the tables; at least one strength and one weakness."""
    strengths = [rule.words(evidence) for rule in STRENGTHS if rule.holds(evidence)]
    weak = [rule for rule in WEAKNESSES if rule.holds(evidence)]
    return Remarks(
        strengths=tuple(strengths) or ("The figures were measured on bars that the training had not seen.",),
        weaknesses=(*(rule.words(evidence) for rule in weak), _ONE_STRETCH),
        suggestions=tuple(rule.suggestion for rule in weak if rule.suggestion),
        hypotheses=tuple(
            Hypothesis(text=rule.hypothesis(evidence), rationale=rule.words(evidence))
            for rule in weak
            if rule.hypothesis
        )
        or (_repeat(evidence),),
    )


def _trials(evidence: Evidence) -> str:
    return f"{evidence.backtest.trials} trial{'' if evidence.backtest.trials == 1 else 's'}"


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{value * 100:.4g} %"


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}"


def _above(value: float | None, bound: float) -> bool:
    return value is not None and value > bound


def _at_most(value: float | None, bound: float) -> bool:
    return value is not None and value <= bound


def _luck(e: Evidence) -> bool:
    return not _above(e.backtest.deflated_low, 0.0)


def _costs_turn(e: Evidence) -> bool:
    return _above(e.gross_return, 0.0) and e.backtest.total_return <= 0


def _costs_weigh(e: Evidence) -> bool:
    if e.gross_return is None or e.backtest.total_return <= 0:
        return False
    return _above(e.backtest.costs.total, COST_SHARE * e.gross_return)


_ONE_STRETCH = (
    "One instrument and one stretch of bars were tested: nothing here says how the strategy does on others or later."
)

STRENGTHS = (
    Strength(
        "skill",
        lambda e: e.training.chance_known and e.training.skill > 0,
        lambda e: (
            f"On the validation part the model's {'balanced ' if e.training.balanced else ''}accuracy is "
            f"{_percent(e.training.validation_accuracy)} (guessing: {_percent(e.training.chance)})."
        ),
    ),
    Strength(
        "loss",
        lambda e: _above(e.training.baseline_loss, e.training.model_loss),
        lambda e: (
            f"Its validation loss {_figure(e.training.model_loss)} lies below that of guessing by frequency, "
            f"{_figure(e.training.baseline_loss)}."
        ),
    ),
    Strength(
        "small gap",
        lambda e: e.training.chance_known and e.training.skill > 0 and e.accuracy_gap <= SMALL_GAP,
        lambda e: (
            f"Accuracy hardly falls from train to validation ({_percent(e.training.train_accuracy)} to "
            f"{_percent(e.training.validation_accuracy)})."
        ),
    ),
    Strength(
        "net gain",
        lambda e: e.backtest.total_return > 0,
        lambda e: f"The backtest gained {_percent(e.backtest.total_return)} after costs.",
    ),
    Strength(
        "benchmark",
        lambda e: e.backtest.benchmark_return is not None and e.backtest.total_return > e.backtest.benchmark_return,
        lambda e: (
            f"It did better than buy and hold over the same bars ({_percent(e.backtest.total_return)} against "
            f"{_percent(e.backtest.benchmark_return)})."
        ),
    ),
    Strength(
        "drawdown",
        lambda e: e.backtest.total_trades > 0 and e.backtest.max_drawdown < DEEP_DRAWDOWN,
        lambda e: f"The deepest fall from a peak was {_percent(e.backtest.max_drawdown)}.",
    ),
    Strength(
        "trades",
        lambda e: e.backtest.total_trades > FEW_TRADES,
        lambda e: f"{e.backtest.total_trades} trades carry the figures, so no single one decides them.",
    ),
    Strength(
        "beyond luck",
        lambda e: _above(e.backtest.deflated_low, 0.0),
        lambda e: (
            f"The lower bound of the excess Sharpe ratio stays above what the best of {_trials(e)} "
            f"without skill would show (by {_figure(e.backtest.deflated_low)})."
        ),
    ),
)

WEAKNESSES = (
    Weakness(
        "no trade",
        lambda e: e.backtest.total_trades == 0,
        lambda e: "The strategy never traded, so the backtest says nothing about it.",
        "Lower the confidence threshold or the distance between signals.",
        lambda e: "With a lower confidence threshold the same model makes at least 20 trades on the backtest part.",
    ),
    Weakness(
        "luck",
        lambda e: e.backtest.total_trades > 0 and _luck(e),
        lambda e: (
            f"Luck is not excluded: less the best of {_trials(e)} without skill, the lower bound of "
            f"the excess Sharpe ratio is {_figure(e.backtest.deflated_low)}, not above 0."
        ),
        "Test on more bars, or on other instruments, before another variant on these: each variant raises the bar.",
        lambda e: (
            "The same strategy, unchanged, has a Sharpe ratio above 0 after costs on an instrument that it was not "
            "designed on."
        ),
    ),
    Weakness(
        "too short",
        lambda e: (
            e.backtest.sharpe_ratio is not None and 0 < e.backtest.sharpe_ratio < e.backtest.minimum_provable_sharpe
        ),
        lambda e: (
            f"A sample of this length cannot prove a Sharpe ratio below {_figure(e.backtest.minimum_provable_sharpe)}; "
            f"this one is {_figure(e.backtest.sharpe_ratio)}."
        ),
        "Import a longer history.",
    ),
    Weakness(
        "interval",
        lambda e: (
            e.backtest.sharpe_interval is not None
            and e.backtest.sharpe_interval.low <= 0 < e.backtest.sharpe_interval.high
        ),
        lambda e: (
            f"The 95 % interval of the Sharpe ratio holds 0 ({_figure(e.backtest.sharpe_interval.low)} to "
            f"{_figure(e.backtest.sharpe_interval.high)})."
            if e.backtest.sharpe_interval
            else ""
        ),
    ),
    Weakness(
        "costs turn it",
        _costs_turn,
        lambda e: f"Costs turn a gross gain of {_percent(e.gross_return)} into {_percent(e.backtest.total_return)}.",
        "Trade less: a higher confidence threshold, more bars between signals, or labels of larger moves.",
        lambda e: (
            "With half the turnover the same inputs and labels gain after costs."
            if e.backtest.turnover is None
            else (
                f"With a turnover below {_figure(e.backtest.turnover / 2)} a year (half of now) the same inputs and "
                "labels gain after costs."
            )
        ),
    ),
    Weakness(
        "costs weigh",
        _costs_weigh,
        lambda e: (
            f"Costs take {_percent(e.backtest.costs.total)} of the capital, beside a gross gain of "
            f"{_percent(e.gross_return)}."
        ),
        "Look for fewer, larger moves; a wider spread than assumed would undo the gain.",
        lambda e: "With twice the half spread the backtest still gains after costs.",
    ),
    Weakness(
        "gross loss",
        lambda e: _at_most(e.gross_return, 0.0) and e.backtest.total_trades > 0,
        lambda e: f"It gained nothing even before costs ({_percent(e.gross_return)}).",
        "Change what the network sees or predicts; trading less would not help.",
        lambda e: "With labels of another horizon the same inputs gain before costs on the backtest part.",
    ),
    Weakness(
        "benchmark",
        lambda e: e.backtest.benchmark_return is not None and e.backtest.total_return <= e.backtest.benchmark_return,
        lambda e: (
            f"Buy and hold did at least as well ({_percent(e.backtest.benchmark_return)} against "
            f"{_percent(e.backtest.total_return)})."
        ),
    ),
    Weakness(
        "drawdown",
        lambda e: e.backtest.max_drawdown >= DEEP_DRAWDOWN,
        lambda e: f"The deepest fall from a peak was {_percent(e.backtest.max_drawdown)}.",
        "Ask for more confidence before a trade, so that losing stretches are traded less.",
    ),
    Weakness(
        "few trades",
        lambda e: 0 < e.backtest.total_trades <= FEW_TRADES,
        lambda e: f"Only {e.backtest.total_trades} trades: single ones weigh heavily in every figure.",
        "Lower the confidence threshold, or test on a longer history.",
    ),
    Weakness(
        "little exposure",
        lambda e: (
            e.backtest.total_trades > 0 and e.backtest.exposure is not None and e.backtest.exposure < LITTLE_EXPOSURE
        ),
        lambda e: f"It was in the market for {_percent(e.backtest.exposure)} of the bars.",
    ),
    Weakness(
        "gap",
        lambda e: e.accuracy_gap > LARGE_GAP,
        lambda e: (
            f"Accuracy falls from {_percent(e.training.train_accuracy)} in train to "
            f"{_percent(e.training.validation_accuracy)} in validation: part of it was learned by heart."
        ),
        "Use a smaller network, more dropout or fewer inputs.",
        lambda e: (
            "With half the units in each layer the gap between train and validation halves, and validation accuracy "
            "falls by less than 0.01."
        ),
    ),
    Weakness(
        "untold",
        lambda e: bool(e.untold),
        lambda e: f"The service does not tell, and so nothing here rests on it: {'; '.join(e.untold)}.",
        "Let the service tell these figures, or train and backtest with the embedded engine.",
    ),
    Weakness(
        "rare class",
        lambda e: bool(e.rare_classes),
        lambda e: f"Rare in train, and so hardly learned: {', '.join(e.rare_classes)}.",
    ),
    Weakness(
        "narrow gate",
        lambda e: bool(e.narrow),
        lambda e: f"Passed a gate narrowly: {'; '.join(e.narrow)}.",
    ),
)


def _repeat(evidence: Evidence) -> Hypothesis:
    return Hypothesis(
        text="Trained with another seed, the same strategy has a Sharpe ratio above 0 after costs on the same bars.",
        rationale=f"One seed ({evidence.training.seed}) was tried; a result that hangs on it is no result.",
    )
