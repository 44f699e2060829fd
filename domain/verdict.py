"""The offline assessor: what the figures of a cycle mean, by stated rules.

Poor outranks promising, and what is neither is neutral. Every rule has a name and a bound, and the assessment quotes
the rules that decided with their values. The remarks beside the verdict (strengths, weaknesses, what to try next) are
rules of the same kind, in `domain.remarks`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.gates import GateResult
from domain.remarks import Evidence, remarks_on
from domain.results import Assessment, BacktestResult, TrainingResult, Verdict


class Side(StrEnum):
    """On which side of its bound a value must lie. The bound itself is on neither side."""

    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True)
class Rule:
    """One comparison. Without a value it does not hold."""

    name: str
    value: Callable[[Evidence], float | None]
    side: Side
    bound: float

    def holds(self, evidence: Evidence) -> bool:
        """Whether the value lies on the rule's side of the bound."""
        value = self.value(evidence)
        if value is None:
            return False
        return value > self.bound if self.side is Side.ABOVE else value < self.bound

    def quote(self, evidence: Evidence) -> str:
        """The rule with its value: "Sharpe ratio 1.24, above 1"."""
        return f"{self.name} {shown(self.value(evidence), self.bound)}, {self.side.value} {self.bound:g}"

    def miss(self, evidence: Evidence) -> str:
        """What the rule asked for and did not get: "Sharpe ratio 0.61, not above 1"."""
        return f"{self.name} {shown(self.value(evidence), self.bound)}, not {self.side.value} {self.bound:g}"


def _sharpe(evidence: Evidence) -> float | None:
    return evidence.backtest.sharpe_ratio


def _drawdown(evidence: Evidence) -> float | None:
    return evidence.backtest.max_drawdown


def _trades(evidence: Evidence) -> float | None:
    return float(evidence.backtest.total_trades)


POOR = (
    Rule("Sharpe ratio", _sharpe, Side.BELOW, 0.0),
    Rule("max drawdown", _drawdown, Side.ABOVE, 0.30),
    Rule("trades", _trades, Side.BELOW, 20),
    Rule("accuracy lost from train to validation", lambda e: e.accuracy_gap, Side.ABOVE, 0.15),
)
"""Any one of these makes a result poor."""

PROMISING = (
    Rule("Sharpe ratio", _sharpe, Side.ABOVE, 1.0),
    Rule("max drawdown", _drawdown, Side.BELOW, 0.20),
    Rule("trades", _trades, Side.ABOVE, 50),
    Rule("lower bound of the excess Sharpe ratio, deflated", lambda e: e.backtest.deflated_low, Side.ABOVE, 0.0),
)
"""All of these together make a result promising."""


def assess(training: TrainingResult, backtest: BacktestResult, gates: Sequence[GateResult] = ()) -> Assessment:
    """The verdict on a cycle that came through both gates, what decided it, and what follows from the figures."""
    evidence = Evidence(training=training, backtest=backtest, gates=tuple(gates))
    verdict, decided_by = _verdict(evidence)
    remarks = remarks_on(evidence)
    return Assessment(
        verdict=verdict,
        decided_by=decided_by,
        strengths=remarks.strengths,
        weaknesses=remarks.weaknesses,
        suggestions=remarks.suggestions,
        hypotheses=remarks.hypotheses,
    )


def shown(value: float | None, bound: float) -> str:
    """A figure to four digits, or to as many as tell it from its bound."""
    if value is None:
        return "undefined"
    short = f"{value:.4g}"
    return short if float(short) != bound or value == bound else repr(value)


def _verdict(evidence: Evidence) -> tuple[Verdict, tuple[str, ...]]:
    poor = tuple(f"poor: {rule.quote(evidence)}" for rule in POOR if rule.holds(evidence))
    if poor:
        return Verdict.POOR, poor
    missed = tuple(f"not promising: {rule.miss(evidence)}" for rule in PROMISING if not rule.holds(evidence))
    if missed:
        return Verdict.NEUTRAL, missed
    return Verdict.PROMISING, tuple(f"promising: {rule.quote(evidence)}" for rule in PROMISING)
