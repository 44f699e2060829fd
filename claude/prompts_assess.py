"""What the assessor is told: how it judges (the same for all cycles), and this cycle's results with their doubt."""

from collections.abc import Iterable, Sequence

from claude.catalogue import sketch
from claude.quoting import NOTE, inline, listed, quoted
from domain.cycle import CycleStatus
from domain.gates import GateResult
from domain.memory import HypothesisRecord, Precedent
from domain.results import Assessment, BacktestResult, Interval, Stretch, TrainingResult
from domain.verdict import POOR, PROMISING

MOST_BRIEF = 2_000
MOST_STRATEGY = 6_000
"""Bytes that are shown of the brief and of the strategy."""

MOST_STRETCHES = 12
"""Years that are told, the newest."""

UNTOLD = "not told by the service"
UNDEFINED = "undefined"


def system() -> str:
    """How the assessor judges."""
    poor = "; ".join(f"{rule.name} {rule.side.value} {rule.bound:g}" for rule in POOR)
    promising = "; ".join(f"{rule.name} {rule.side.value} {rule.bound:g}" for rule in PROMISING)
    return f"""\
You assess research cycles of a laboratory for trading strategies. A cycle trained one strategy and backtested it, once,
after costs, on bars that were fixed beforehand. You say what the results show, and no more. You work by one tool, and
are done when submit_assessment has taken your assessment. Nobody answers questions.

# The verdict
- poor where any of these holds: {poor}.
- promising only where all of these hold: {promising}.
- else neutral.
These rules are the most that a verdict may claim; a higher one is refused. A lower one is yours to give, with reasons.

# Rules
- One stretch of bars and one instrument show what happened there. Never call a strategy profitable or proven.
- Luck: the more backtests were made of these bars, the better the best of them looks by chance. The deflated lower \
bound of the excess Sharpe ratio has that taken off: where it is not above 0, luck explains the result.
- An interval that holds 0 decides nothing. A figure that is "{UNTOLD}" decides nothing and is never a zero: say that \
it is missing where it matters.
- Skill in validation without gain in the backtest, or the other way round, is a reason for doubt, not a story.
- Every strength and weakness rests on a figure that you name.
- A hypothesis is a statement that a later cycle can find false. Designers read its text and must know nothing of the \
backtest part: no figure of any backtest belongs in it. Repeat none that is open.
- Settle a hypothesis only if you are told that this cycle can settle it, and only by what the results show: \
inconclusive is an honest answer, and is always better than a guess.
- {NOTE}
"""


def opening(
    status: CycleStatus,
    strategy_text: str,
    most: Assessment,
    precedents: Sequence[Precedent],
    settleable: Sequence[HypothesisRecord],
    others: Sequence[HypothesisRecord],
) -> str:
    """This cycle. most: what the rules say of it, the highest verdict that it can have."""
    request, training, backtest = status.request, status.training, status.backtest
    if training is None or backtest is None:
        raise ValueError("an assessment needs the results of training and backtest")
    return "\n\n".join(
        (
            f"Assess this cycle on {request.symbol} at {request.timeframe}.\n"
            + quoted("brief", request.brief.strip() or "none", MOST_BRIEF),
            "# Strategy\n"
            + quoted("strategy", strategy_text, MOST_STRATEGY)
            + "\nWhat its design claimed:\n"
            + quoted("hypothesis", status.hypothesis or "nothing; it was given as a finished strategy", 1_500),
            "# Gates, all passed\n" + "\n".join(_gate(gate) for gate in status.gates),
            f"# Training\n{_training(training)}",
            f"# Backtest, after costs\n{_backtest(backtest)}",
            f"# The highest verdict that the figures allow: {most.verdict.value}\n"
            + "\n".join(f"- {each}" for each in most.decided_by),
            f"# Earlier backtests on {request.symbol}, the most alike first\n"
            + _lines("experiments", map(_precedent, precedents)),
            "# Hypotheses that this cycle can settle\n" + _lines("hypotheses", map(_hypothesis, settleable)),
            "# Other open hypotheses, not to be raised again\n" + _lines("hypotheses", map(_hypothesis, others)),
            "Submit your assessment by submit_assessment.",
        )
    )


def _gate(gate: GateResult) -> str:
    return f"- {gate.gate.value}: {'; '.join(str(check) for check in gate.checks)}"


def _training(result: TrainingResult) -> str:
    how = "balanced accuracy" if result.balanced else "plain accuracy, as the service counts it"
    balance = ", ".join(f"{inline(name, 40)} {share:.1%}" for name, share in result.class_balance.items())
    guess = UNTOLD if result.baseline_loss is None else f"{result.baseline_loss:.4g}"
    return "\n".join(
        (
            f"- {result.task.value}, {how}: {result.train_accuracy:.4g} in train, {result.validation_accuracy:.4g} in "
            f"validation; a model without skill has {result.chance:.4g}",
            f"- loss in validation {result.model_loss:.4g}; of guessing {guess}; in train from "
            f"{result.train_loss.initial:.4g} to {result.train_loss.final:.4g}",
            f"- {result.epochs} epochs, the best {result.best_epoch}; {len(result.features)} features; "
            f"{UNTOLD if result.bars_used is None else f'{result.bars_used:,}'} bars; seed {result.seed}, the only one",
            f"- share of each class in train: {balance or UNTOLD}",
        )
    )


def _backtest(result: BacktestResult) -> str:
    told = result.service is None
    gross = _percent(result.gross.total_return if result.gross else None, told=False)
    return "\n".join(
        (
            f"- {result.part.start:%Y-%m-%d} to {result.part.end:%Y-%m-%d}, "
            f"{UNTOLD if result.part.bars is None else f'{result.part.bars:,}'} bars",
            f"- return {_percent(result.total_return, told=True)} (before costs {gross}; buy and hold, without costs, "
            f"{_percent(result.benchmark_return, told=False)}); costs took "
            f"{_percent(result.costs.total, told=False)} of the capital",
            f"- Sharpe ratio, annual, {_figure(result.sharpe_ratio, told=True)}; 95 % interval "
            f"{_interval(result.sharpe_interval, told)}; a sample of this length proves none below "
            f"{result.minimum_provable_sharpe:.3g}",
            "- excess Sharpe ratio, over a buy and hold of the same exposure: "
            f"{_figure(result.excess_sharpe, told)}; 95 % interval {_interval(result.excess_sharpe_interval, told)}",
            f"- luck: of {result.trials} backtests without skill on these bars the best would show "
            f"{result.expected_max_sharpe:.3g}; lower bound of the excess Sharpe ratio less that: "
            f"{_figure(result.deflated_low, told)}",
            f"- probability that the true Sharpe ratio is above 0: {_percent(result.probabilistic_sharpe, told)}; "
            f"that it is above what the trials show by luck: {_percent(result.deflated_sharpe, told)}",
            "- random entries with the same positions and costs at other times: "
            f"{_percent(result.luck_percentile, told)} of them returned less; the middle one returned "
            f"{_percent(result.luck_median_return, told)}",
            f"- by year: {_stretches(result.by_year, told)}",
            f"- by kind of market: {_stretches(result.by_regime, told)}",
            f"- Sortino ratio {_figure(result.sortino_ratio, told=True)}; deepest fall from a peak "
            f"{_percent(result.max_drawdown, told=True)}",
            f"- {result.total_trades} trades; won {_percent(result.win_rate, told=True)}; gains over losses "
            f"{_figure(result.profit_factor, told=True)}; in the market {_percent(result.exposure, told=False)} of the "
            f"bars; turnover {_figure(result.turnover, told=False)} times the equity a year",
        )
    )


def _stretches(stretches: Sequence[Stretch], told: bool) -> str:
    """The last few, each with its return and Sharpe ratio; the names are the engine's own."""
    each = (
        f"{one.name}: {one.total_return:.2%}, Sharpe {_figure(one.sharpe_ratio, told=True)}"
        for one in stretches[-MOST_STRETCHES:]
    )
    return "; ".join(each) or (UNDEFINED if told else UNTOLD)


def _figure(value: float | None, told: bool) -> str:
    """A figure; told: one without a value is undefined, and not merely untold."""
    return f"{value:.3g}" if value is not None else UNDEFINED if told else UNTOLD


def _percent(value: float | None, told: bool) -> str:
    return f"{value:.2%}" if value is not None else UNDEFINED if told else UNTOLD


def _interval(interval: Interval | None, told: bool) -> str:
    if interval is None:
        return UNDEFINED if told else UNTOLD
    return f"{interval.low:.3g} to {interval.high:.3g}"


def _precedent(found: Precedent) -> str:
    trial = found.experiment.trial
    sharpe = UNDEFINED if found.sharpe_ratio is None else f"{found.sharpe_ratio:.2g}"
    skill = UNDEFINED if trial.validation_skill is None else f"{trial.validation_skill:+.3f}"
    verdict = found.verdict.value if found.verdict else trial.outcome.value
    return (
        f"- {inline(trial.cycle_id, 80)} at {trial.timeframe}: {inline(sketch(found.experiment.strategy_text), 240)}. "
        f"Skill {skill}, Sharpe ratio {sharpe}, {found.total_trades} trades: {verdict}"
    )


def _hypothesis(record: HypothesisRecord) -> str:
    return f"- {record.id} ({record.status.value}): {inline(record.text, 400)}"


def _lines(tag: str, lines: Iterable[str]) -> str:
    found = list(lines)
    return listed(tag, found) if found else "None."
