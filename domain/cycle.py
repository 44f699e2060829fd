"""The vocabulary of a research cycle: its request, phases, outcomes, and what can be seen of it at any moment."""

import hashlib
import re
from decimal import Decimal
from enum import StrEnum
from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from domain.errors import ErrorCode
from domain.gates import GateResult, GateThresholds
from domain.results import ArtifactPath, Assessment, BacktestResult, Frozen, TrainingResult, Verdict
from domain.symbols import Symbol
from domain.trace import Trace

CYCLE_WORKFLOW = "ResearchCycleWorkflow"
"""The name of a cycle's workflow on the server."""

MAX_BRIEF = 8_000
MAX_REASON = 500
"""Characters that are kept of why somebody ended a cycle, and of what was left running then."""

MAX_TOKENS = 10**12
"""More than any call can use, or any day allow: what says more is broken."""


class Phase(StrEnum):
    """Where a cycle is."""

    QUEUED = "queued"
    DESIGNING = "designing"
    TRAINING = "training"
    BACKTESTING = "backtesting"
    ASSESSING = "assessing"
    DONE = "done"


PROGRESS_AT_START = {
    Phase.QUEUED: 0.0,
    Phase.DESIGNING: 0.05,
    Phase.TRAINING: 0.20,
    Phase.BACKTESTING: 0.65,
    Phase.ASSESSING: 0.90,
    Phase.DONE: 1.0,
}
"""The whole cycle's progress when a phase begins, a fraction."""


def overall_progress(phase: Phase, within: float) -> float:
    """The whole cycle's progress, given how much of the present phase is done; both fractions."""
    phases = list(PROGRESS_AT_START)
    start = PROGRESS_AT_START[phase]
    end = PROGRESS_AT_START[phases[min(phases.index(phase) + 1, len(phases) - 1)]]
    return start + (end - start) * min(max(within, 0.0), 1.0)


class Outcome(StrEnum):
    """How a cycle ended. "The science said no" (rejected) and "the machine broke" (failed) are never the same."""

    COMPLETED = "completed"
    REJECTED = "rejected"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DesignerKind(StrEnum):
    """Who designs and assesses."""

    CLAUDE = "claude"
    OFFLINE = "offline"


class OnBudgetExhausted(StrEnum):
    """What a cycle in flight does when the day's budget has no more for it."""

    WAIT = "wait"
    FAIL = "fail"


class StrategyRef(Frozen):
    """A saved strategy file. The content travels by reference; the hash says that it is still the same.

    The path is relative to the strategies' root; the name is the file's stem.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    path: ArtifactPath


class Fork(Frozen):
    """An earlier cycle, by its run, and the first phase that a new one does by itself."""

    cycle_id: str = Field(min_length=1, max_length=1000)
    run_id: str = Field(min_length=1, max_length=100)
    phase: Literal[Phase.TRAINING, Phase.BACKTESTING, Phase.ASSESSING]


class CycleRequest(Frozen):
    """What somebody asks to have researched."""

    brief: str = Field("", max_length=MAX_BRIEF)
    symbol: Symbol
    timeframe: str = Field(pattern=r"^(1m|5m|15m|30m|1h|4h|1d|1w)$")
    designer: DesignerKind
    model: str | None = Field(None, max_length=80, description="model alias, for the designer claude")
    strategy: StrategyRef | None = Field(None, description="a finished strategy: skips the design")
    thresholds: GateThresholds = GateThresholds()
    on_budget_exhausted: OnBudgetExhausted = OnBudgetExhausted.WAIT
    queue: bool = Field(False, description="wait for a slot and funds instead of being refused")
    seed: int = Field(0, ge=0, lt=2**31)
    memory_snapshot: str | None = Field(
        None, max_length=80, description="design from this earlier state of the store instead of the present one"
    )
    budget_scope: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]{1,40}$")
    fork: Fork | None = Field(None, description="an earlier cycle whose results are taken over; needs its strategy")

    @model_validator(mode="after")
    def _of_the_same_strategy(self) -> Self:
        if self.fork is not None and self.strategy is None:
            raise ValueError("a fork needs the strategy of its source")
        return self

    @property
    def taken_over(self) -> frozenset[Phase]:
        """The phases whose results are an earlier cycle's."""
        work = (Phase.DESIGNING, Phase.TRAINING, Phase.BACKTESTING, Phase.ASSESSING)
        return frozenset(work[: work.index(self.fork.phase)] if self.fork else ())


class CallUsage(Frozen):
    """What one call of a model used, in tokens; thinking is part of output.

    cache_write_1h: the part of cache_write that is kept for an hour, and is dearer.
    off_list: it was served in a geography or at a speed that price tables are not for.
    """

    model: str = Field(max_length=80)
    input: int = Field(0, ge=0, le=MAX_TOKENS)
    cache_write: int = Field(0, ge=0, le=MAX_TOKENS)
    cache_write_1h: int = Field(0, ge=0, le=MAX_TOKENS)
    cache_read: int = Field(0, ge=0, le=MAX_TOKENS)
    output: int = Field(0, ge=0, le=MAX_TOKENS)
    off_list: bool = False

    @model_validator(mode="after")
    def _part_of_the_whole(self) -> Self:
        if self.cache_write_1h > self.cache_write:
            raise ValueError(f"cache_write_1h ({self.cache_write_1h}) is a part of cache_write ({self.cache_write})")
        return self

    @property
    def prompt(self) -> int:
        """The whole input."""
        return self.input + self.cache_write + self.cache_read

    @property
    def total(self) -> int:
        """Everything that counts against the day's tokens."""
        return self.prompt + self.output


class PhaseUsage(Frozen):
    """What the answered calls of one phase were billed, in tokens; thinking is part of output."""

    calls: int = Field(0, ge=0)
    input: int = Field(0, ge=0)
    cache_write: int = Field(0, ge=0)
    cache_read: int = Field(0, ge=0)
    output: int = Field(0, ge=0)

    def and_of(self, call: CallUsage) -> "PhaseUsage":
        """With one more call."""
        return PhaseUsage(
            calls=self.calls + 1,
            input=self.input + call.input,
            cache_write=self.cache_write + call.cache_write,
            cache_read=self.cache_read + call.cache_read,
            output=self.output + call.output,
        )

    @property
    def prompt(self) -> int:
        """The whole input."""
        return self.input + self.cache_write + self.cache_read


class AdmissionState(StrEnum):
    """What the ledger said."""

    PENDING = "pending"
    GRANTED = "granted"
    QUEUED = "queued"
    REFUSED = "refused"


class Admission(Frozen):
    """The ledger's decision about a cycle, as its client learns it; figures stand where they decided."""

    state: AdmissionState
    reason: str | None = None
    message: str = ""
    position: int | None = Field(None, description="place in the queue, from 1")
    used: int | None = None
    remaining: int | None = None
    deficit: int | None = None
    limit: int | None = None
    next_reset: AwareDatetime | None = None
    active_ids: tuple[str, ...] = ()


class Failure(Frozen):
    """Why a cycle failed: where, the code, and what was tried, came back and can be done."""

    phase: Phase
    code: ErrorCode
    message: str


class PhaseTiming(Frozen):
    """When a phase began and ended, by the workflow's clock."""

    phase: Phase
    started_at: AwareDatetime
    ended_at: AwareDatetime | None = None


class CycleStatus(Frozen):
    """All that is known of a cycle: the answer of the status query, and in the end the record in the store."""

    cycle_id: str
    run_id: str
    request: CycleRequest
    trace: Trace | None = Field(None, description="where the cycle stands in a trace, whether or not anybody keeps it")
    phase: Phase = Phase.QUEUED
    stopped_in: Phase | None = Field(None, description="the phase in which a cycle ended that did not reach its end")
    outcome: Outcome | None = None
    reason: str | None = Field(None, description="why it was rejected, refused, failed or cancelled")
    admission: Admission = Admission(state=AdmissionState.PENDING)
    top_up: Admission | None = Field(None, description="the ledger's answer, while the cycle waits for more funds")
    waiting_for: str | None = None
    strategy: StrategyRef | None = None
    hypothesis: str | None = None
    memory_snapshot: str | None = None
    training: TrainingResult | None = None
    gates: tuple[GateResult, ...] = ()
    backtest: BacktestResult | None = None
    assessment: Assessment | None = None
    failure: Failure | None = None
    tokens: int = Field(0, ge=0, description="settled and charged, all classes")
    usage: dict[str, PhaseUsage] = Field(default_factory=dict, description="what was settled, by design and assess")
    cost_usd: Decimal = Field(Decimal(0), max_digits=60, description="of the tokens whose price is known")
    unpriced_tokens: int = Field(0, ge=0, description="the part of tokens whose model has no price")
    timings: tuple[PhaseTiming, ...] = ()
    started_at: AwareDatetime
    ended_at: AwareDatetime | None = None


class CycleResult(Frozen):
    """What a finished cycle's workflow returns: the outcome and the figures that people sort by."""

    cycle_id: str
    outcome: Outcome
    reason: str | None = None
    verdict: Verdict | None = None
    strategy: StrategyRef | None = None
    sharpe_ratio: float | None = None
    tokens: int = 0

    @classmethod
    def of(cls, status: CycleStatus, outcome: Outcome) -> Self:
        """The short form of a cycle's last status."""
        return cls(
            cycle_id=status.cycle_id,
            outcome=outcome,
            reason=status.reason,
            verdict=status.assessment.verdict if status.assessment else None,
            strategy=status.strategy,
            sharpe_ratio=status.backtest.sharpe_ratio if status.backtest else None,
            tokens=status.tokens,
        )


def folder_name(cycle_id: str) -> str:
    """The cycle's folder among the artifacts: its id, or where that is no file name, what is left of it and a hash."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", cycle_id):
        return cycle_id
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", cycle_id)[:60]
    return f"{plain}-{hashlib.sha256(cycle_id.encode()).hexdigest()[:12]}"


class TrialRecord(Frozen):
    """An earlier cycle, as a designer may know it: validation and gate results, never figures of the backtest part."""

    cycle_id: str
    strategy_hash: str
    parameters: str | None = Field(None, description="the designer's own parameters of the strategy, as JSON")
    symbol: str
    timeframe: str
    outcome: Outcome
    reason: str | None = None
    validation_accuracy: float | None = None
    validation_skill: float | None = Field(None, description="validation accuracy above chance")
    training_gate_passed: bool | None = None
    backtest_gate_passed: bool | None = None


class MemorySnapshot(Frozen):
    """What the store knew at one moment. The id names the state, so that a design can be made again."""

    id: str
    trials: tuple[TrialRecord, ...] = ()
