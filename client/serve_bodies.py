"""What goes over the wire of the HTTP face: bodies that are asked for, and bodies that answer. All are bounded."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from client.commands_start import Timeframe
from client.render_cycle import step_of
from client.views import CycleView
from domain.cycle import MAX_BRIEF, MAX_REASON, Phase
from domain.gates import GateThresholds
from domain.ledger import BudgetStatus
from domain.results import Frozen
from domain.symbols import MAX_SYMBOL, SYMBOL_PATTERN

BODY_LIMIT = 64 * 1024
"""Bytes of a request's body."""

MAX_STRATEGY = 60_000
"""Characters of a strategy that is sent as text: what fits into a body."""

TEXT_PATTERN = r"^[^\x00]*$"
"""No NUL, which not every database keeps."""

CYCLE_PATTERN = r"^[A-Za-z0-9._:+-]+$"
KEY_PATTERN = r"^[!-~]+$"


class _Asked(BaseModel):
    """No value stands for another: "7" is no 7, and a field that nobody knows is an error."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Thresholds(GateThresholds):
    """Bounds of the gates; what is not named is as the settings say. Fractions are fractions."""

    model_config = ConfigDict(strict=True)


class Trigger(_Asked):
    """What to research; all of it may be left out. The fields are the options of `research start`."""

    brief: str = Field("", max_length=MAX_BRIEF, pattern=TEXT_PATTERN, description="what to research, in your words")
    symbol: str | None = Field(None, max_length=MAX_SYMBOL, pattern=SYMBOL_PATTERN, description="default: EURUSD")
    timeframe: Timeframe | None = Field(None, description="default: 1h")
    designer: Literal["claude", "offline"] | None = Field(None, description="default: claude, which needs a key")
    model: str | None = Field(None, min_length=1, max_length=80, pattern=r"^[A-Za-z0-9._:@/-]+$")
    strategy: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_STRATEGY,
        pattern=TEXT_PATTERN,
        description="skips the design: the name of a saved strategy, or a strategy's YAML text; never a path",
    )
    seed: int = Field(0, ge=0, lt=2**31)
    queue: bool = Field(False, description="wait for a slot and funds instead of being refused")
    on_budget_exhausted: Literal["wait", "fail"] = "wait"
    memory: str | None = Field(None, min_length=1, max_length=80, pattern=r"^[A-Za-z0-9._:-]+$")
    thresholds: Thresholds | None = None


class Cancel(_Asked):
    """Why a cycle is to end."""

    reason: str = Field("DELETE /agent/cancel", max_length=MAX_REASON, pattern=TEXT_PATTERN)


class Problem(Frozen):
    """A stable code, what is wrong, and what to do now."""

    code: str
    message: str
    next: str | None


class Failed(Frozen):
    """Every error but a refusal of the ledger."""

    success: Literal[False] = False
    error: Problem


class TriggeredData(Frozen):
    """operation_id: the cycle's id, for the other calls."""

    triggered: Literal[True] = True
    operation_id: str


class Triggered(Frozen):
    """The cycle is started: admitted, or in the queue where that was asked for."""

    success: Literal[True] = True
    data: TriggeredData


class Exhausted(Frozen):
    """Refused for want of funds, or since the budget is paused or its queue is full. The figures are the day's tokens,
    None where the ledger gave none.
    """

    triggered: Literal[False] = False
    reason: Literal["budget_exhausted", "budget_paused", "queue_full", "refused"]
    message: str
    tokens_used_today: int | None
    tokens_remaining: int | None


class ActiveExists(Frozen):
    """Refused since a cycle is active."""

    triggered: Literal[False] = False
    reason: Literal["active_operation_exists"] = "active_operation_exists"
    operation_id: str | None


class Progress(Frozen):
    """percentage: of the whole cycle, from 0 to 100."""

    percentage: Annotated[float, Field(ge=0, le=100)]
    current_step: str


class TrainingFigures(Frozen):
    """Both of the validation part; the accuracy is a fraction, None for a task that has none."""

    accuracy: float | None
    final_loss: float | None


class BacktestFigures(Frozen):
    """The win rate is a fraction; None where there were no trades."""

    win_rate: float | None
    sharpe_ratio: float | None


class Metadata(Frozen):
    """None for what the cycle has not done yet."""

    training_result: TrainingFigures | None
    backtest_result: BacktestFigures | None


class Operation(Frozen):
    """An active cycle."""

    id: str
    phase: Phase
    progress: Progress
    strategy_name: str | None
    metadata: Metadata


class AgentStatus(Frozen):
    """operation: the cycle that was admitted last, else the first in the queue; None while there is none. budget: None
    while no ledger runs.
    """

    status: Literal["idle", "active"]
    operation: Operation | None
    budget: BudgetStatus | None

    @classmethod
    def of(cls, active: CycleView | None, budget: BudgetStatus | None) -> "AgentStatus":
        """Of the view of the cycle that is told."""
        return cls(
            status="active" if active else "idle", operation=operation_of(active) if active else None, budget=budget
        )


class Budget(Frozen):
    """The ledger's status."""

    success: Literal[True] = True
    data: BudgetStatus


class CancelledData(Frozen):
    """ended: whether the cycle has ended; else it still stops what it does, or waits to be recorded."""

    operation_id: str
    ended: bool
    stopped_in: Phase | None


class CancelAnswer(Frozen):
    """The cancel was heard."""

    success: Literal[True] = True
    data: CancelledData


class Health(Frozen):
    """This process answers. Of the Temporal server and of workers it says nothing."""

    status: Literal["ok"] = "ok"


def operation_of(view: CycleView) -> Operation:
    """A cycle's view in the terms of the face."""
    cycle, training, backtest = view.cycle, view.cycle.training, view.cycle.backtest
    return Operation(
        id=cycle.cycle_id,
        phase=cycle.phase,
        progress=Progress(
            percentage=round(view.progress * 100, 1),
            current_step=step_of(view),
        ),
        strategy_name=cycle.strategy.name if cycle.strategy else None,
        metadata=Metadata(
            training_result=TrainingFigures(
                accuracy=training.validation_accuracy, final_loss=training.validation_loss.final
            )
            if training
            else None,
            backtest_result=BacktestFigures(win_rate=backtest.win_rate, sharpe_ratio=backtest.sharpe_ratio)
            if backtest
            else None,
        ),
    )
