"""What Temporal's Web UI shows of a cycle while it runs: its current details, in Markdown, from the status alone."""

from collections.abc import Sequence
from datetime import datetime

from domain.cycle import CycleStatus, Outcome, Phase, overall_progress
from domain.gates import Check, GateResult
from domain.results import Assessment, BacktestResult, Interval, TrainingResult

MAX_POINT = 300
"""Characters shown of one strength or weakness: whoever wrote them, the page stays short."""

GAP = "\N{EM SPACE}"

_STEPS = (Phase.QUEUED, Phase.DESIGNING, Phase.TRAINING, Phase.BACKTESTING, Phase.ASSESSING)


def current_details(status: CycleStatus) -> str:
    """The phase table, what is waited for, gates with every bound, figures, verdict, tokens. Markdown.

    What matters most comes first: the page shows the beginning without scrolling.
    """
    blocks = [_headline(status)]
    if status.waiting_for:
        blocks.append(f"Waiting for {plain(status.waiting_for)}.")
    if status.failure:
        blocks.append(f"Failed: `{status.failure.code.value}` {plain(status.failure.message)}")
    if status.assessment:
        blocks.append(_verdict(status.assessment))
    blocks.append(_phase_table(status))
    blocks += [_gate_table(gate) for gate in status.gates]
    if status.training:
        blocks.append(_training(status.training))
    if status.backtest:
        blocks.append(_backtest(status.backtest))
    if status.strategy:
        said = f" {plain(status.hypothesis)}" if status.hypothesis else ""
        blocks.append(f"Strategy: `{status.strategy.name}`.{said}")
    if fork := status.request.fork:
        blocks.append(f"Fork of `{plain(fork.cycle_id)}` from {fork.phase.value} on.")
    if status.assessment:
        blocks += [
            _points("Strengths", status.assessment.strengths),
            _points("Weaknesses", status.assessment.weaknesses),
        ]
    unpriced = f" Not in it: {status.unpriced_tokens:,} tokens without a known price." if status.unpriced_tokens else ""
    blocks.append(f"Tokens: {status.tokens:,}. Cost: ${status.cost_usd}.{unpriced}")
    return "\n\n".join(blocks)


def _headline(status: CycleStatus) -> str:
    request = status.request
    what = f"{request.symbol} {request.timeframe}, designer {request.designer.value}, seed {request.seed}"
    if status.outcome is None:
        return f"**{status.phase.value}**, {overall_progress(status.phase, 0):.0%}. {what}"
    why = f": {plain(status.reason)}" if status.reason and status.outcome is not Outcome.FAILED else ""
    return f"**{status.outcome.value}**{why}. {what}"


def _phase_table(status: CycleStatus) -> str:
    timings = {timing.phase: timing for timing in status.timings}
    rows = []
    for phase in _STEPS:
        timing = timings.get(phase)
        if timing is None:
            rows.append((phase.value, "", ""))
        elif phase in status.request.taken_over:
            rows.append((phase.value, "taken over", ""))
        elif timing.ended_at is None:
            rows.append((phase.value, "running", ""))
        else:
            stopped = status.stopped_in is phase and status.outcome is not Outcome.REJECTED
            state = status.outcome.value if stopped and status.outcome else "done"
            rows.append((phase.value, state, _seconds(timing.started_at, timing.ended_at)))
    return table(("phase", "state", "seconds"), rows)


def _verdict(assessment: Assessment) -> str:
    return _points(f"Verdict: **{assessment.verdict.value}**", assessment.decided_by)


def _training(result: TrainingResult) -> str:
    guessing = f" (guessing: {result.chance:.2%})" if result.chance_known else ""
    return (
        f"Training: accuracy {result.validation_accuracy:.2%} in validation{guessing}, "
        f"loss {result.model_loss:.4g} against {_number(result.baseline_loss)} of guessing, "
        f"epoch {result.best_epoch} of {result.epochs}"
    )


def _backtest(result: BacktestResult) -> str:
    return (
        f"Backtest, net: return {result.total_return:.2%}, Sharpe {_number(result.sharpe_ratio)}"
        f"{_interval(result.sharpe_interval)}, drawdown {result.max_drawdown:.2%}, {result.total_trades} trades; "
        f"trial {result.trials} of these bars, the luckiest of which would show {result.expected_max_sharpe:.4g}"
    )


def _interval(interval: Interval | None) -> str:
    return f" (95 %: {interval.low:.4g} to {interval.high:.4g})" if interval else ""


def _points(title: str, points: Sequence[str]) -> str:
    return "\n".join([title, "", *(f"- {plain(point[:MAX_POINT])}" for point in points)])


def _gate_table(gate: GateResult) -> str:
    told = f"Gate **{gate.gate.value}**: {'passed' if gate.passed else 'said no'}"
    checks = table(("check", "value", "bound", ""), [_check_row(check) for check in gate.checks])
    return f"{told}\n\n{checks}"


def _check_row(check: Check) -> tuple[str, ...]:
    verdict = "**no**" if not check.passed else "yes" if check.told else "undecided"
    return check.name, check.shown(check.value), f"{check.kind.value} {check.shown(check.bound)}", verdict


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _seconds(start: datetime, end: datetime) -> str:
    return f"{(end - start).total_seconds():.1f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns stand apart: the Web UI itself leaves no room between cells."""
    lines = [f"| {f'{GAP} | '.join(row)} |" for row in (header, *rows)]
    return "\n".join([lines[0], "|:---" * len(header) + "|", *lines[1:]])


def plain(text: str) -> str:
    """Text from outside, so that it stays text: no Markdown table or picture can be made of it, no link but a bare
    address, and nothing of what the Web UI fills in (its {runId}).
    """
    return "".join(f"\\{char}" if char in "\\`*_[]<>|!#~{}" else char for char in text).replace("\n", " ")
