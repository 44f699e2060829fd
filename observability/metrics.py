"""What a worker counts, for Prometheus. One set of metrics a worker, in a registry of its own.

A cycle counts where its row in the store is new, so at most once, whatever is replayed, resumed or run again; the store
is the truth. Calls of a model and failed attempts count where they happen, by the interceptor: what a worker was about
to count when it was killed is missing here, and never too much. The ledger has it.

Every combination of labels that can be foreseen is there with 0 from the start: a counter that first appears with 1
never rises as Prometheus sees it.
"""

from collections.abc import Iterable
from decimal import Decimal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from domain.cycle import CallUsage, CycleStatus, Outcome, Phase
from domain.errors import ErrorCode
from domain.gates import GateName
from domain.pricing import PRICES, Price
from observability.names import PREFIX

CYCLE_BUCKETS = (60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
PHASE_BUCKETS = (10, 30, *CYCLE_BUCKETS)
"""Seconds."""

PHASES = (Phase.DESIGNING, Phase.TRAINING, Phase.BACKTESTING, Phase.ASSESSING)
CLAUDE_PHASES = (Phase.DESIGNING, Phase.ASSESSING)
TOKEN_TYPES = ("input", "output", "cache_write", "cache_read")

OTHER_MODEL = "other"
"""A model that has no known price. Its name may be anything, and labels are to be few."""

OK = "ok"

CALL_CODES = (
    OK,
    ErrorCode.ANTHROPIC_TIMEOUT,
    ErrorCode.ANTHROPIC_ERROR,
    ErrorCode.ANTHROPIC_RATE_LIMITED,
    ErrorCode.ANTHROPIC_SPEND_LIMIT,
    ErrorCode.ANTHROPIC_AUTH,
    ErrorCode.ANTHROPIC_REQUEST,
    ErrorCode.ANSWER_LOST,
    ErrorCode.DESIGN_REFUSED,
    ErrorCode.ASSESS_REFUSED,
)
"""What can become of a call of Claude."""

BY_THE_CYCLE = frozenset(
    {
        ErrorCode.BUDGET_EXHAUSTED,
        ErrorCode.DESIGN_INVALID,
        ErrorCode.DESIGN_REFUSED,
        ErrorCode.ASSESS_REFUSED,
    }
)
"""Codes by which no attempt at an activity fails, but a cycle: they count when it is recorded."""

_SERVICES = {
    Phase.TRAINING: (ErrorCode.TRAINING_SERVICE_UNAVAILABLE, ErrorCode.TRAINING_FAILED),
    Phase.BACKTESTING: (ErrorCode.BACKTEST_SERVICE_UNAVAILABLE, ErrorCode.BACKTEST_FAILED),
}


disable_created_metrics()  # type: ignore[no-untyped-call] # a series more for each, which nothing here asks for


class Metrics:
    """A worker's counters and histograms. Safe to use from any thread. prices: one's own, before the known ones."""

    def __init__(self, prices: Iterable[Price] = ()) -> None:
        self.registry = CollectorRegistry()
        self._prices = {**PRICES, **{price.model: price for price in prices}}
        self._cycles = self._counter("cycles", "Cycles that ended.", "outcome")
        self._cycle_seconds = self._histogram("cycle_duration_seconds", "From start to end.", "outcome", CYCLE_BUCKETS)
        self._phase_seconds = self._histogram("phase_duration_seconds", "Of ended cycles.", "phase", PHASE_BUCKETS)
        self._tokens = self._counter("tokens", "Tokens that answers of Claude were billed.", "token_type", "model")
        self._gates = self._counter("gate_results", "Decisions of the gates, of ended cycles.", "gate", "result")
        self._cost = self._counter("cost_usd", "Dollars that answers of Claude cost.", "model", "phase")
        self._calls = self._counter("claude_requests", "Calls of Claude that ended.", "phase", "model", "code")
        self._errors = self._counter("errors", "Attempts that failed, and cycles by codes of theirs.", "phase", "code")
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._begin_at_zero()

    def cycle_recorded(self, cycle: CycleStatus) -> None:
        """Count a cycle, once: for who knows that its row is new."""
        if cycle.outcome is None or cycle.ended_at is None:
            return
        self._cycles.labels(cycle.outcome.value).inc()
        self._cycle_seconds.labels(cycle.outcome.value).observe((cycle.ended_at - cycle.started_at).total_seconds())
        for timing in cycle.timings:
            if timing.phase in PHASES and timing.phase not in cycle.request.taken_over and timing.ended_at:
                seconds = (timing.ended_at - timing.started_at).total_seconds()
                self._phase_seconds.labels(timing.phase.value).observe(seconds)
        for gate in cycle.gates:
            self._gates.labels(gate.gate.value, "passed" if gate.passed else "failed").inc()
        if cycle.failure and cycle.failure.code in BY_THE_CYCLE:
            self.error(cycle.failure.phase.value, cycle.failure.code.value)

    def answered(self, phase: Phase, asked: str | None, usage: CallUsage, code: str = OK) -> None:
        """Count a call of Claude whose answer told what it was billed. asked: the model that was asked for."""
        self._calls.labels(phase.value, self._model(asked), code).inc()
        model = self._model(usage.model)
        for token_type in TOKEN_TYPES:
            self._tokens.labels(token_type, model).inc(getattr(usage, token_type))
        price = self._prices.get(usage.model)
        cost = price.cost(usage) if price else None
        self._cost.labels(model, phase.value).inc(float(cost or Decimal(0)))

    def unanswered(self, phase: Phase, asked: str | None, code: str) -> None:
        """Count a call of Claude that failed."""
        self._calls.labels(phase.value, self._model(asked), code).inc()

    def error(self, phase: str, code: str) -> None:
        """Count what failed."""
        self._errors.labels(phase, code).inc()

    def _model(self, name: str | None) -> str:
        return name if name in self._prices else OTHER_MODEL

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}{name}", what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, label: str, buckets: tuple[int, ...]) -> Histogram:
        return Histogram(f"{PREFIX}{name}", what, [label], buckets=buckets, registry=self.registry)

    def _begin_at_zero(self) -> None:
        for outcome in Outcome:
            self._cycles.labels(outcome.value)
            self._cycle_seconds.labels(outcome.value)
        for phase in PHASES:
            self._phase_seconds.labels(phase.value)
        for gate in GateName:
            for result in ("passed", "failed"):
                self._gates.labels(gate.value, result)
        for model in (*self._prices, OTHER_MODEL):
            for token_type in TOKEN_TYPES:
                self._tokens.labels(token_type, model)
            for phase in CLAUDE_PHASES:
                self._cost.labels(model, phase.value)
                for code in CALL_CODES:
                    self._calls.labels(phase.value, model, str(code))
        for phase in Phase:
            for error in _foreseen(phase):
                self._errors.labels(phase.value, error.value)


def _foreseen(phase: Phase) -> list[ErrorCode]:
    """The codes that can be expected in a phase."""
    codes = [ErrorCode.INTERNAL_ERROR, ErrorCode.STORE_UNAVAILABLE]
    if phase in CLAUDE_PHASES:
        codes += [code for code in CALL_CODES if isinstance(code, ErrorCode)]
        codes += [ErrorCode.DESIGN_INVALID, ErrorCode.DATA_UNAVAILABLE, ErrorCode.ENVELOPE_STALE]
    if phase in _SERVICES:
        codes += [*_SERVICES[phase], ErrorCode.INVALID_STRATEGY, ErrorCode.DATA_UNAVAILABLE]
    return codes if phase is Phase.DONE else [*codes, ErrorCode.BUDGET_EXHAUSTED]
