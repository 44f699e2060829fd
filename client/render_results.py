"""What a cycle has found, as people read it: gates, figures, verdict, and where everything lies. Pure functions."""

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from client.doubt_words import STRETCH_HEADER, random_entries, skill, stretch_rows
from client.render_values import NONE, clean, count, duration_of, number, percent
from client.views import Places
from domain.cycle import CycleStatus, Outcome
from domain.gates import GateResult
from domain.results import Assessment, BacktestResult, Interval, TrainingResult, Verdict

OUTCOME_STYLES = {
    Outcome.COMPLETED: "green",
    Outcome.REJECTED: "yellow",
    Outcome.REFUSED: "yellow",
    Outcome.FAILED: "red",
    Outcome.CANCELLED: "yellow",
}
VERDICT_STYLES = {Verdict.PROMISING: "green", Verdict.NEUTRAL: "cyan", Verdict.POOR: "yellow"}


def render_gate(result: GateResult) -> RenderableType:
    """A gate with every check: its value, its bound, its verdict."""
    word, style = ("passed", "green") if result.passed else ("said no", "yellow")
    table = _table(4)
    for check in result.checks:
        mark = Text("✓", "green") if check.passed else Text("✗", "yellow")
        table.add_row(
            mark if check.told else Text("?", "yellow"),
            check.name,
            check.shown(check.value),
            f"{check.kind.value} {check.shown(check.bound)}",
        )
    return _block(Text.assemble((f"{result.gate.value.capitalize()} gate", "bold"), " ", (word, style)), table)


def render_results(status: CycleStatus) -> RenderableType:
    """What training and backtest came to, as far as the cycle got."""
    parts = [render_training(status.training)] if status.training else []
    parts += [render_figures(status.backtest)] if status.backtest else []
    return Group(*parts)


def render_training(result: TrainingResult) -> RenderableType:
    """What training came to; validation is the part that the gate looks at."""
    table = _table(2)
    table.add_row(
        "Accuracy",
        f"{percent(result.validation_accuracy)} in validation, {percent(result.train_accuracy)} in train, "
        f"{'classes weighed alike' if result.balanced else 'as the service counts it'} "
        f"(guessing: {percent(result.chance if result.chance_known else None)})",
    )
    table.add_row(
        "Final Loss", f"{result.train_loss.final:.4f} in train, {result.validation_loss.final:.4f} in validation"
    )
    table.add_row("Kept", f"epoch {result.best_epoch} of {result.epochs}, loss {result.model_loss:.4f}")
    if result.baseline_loss is not None:
        table.add_row("Guessing", f"loss {number(result.baseline_loss, 4)}")
    if result.bars_used is not None:
        table.add_row("Bars", f"{count(result.bars_used)}, {len(result.features)} features")
    if result.service:
        table.add_row("At the service", f"operation {result.service.operation_id}")
    table.add_row("Took", duration_of(result.seconds))
    return _block(Text("Training Result", "bold"), table)


def render_figures(result: BacktestResult) -> RenderableType:
    """The backtest's figures, net of costs beside gross, with their doubt and the benchmark."""
    part = result.part
    heading = Text.assemble(
        ("Backtest Result", "bold"),
        f"  {part.start:%Y-%m-%d} to {part.end:%Y-%m-%d}",
        f", {count(part.bars)} bars" if part.bars is not None else "",
    )
    parts: list[RenderableType] = [_net_and_gross(result), _around(result)]
    stretches = (*result.by_year, *result.by_regime)
    if stretches:
        table = _table(1 + len(STRETCH_HEADER), header=("", *STRETCH_HEADER))
        for row in stretch_rows(stretches):
            table.add_row(*row)
        parts.append(table)
    return _block(heading, Group(*parts))


def _net_and_gross(result: BacktestResult) -> Table:
    rows: list[tuple[str, ...]] = [
        ("Total return", percent(result.total_return, 2)),
        ("Annual return", percent(result.annual_return, 2)),
        ("Sharpe ratio", number(result.sharpe_ratio)),
        ("Sortino ratio", number(result.sortino_ratio)),
        ("Max drawdown", percent(result.max_drawdown, 2)),
    ]
    gross = result.gross
    if gross is None:
        table = _table(2, header=("", "net"))
    else:
        table = _table(3, header=("", "net", "gross"))
        before_costs = (
            percent(gross.total_return, 2),
            percent(gross.annual_return, 2),
            number(gross.sharpe_ratio),
            number(gross.sortino_ratio),
            percent(gross.max_drawdown, 2),
        )
        rows = [(*row, value) for row, value in zip(rows, before_costs, strict=True)]
    for row in rows:
        table.add_row(*row)
    return table


def _around(result: BacktestResult) -> Table:
    costs = result.costs
    taken = "" if costs.total is None else f"{percent(costs.total, 2)} of the capital; "
    table = _table(2)
    table.add_row("Sharpe, 95 % interval", interval(result.sharpe_interval))
    for name, words in (("Skill", skill(result)), ("Random entries", random_entries(result))):
        if words:
            table.add_row(name, words)
    if result.benchmark_return is not None:
        table.add_row("Buy and hold", f"{percent(result.benchmark_return, 2)}, without costs")
    table.add_row(
        "Excess Sharpe", f"{number(result.excess_sharpe)}, 95 % interval {interval(result.excess_sharpe_interval)}"
    )
    table.add_row(
        "Trades",
        f"{count(result.total_trades)}, win rate {percent(result.win_rate)}, "
        f"profit factor {number(result.profit_factor)}",
    )
    if result.exposure is not None:
        table.add_row(
            "In the market", f"{percent(result.exposure)} of the bars, turnover {number(result.turnover, 1)} a year"
        )
    table.add_row(
        "Costs",
        f"{taken}{percent(costs.commission, 4)} commission and {percent(costs.half_spread, 4)} half spread a fill",
    )
    table.add_row(
        "Luck of the best trial",
        f"Sharpe {number(result.expected_max_sharpe)} expected of {count(result.trials)} without skill; "
        f"lower bound less that: {number(result.deflated_low)}",
    )
    table.add_row("Provable in this sample", f"Sharpe {number(result.minimum_provable_sharpe)} and above")
    if result.service:
        table.add_row("At the service", f"operation {result.service.operation_id}")
    return table


def interval(value: Interval | None) -> str:
    """An interval's two ends."""
    return NONE if value is None else f"{value.low:.2f} to {value.high:.2f}"


def render_verdict(status: CycleStatus) -> RenderableType:
    """How a cycle ended and what decided it. Nothing for one that still runs."""
    if status.outcome is None:
        return Text("")
    parts: list[RenderableType] = [_outcome(status)]
    if status.assessment:
        parts.append(_assessment(status.assessment))
    return Group(*parts)


def _outcome(status: CycleStatus) -> Text:
    outcome = status.outcome
    if outcome is Outcome.COMPLETED and status.assessment:
        verdict = status.assessment.verdict
        return Text.assemble(("Verdict ", "bold"), (verdict.value, f"bold {VERDICT_STYLES[verdict]}"))
    if outcome is None:
        return Text("")
    line = Text.assemble(("Outcome ", "bold"), (outcome.value, f"bold {OUTCOME_STYLES[outcome]}"))
    if status.stopped_in:
        line.append(f" in {status.stopped_in.value}")
    if status.failure:
        line.append(f": {status.failure.code.value}: {clean(status.failure.message)}")
    elif status.reason:
        line.append(f": {clean(status.reason)}")
    return line


def _assessment(assessment: Assessment) -> RenderableType:
    lines = [
        *_listed("decided by", assessment.decided_by),
        *_listed("strength", assessment.strengths),
        *_listed("weakness", assessment.weaknesses),
        *_listed("suggestion", assessment.suggestions),
        *_listed("hypothesis", (hypothesis.text for hypothesis in assessment.hypotheses)),
        *_listed("settled", (f"{one.hypothesis_id} {one.status.value}: {one.why}" for one in assessment.settled)),
    ]
    table = _table(2)
    for name, text in lines:
        table.add_row(Text(name, "dim"), text)
    return Padding(table, (0, 0, 0, 2), expand=False)


def _listed(name: str, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    for position, text in enumerate(texts):
        yield (name if position == 0 else "", clean(text))


def render_places(places: Places) -> RenderableType:
    """Where the cycle's things lie, whole paths."""
    rows = {
        "Strategy": places.strategy,
        "Model": places.model,
        "Learning curve": places.history,
        "Equity": places.equity,
        "Trades": places.trades,
        "Web UI": places.web_ui,
        "Trace": places.trace,
    }
    lines = [Text.assemble((f"  {name + ':':<16}", "dim"), clean(str(place))) for name, place in rows.items() if place]
    for line in lines:
        line.no_wrap, line.overflow = True, "ignore"
    return Group(*lines)


def _table(columns: int, header: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, show_header=bool(header), pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for position in range(columns):
        right = bool(header) and position > 0
        table.add_column(header[position] if header else "", justify="right" if right else "left", overflow="fold")
    return table


def _block(heading: Text, body: RenderableType) -> RenderableType:
    return Group(heading, Padding(body, (0, 0, 0, 2), expand=False))
