"""What passes between a cycle and its designer and assessor, turn by turn. The offline ones end in one turn."""

from pydantic import Field

from domain.cycle import CallUsage, CycleRequest, CycleStatus, StrategyRef
from domain.results import Assessment, Frozen


class DesignTurn(Frozen):
    """One turn of the designer.

    granted_run_id: the run that the envelope was granted to. A turn that finds itself in another run (the cycle was
    reset) ends with envelope_stale before it spends anything.
    """

    request: CycleRequest
    granted_run_id: str
    turn: int = Field(ge=1)


class DesignAnswer(Frozen):
    """What the designer answered: in the end a saved, valid strategy, with the memory it was made from."""

    usage: CallUsage | None = Field(None, description="None: the turn cost nothing")
    strategy: StrategyRef | None = None
    hypothesis: str | None = Field(None, max_length=1000)
    memory_snapshot: str | None = None


class AssessTurn(Frozen):
    """One turn of the assessor; the status holds the results and gates that it judges."""

    status: CycleStatus
    granted_run_id: str
    turn: int = Field(ge=1)


class AssessAnswer(Frozen):
    """What the assessor answered: in the end an assessment."""

    usage: CallUsage | None = None
    assessment: Assessment | None = None
