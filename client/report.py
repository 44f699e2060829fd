"""`research report`: one cycle as a page that is whole in itself, with plots; made of what there is, and it says what
is missing and why.
"""

from client.render_values import clean, count, moment, money, percent, plural
from client.report_again import command_lines, settings_of, versions
from client.report_data import Material
from client.report_files import Missing
from client.report_html import Html, facts, joined, listing, missing, paragraph, tag, text, typed, verbatim
from client.report_page import Plot, Section, page
from client.report_results import backtest_sections, gates_section, learning_section
from client.report_usage import usage_section
from domain.cycle import CycleStatus, Outcome
from domain.results import Verdict

TONES = {
    Verdict.PROMISING: "good",
    Verdict.NEUTRAL: "",
    Verdict.POOR: "warn",
    Outcome.COMPLETED: "",
    Outcome.REJECTED: "warn",
    Outcome.REFUSED: "warn",
    Outcome.FAILED: "bad",
    Outcome.CANCELLED: "warn",
}
MOST_SETS = 32
"""Fuzzy sets that are drawn."""


def report(material: Material) -> str:
    """The page."""
    cycle = material.cycle
    sections = [
        _verdict(cycle),
        *backtest_sections(material),
        gates_section(material),
        learning_section(material),
        _fuzzy(material),
        usage_section(material),
        _strategy(material),
        _again(material),
    ]
    foot = f"Made {moment(material.made_at)} by `research report {cycle.cycle_id}`. Times on the plots are UTC."
    return page(f"{_name(cycle)}: {standing(cycle)}", _head(material), sections, foot)


def standing(cycle: CycleStatus) -> str:
    """The verdict, else the outcome, else the phase of a cycle that runs."""
    if cycle.assessment:
        return cycle.assessment.verdict.value
    return cycle.outcome.value if cycle.outcome else f"still {cycle.phase.value}"


def _name(cycle: CycleStatus) -> str:
    return clean(cycle.strategy.name) if cycle.strategy else cycle.cycle_id


def _head(material: Material) -> Html:
    cycle = material.cycle
    request = cycle.request
    tone = TONES[cycle.assessment.verdict] if cycle.assessment else TONES[cycle.outcome] if cycle.outcome else ""
    chips = [
        tag("span", text(standing(cycle)), tone),
        *(
            tag("span", text(words))
            for words in (
                f"{request.symbol} {request.timeframe}",
                f"designer {request.designer.value}" + (f", {request.model}" if request.model else ""),
                f"seed {request.seed}",
                *([f"fork of {request.fork.cycle_id}, from {request.fork.phase.value} on"] if request.fork else []),
                f"{plural(cycle.tokens, 'token')}, {money(cycle.cost_usd)}",
                moment(cycle.ended_at or cycle.started_at),
            )
        ),
    ]
    parts = [tag("h1", text(_name(cycle))), paragraph(cycle.cycle_id, "soft"), tag("div", joined(chips), "chips")]
    if request.brief:
        parts += [tag("h3", text("Brief")), paragraph(request.brief, "words")]
    if cycle.hypothesis:
        parts += [tag("h3", text("Hypothesis")), paragraph(cycle.hypothesis, "words")]
    if cycle.backtest:
        figures = cycle.backtest
        interval = figures.sharpe_interval
        between = f"95 %: {interval.low:.2f} to {interval.high:.2f}" if interval else "no interval"
        sharpe = "-" if figures.sharpe_ratio is None else f"{figures.sharpe_ratio:.2f}"
        against = "" if figures.benchmark_return is None else f", buy and hold {percent(figures.benchmark_return)}"
        won = "" if figures.win_rate is None else f", {percent(figures.win_rate)} of them won"
        tiles = (
            (sharpe, f"Sharpe ratio, net; {between}"),
            (percent(figures.total_return), f"return, net{against}"),
            (percent(figures.max_drawdown), "max drawdown"),
            (count(figures.total_trades), f"trades{won}"),
        )
        parts.append(
            tag(
                "div",
                joined(
                    tag("div", joined([tag("b", text(value)), tag("span", text(of))]), "tile") for value, of in tiles
                ),
                "tiles",
            )
        )
    return joined(parts)


def _verdict(cycle: CycleStatus) -> Section:
    parts: list[Html] = []
    if cycle.outcome is None:
        waiting = f" It waits: {cycle.waiting_for}." if cycle.waiting_for else ""
        parts.append(
            missing(Missing(f"The cycle still runs: {cycle.phase.value}.{waiting} What is here is what it has so far."))
        )
    elif cycle.outcome is not Outcome.COMPLETED:
        where = f" in {cycle.stopped_in.value}" if cycle.stopped_in else ""
        parts.append(paragraph(f"{cycle.outcome.value.capitalize()}{where}.", TONES[cycle.outcome]))
        if cycle.failure:
            parts.append(paragraph(f"{cycle.failure.code.value}: {cycle.failure.message}", "words"))
        elif cycle.reason and not any(not gate.passed for gate in cycle.gates):
            parts.append(paragraph(cycle.reason, "words"))
    for gate in cycle.gates:
        said = "passed" if gate.passed else f"said no: {gate.reason}"
        parts.append(paragraph(f"The {gate.gate.value} gate {said}."))
    assessment = cycle.assessment
    if assessment:
        parts.append(
            tag("p", joined([text("Verdict: "), tag("b", text(assessment.verdict.value), TONES[assessment.verdict])]))
        )
        parts += [
            listing("Decided by", assessment.decided_by),
            listing("Strengths", assessment.strengths),
            listing("Weaknesses", assessment.weaknesses),
            listing("Suggestions", assessment.suggestions),
            listing("Hypotheses", [f"{one.text} ({one.rationale})" for one in assessment.hypotheses]),
            listing("Settled", [f"{one.hypothesis_id} {one.status.value}: {one.why}" for one in assessment.settled]),
        ]
    elif cycle.outcome:
        parts.append(paragraph("Nothing was assessed, so there is no verdict.", "soft"))
    return Section("Verdict and why", tuple(parts))


def _fuzzy(material: Material) -> Section:
    from client.report_figures_model import fuzzy_figure
    from domain.strategy import StrategyInvalid, load_strategy

    title = "Fuzzy sets"
    if isinstance(material.strategy, Missing):
        return Section(title, (missing(material.strategy),))
    try:
        sets = load_strategy(material.strategy).strategy.fuzzy_sets
    except StrategyInvalid as error:
        return Section(title, (missing(Missing(f"The strategy's file is not valid: {error}")),))
    if not sets:
        return Section(title, (paragraph("The strategy has none: its network sees indicators as they are."),))
    plots: list[Html | Plot] = [Plot(fuzzy_figure(one), f"{one.id}", small=True) for one in sets[:MOST_SETS]]
    if len(sets) > MOST_SETS:
        plots.append(paragraph(f"{len(sets) - MOST_SETS} more stand in the strategy below.", "soft"))
    return Section(title, tuple(plots))


def _strategy(material: Material) -> Section:
    strategy = material.strategy
    return Section("Strategy", (missing(strategy) if isinstance(strategy, Missing) else verbatim(strategy),))


def _again(material: Material) -> Section:
    parts: list[Html] = [facts(settings_of(material))]
    lines = command_lines(material)
    for what, line in lines:
        parts += [paragraph(what), typed(line)]
    if not lines:
        parts.append(missing(Missing("There is no command line: the cycle came to no strategy.")))
    if material.cycle.backtest and material.cycle.backtest.service is None:
        told = "The store counts one more trial each time, so the deflated figures are lower then."
        parts.append(paragraph(told, "soft"))
    parts.append(paragraph(f"Versions where this report was made: {versions()}. A cycle's record keeps none.", "soft"))
    return Section("Run it again", tuple(parts))
