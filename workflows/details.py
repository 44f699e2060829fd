"""What Temporal's Web UI shows of a cycle while it runs: its current details, in Markdown, from the status alone."""

from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.cycle import CycleStatus, Outcome, Phase, overall_progress
    from domain.gates import Check, GateResult

_STEPS = (Phase.QUEUED, Phase.DESIGNING, Phase.TRAINING, Phase.BACKTESTING, Phase.ASSESSING)


def current_details(status: CycleStatus) -> str:
    """The phase table, what is waited for, gates with every bound, figures, verdict, tokens. Markdown."""
    blocks = [_headline(status), _phase_table(status)]
    if status.waiting_for:
        blocks.append(f"Waiting for {_plain(status.waiting_for)}.")
    blocks += [_gate_table(gate) for gate in status.gates]
    if status.backtest:
        result = status.backtest
        blocks.append(
            f"Backtest, net: return {result.total_return:.2%}, Sharpe {_number(result.sharpe_ratio)}, "
            f"drawdown {result.max_drawdown:.2%}, {result.total_trades} trades"
        )
    if status.assessment:
        decided = "; ".join(status.assessment.decided_by)
        blocks.append(f"Verdict: **{status.assessment.verdict.value}**" + (f" ({_plain(decided)})" if decided else ""))
    if status.failure:
        blocks.append(f"Failed: `{status.failure.code.value}` {_plain(status.failure.message)}")
    unpriced = f" Not in it: {status.unpriced_tokens:,} tokens without a known price." if status.unpriced_tokens else ""
    blocks.append(f"Tokens: {status.tokens:,}. Cost: ${status.cost_usd}.{unpriced}")
    return "\n\n".join(blocks)


def _headline(status: CycleStatus) -> str:
    request = status.request
    what = f"{request.symbol} {request.timeframe}, designer {request.designer.value}, seed {request.seed}"
    if status.outcome is None:
        return f"**{status.phase.value}**, {overall_progress(status.phase, 0):.0%}. {what}"
    why = f": {_plain(status.reason)}" if status.reason and status.outcome is not Outcome.FAILED else ""
    return f"**{status.outcome.value}**{why}. {what}"


def _phase_table(status: CycleStatus) -> str:
    timings = {timing.phase: timing for timing in status.timings}
    rows = ["| phase | state | seconds |", "|---|---|---|"]
    for phase in _STEPS:
        timing = timings.get(phase)
        if timing is None:
            rows.append(f"| {phase.value} | | |")
        elif timing.ended_at is None:
            rows.append(f"| {phase.value} | running | |")
        else:
            stopped = status.stopped_in is phase and status.outcome is not Outcome.REJECTED
            state = status.outcome.value if stopped and status.outcome else "done"
            rows.append(f"| {phase.value} | {state} | {_seconds(timing.started_at, timing.ended_at)} |")
    return "\n".join(rows)


def _gate_table(gate: GateResult) -> str:
    rows = [f"Gate **{gate.gate.value}**: {'passed' if gate.passed else 'said no'}", ""]
    rows += ["| check | value | bound | |", "|---|---|---|---|"]
    rows += [_check_row(check) for check in gate.checks]
    return "\n".join(rows)


def _check_row(check: Check) -> str:
    verdict = "**no**" if not check.passed else "yes" if check.told else "undecided"
    return f"| {check.name} | {_number(check.value)} | {check.kind.value} {check.bound:.4g} | {verdict} |"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _seconds(start: datetime, end: datetime) -> str:
    return f"{(end - start).total_seconds():.1f}"


def _plain(text: str) -> str:
    """Text from outside, so that it stays text: no Markdown table, link or picture can be made of it."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|!#" else char for char in text).replace("\n", " ")
