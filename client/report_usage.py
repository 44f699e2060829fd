"""The part of a report that tells what a cycle's model calls used and cost."""

from collections.abc import Sequence

from client.audit_calls import Call
from client.render_values import count, moment, money
from client.report_data import Material
from client.report_figures_model import calls_figure, phases_figure
from client.report_files import Missing
from client.report_html import Html, facts, grid, missing, paragraph
from client.report_page import Plot, Section
from domain.cycle import CycleStatus

TITLE = "Tokens and cost"


def usage_section(material: Material) -> Section:
    """By call where the history tells; else by phase, and it says so."""
    cycle, calls = material.cycle, material.calls
    if not cycle.tokens and not cycle.usage and not (isinstance(calls, tuple) and calls):
        why = "The offline designer calls no model." if cycle.request.designer.value == "offline" else ""
        return Section(TITLE, (paragraph(f"No tokens were used. {why}"),))
    parts: list[Html | Plot] = [facts(_sums(cycle))]
    if isinstance(calls, Missing):
        parts.append(missing(Missing(f"By phase, not by call. {calls.why}")))
    elif calls:
        return Section(TITLE, (*parts, Plot(calls_figure(calls), "Tokens of each call"), _by_call(calls)))
    if cycle.usage:
        parts += [Plot(phases_figure(cycle.usage), "Tokens of each phase"), _by_phase(cycle)]
    return Section(TITLE, tuple(parts))


def _sums(cycle: CycleStatus) -> list[tuple[str, str]]:
    return [
        ("Tokens", count(cycle.tokens)),
        ("Cost", money(cycle.cost_usd)),
        ("Without a known price", f"{count(cycle.unpriced_tokens)} tokens" if cycle.unpriced_tokens else ""),
    ]


def _by_call(calls: Sequence[Call]) -> Html:
    header = ("call", "phase", "model", "input", "cache write", "cache read", "output", "total", "cost", "ended")
    rows = [
        (
            str(place),
            call.phase,
            call.model,
            *(count(tokens) for tokens in (call.input_tokens, call.cache_write_tokens, call.cache_read_tokens)),
            count(call.output_tokens),
            count(call.total_tokens) if call.state == "settled" else f"at most {count(call.ceiling)}",
            money(call.cost),
            moment(call.at),
        )
        for place, call in enumerate(calls, 1)
    ]
    return grid(header, rows)


def _by_phase(cycle: CycleStatus) -> Html:
    header = ("phase", "calls", "input", "cache write", "cache read", "output")
    return grid(
        header,
        [
            (phase, *(count(one) for one in (used.calls, used.input, used.cache_write, used.cache_read, used.output)))
            for phase, used in cycle.usage.items()
        ],
    )
