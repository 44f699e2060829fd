"""Every way a cycle can end, each as one story: what goes wrong, what is asked, and how it must end."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import WorkflowExecutionStatus

from domain.cycle import Outcome, Phase
from domain.errors import ErrorCode
from workflows.policies import Policies

USUAL = Policies()


@dataclass(frozen=True)
class Scenario:
    """`changes` are made to the request. `hold_in` does not end by itself; `cancel` is asked for there."""

    name: str
    outcome: Outcome
    closed_as: WorkflowExecutionStatus
    changes: tuple[tuple[str, object], ...] = ()
    bounds: tuple[tuple[str, float], ...] = ()
    stopped_in: Phase | None = None
    reason: str | None = None
    code: ErrorCode | None = None
    hold_in: Phase | None = None
    cancel: bool = False
    broken_model: bool = False
    unserved: str | None = None
    policies: Policies = USUAL


COMPLETED, FAILED, CANCELED = (
    WorkflowExecutionStatus.COMPLETED,
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.CANCELED,
)


def _impatient(activity: str, **row: object) -> Policies:
    """A table in which one activity is given up soon."""
    policies = Policies()
    changed = getattr(policies, activity).model_copy(update=row)
    return policies.model_copy(update={activity: changed, "lost_answers": 1})


SCENARIOS = [
    Scenario("completed", Outcome.COMPLETED, COMPLETED),
    Scenario("designed", Outcome.COMPLETED, COMPLETED, changes=(("strategy", None), ("seed", 3))),
    Scenario(
        "rejected_by_training_gate",
        Outcome.REJECTED,
        COMPLETED,
        bounds=(("training_min_skill", 1.0),),
        stopped_in=Phase.TRAINING,
        reason="training gate: balanced accuracy",
    ),
    Scenario(
        "rejected_by_backtest_gate",
        Outcome.REJECTED,
        COMPLETED,
        bounds=(("backtest_min_sharpe", 1000.0),),
        stopped_in=Phase.BACKTESTING,
        reason="backtest gate: Sharpe ratio",
    ),
    Scenario(
        "design_failed",
        Outcome.FAILED,
        FAILED,
        changes=(("strategy", None), ("memory_snapshot", "m999-00000000")),
        stopped_in=Phase.DESIGNING,
        code=ErrorCode.DATA_UNAVAILABLE,
    ),
    Scenario(
        "training_failed",
        Outcome.FAILED,
        FAILED,
        changes=(("symbol", "NOSUCH"),),
        stopped_in=Phase.TRAINING,
        code=ErrorCode.DATA_UNAVAILABLE,
    ),
    Scenario(
        "backtest_failed",
        Outcome.FAILED,
        FAILED,
        broken_model=True,
        stopped_in=Phase.BACKTESTING,
        code=ErrorCode.BACKTEST_FAILED,
    ),
    Scenario(
        "assessor_unknown",
        Outcome.FAILED,
        FAILED,
        unserved="assess",
        policies=_impatient("assess", schedule_to_close=timedelta(seconds=1)),
        stopped_in=Phase.ASSESSING,
        code=ErrorCode.INTERNAL_ERROR,
    ),
    Scenario(
        "assessor_silent",
        Outcome.FAILED,
        FAILED,
        hold_in=Phase.ASSESSING,
        policies=_impatient("assess", start_to_close=timedelta(seconds=1)),
        stopped_in=Phase.ASSESSING,
        code=ErrorCode.ANSWER_LOST,
    ),
    *(
        Scenario(
            f"cancelled_while_{phase.value}",
            Outcome.CANCELLED,
            CANCELED,
            changes=(("strategy", None),) if phase is Phase.DESIGNING else (),
            hold_in=phase,
            cancel=True,
            stopped_in=phase,
            reason="I changed my mind",
        )
        for phase in (Phase.DESIGNING, Phase.TRAINING, Phase.BACKTESTING, Phase.ASSESSING)
    ),
]
