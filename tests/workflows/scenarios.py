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
    """`changes` are made to the request. `cancel_in` holds the phase and cancels it by the signal."""

    name: str
    outcome: Outcome
    closed_as: WorkflowExecutionStatus
    changes: tuple[tuple[str, object], ...] = ()
    bounds: tuple[tuple[str, float], ...] = ()
    stopped_in: Phase | None = None
    reason: str | None = None
    code: ErrorCode | None = None
    cancel_in: Phase | None = None
    broken_model: bool = False
    unserved: str | None = None
    policies: Policies = USUAL


COMPLETED, FAILED, CANCELED = (
    WorkflowExecutionStatus.COMPLETED,
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.CANCELED,
)


def _impatient(activity: str) -> Policies:
    """A table in which one activity is given up soon."""
    policies = Policies()
    row = getattr(policies, activity).model_copy(update={"schedule_to_close": timedelta(seconds=1)})
    return policies.model_copy(update={activity: row, "lost_answers": 1})


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
        "assessor_silent",
        Outcome.FAILED,
        FAILED,
        unserved="assess",
        policies=_impatient("assess"),
        stopped_in=Phase.ASSESSING,
        code=ErrorCode.ANSWER_LOST,
    ),
    *(
        Scenario(
            f"cancelled_while_{phase.value}",
            Outcome.CANCELLED,
            CANCELED,
            changes=(("strategy", None),) if phase is Phase.DESIGNING else (),
            cancel_in=phase,
            stopped_in=phase,
            reason="I changed my mind",
        )
        for phase in (Phase.DESIGNING, Phase.TRAINING, Phase.BACKTESTING, Phase.ASSESSING)
    ),
]
