"""The parts of a report that tell of results: the backtest's figures and plots, the gates, the learning curves."""

from collections.abc import Iterator

from client.doubt_words import STRETCH_HEADER, random_entries, skill, stretch_rows
from client.render_values import NONE, count, number, percent
from client.report_data import Material, not_reached
from client.report_figures import MOST_TRADES, equity_figure, months_figure, sharpe_figure, trades_figure
from client.report_figures_model import gate_figure, learning_figure
from client.report_files import Missing
from client.report_html import Html, facts, grid, missing, paragraph, tag, text
from client.report_page import Plot, Section
from domain.results import BacktestResult, Interval, TrainingResult


def backtest_sections(material: Material) -> Iterator[Section]:
    """Equity, trades, months, years and regimes, the doubt; one section that says why where there was no backtest."""
    result = material.cycle.backtest
    if result is None:
        yield Section("Backtest", (missing(Missing(not_reached(material.cycle, "backtest"))),))
        return
    yield _equity(material, result)
    yield _trades(material, result)
    yield _months(material)
    if result.by_year or result.by_regime:
        yield _stretches(result)
    yield _doubt(result)


def _equity(material: Material, result: BacktestResult) -> Section:
    equity = material.equity
    parts: list[Html | Plot] = [_span(result)]
    if isinstance(equity, Missing):
        parts.append(missing(equity))
    else:
        shows = "Equity net and gross of costs, buy and hold, and the drawdown of the net equity"
        parts.append(Plot(equity_figure(equity), shows))
    parts += [_net_and_gross(result), facts(_around(result))]
    return Section("Equity", tuple(parts))


def _span(result: BacktestResult) -> Html:
    part = result.part
    bars = f", {count(part.bars)} bars" if part.bars is not None else ""
    return paragraph(
        f"The backtest part, {part.start:%Y-%m-%d} to {part.end:%Y-%m-%d}{bars}, which training did not see.", "soft"
    )


def _net_and_gross(result: BacktestResult) -> Html:
    gross = result.gross
    rows = [
        ("Total return", percent(result.total_return, 2), percent(gross.total_return, 2) if gross else NONE),
        ("Annual return", percent(result.annual_return, 2), percent(gross.annual_return, 2) if gross else NONE),
        ("Sharpe ratio", number(result.sharpe_ratio), number(gross.sharpe_ratio) if gross else NONE),
        ("Sortino ratio", number(result.sortino_ratio), number(gross.sortino_ratio) if gross else NONE),
        ("Max drawdown", percent(result.max_drawdown, 2), percent(gross.max_drawdown, 2) if gross else NONE),
    ]
    if gross is None:
        return grid(("", "net"), [row[:2] for row in rows])
    return grid(("", "net", "gross"), rows)


def _around(result: BacktestResult) -> list[tuple[str, str]]:
    costs = result.costs
    taken = "" if costs.total is None else f"{percent(costs.total, 2)} of the capital in all; "
    exposed = "" if result.exposure is None else f"{percent(result.exposure)} of the bars"
    return [
        ("Buy and hold", "" if result.benchmark_return is None else f"{percent(result.benchmark_return, 2)}, no costs"),
        ("In the market", exposed),
        ("Turnover", "" if result.turnover is None else f"{number(result.turnover, 1)} times the equity a year"),
        (
            "Costs",
            f"{taken}{percent(costs.commission, 4)} commission, {percent(costs.half_spread, 4)} half spread a fill",
        ),
    ]


def _trades(material: Material, result: BacktestResult) -> Section:
    figures = facts(
        [
            ("Trades", count(result.total_trades)),
            ("Won after costs", percent(result.win_rate)),
            ("Profit factor", number(result.profit_factor)),
        ]
    )
    trades, equity = material.trades, material.equity
    if isinstance(trades, Missing):
        return Section("Trades", (missing(trades), figures))
    if isinstance(equity, Missing):
        return Section("Trades", (missing(equity), figures))
    parts: list[Html | Plot] = [Plot(trades_figure(equity, trades), "The price, with where trades began and ended")]
    if not trades:
        parts.append(paragraph("Nothing was traded."))
    if len(trades) > MOST_TRADES:
        told = f"Of {count(len(trades))} trades the {MOST_TRADES} are drawn that gained or lost most."
        parts.append(paragraph(told, "soft"))
    return Section("Trades", (*parts, figures))


def _months(material: Material) -> Section:
    equity = material.equity
    if isinstance(equity, Missing):
        return Section("Months", (missing(equity),))
    told = paragraph("Net return of each month, percent; the first and the last are not whole.", "soft")
    return Section("Months", (told, Plot(months_figure(equity), "Net return of each month", narrow=True)))


def _stretches(result: BacktestResult) -> Section:
    told = [
        paragraph("Net of costs. The first and the last year are not whole; a trade counts where it began.", "soft"),
        grid(("year", *STRETCH_HEADER), stretch_rows(result.by_year)),
        grid(("market", *STRETCH_HEADER), stretch_rows(result.by_regime)),
    ]
    if result.regime_rule:
        told.append(paragraph(result.regime_rule, "soft"))
    return Section("Years and kinds of market", tuple(told))


def _doubt(result: BacktestResult) -> Section:
    luck, least, low = result.expected_max_sharpe, result.minimum_provable_sharpe, result.deflated_low
    trials = "the first backtest" if result.trials == 1 else f"the {count(result.trials)} backtests"
    rows = [
        ("Sharpe ratio, net", f"{number(result.sharpe_ratio)}, 95 % interval {_between(result.sharpe_interval)}"),
        ("Skill", skill(result)),
        ("Random entries", random_entries(result)),
        (
            "Of the excess return",
            f"{number(result.excess_sharpe)}, 95 % interval {_between(result.excess_sharpe_interval)}",
        ),
        ("Luck of the best", f"{number(luck)} is what the best of {trials} known of these bars shows without skill"),
        ("Its lower bound less that", number(low)),
        ("Provable at all", f"{number(least)} and above, in a sample of this length"),
    ]
    parts: list[Html | Plot] = []
    if result.sharpe_ratio is None and result.excess_sharpe is None:
        parts.append(missing(Missing("There is no Sharpe ratio: the returns have no variance.")))
    parts.append(Plot(sharpe_figure(result), "Sharpe ratios with their intervals, and the luck of the best trial"))
    if low is not None:
        words = "above 0: the trials do not explain it" if low > 0 else "not above 0: luck may be all there is to it"
        parts.append(paragraph(f"The lower bound of the excess Sharpe ratio, deflated, is {number(low)}, {words}."))
    return Section("How far to believe it", (*parts, facts(rows)))


def _between(interval: Interval | None) -> str:
    return NONE if interval is None else f"{interval.low:.2f} to {interval.high:.2f}"


def gates_section(material: Material) -> Section:
    """Every check of the gates that were reached."""
    cycle = material.cycle
    if not cycle.gates:
        return Section("Gates", (missing(Missing(not_reached(cycle, "gate result"))),))
    parts: list[Html | Plot] = [
        paragraph("The bar is the value, the line its bound; the green side passes.", "soft"),
    ]
    for gate in cycle.gates:
        tone, said = ("good", "passed") if gate.passed else ("warn", "said no")
        parts.append(Html(f"<h3>{text(gate.gate.value.capitalize())} gate: {tag('span', text(said), tone)}</h3>"))
        parts.append(Plot(gate_figure(gate), f"Each check of the {gate.gate.value} gate: value against bound"))
        if any(not check.told for check in gate.checks):
            parts.append(paragraph("Where there is a ?, the service does not tell enough to decide.", "soft"))
    return Section("Gates", tuple(parts))


def learning_section(material: Material) -> Section:
    """The learning curves and what training came to."""
    training, epochs = material.cycle.training, material.epochs
    if training is None:
        return Section("Learning", (missing(Missing(not_reached(material.cycle, "training"))),))
    if isinstance(epochs, Missing):
        return Section("Learning", (missing(epochs), facts(_learned(training))))
    shows = "Loss and accuracy in train and validation by epoch; the dashed lines are guessing"
    return Section(
        "Learning",
        (paragraph(f"{shows}.", "soft"), Plot(learning_figure(epochs, training), shows), facts(_learned(training))),
    )


def _learned(result: TrainingResult) -> list[tuple[str, str]]:
    guessing = percent(result.chance if result.chance_known else None)
    counted = "classes weighed alike" if result.balanced else "as the service counts it"
    return [
        ("Kept", f"epoch {result.best_epoch} of {result.epochs}, validation loss {number(result.model_loss, 4)}"),
        ("Loss of guessing", "" if result.baseline_loss is None else number(result.baseline_loss, 4)),
        (
            "Accuracy",
            f"{percent(result.validation_accuracy)} in validation, {percent(result.train_accuracy)} in train, "
            f"{counted}; guessing: {guessing}",
        ),
        ("Loss, first to last", f"{_fell(result)}"),
        ("Bars", "" if result.bars_used is None else f"{count(result.bars_used)}, {len(result.features)} features"),
        ("Classes in train", ", ".join(f"{name} {percent(share)}" for name, share in result.class_balance.items())),
    ]


def _fell(result: TrainingResult) -> str:
    train, validation = result.train_loss, result.validation_loss
    return (
        f"{number(train.initial, 4)} to {number(train.final, 4)} in train, "
        f"{number(validation.initial, 4)} to {number(validation.final, 4)} in validation"
    )
