"""What passes between a cycle and its designer and assessor, turn by turn. The offline ones end in one turn."""

from pydantic import Field

from domain.cycle import CallUsage, CycleRequest, CycleStatus, StrategyRef
from domain.results import Assessment, Frozen


class FundedTurn(Frozen):
    """What every turn carries of the money that was taken for it, before it was asked for.

    granted_run_id: the run that the envelope was granted to. A turn that finds itself in another run (the cycle was
    reset) ends with envelope_stale before it spends anything.
    ceiling_tokens: the most that this attempt may be billed for, prompt and answer together. An attempt that could
    exceed it must not be made. 0: it must not call a model at all.
    closing: there is money for no further turn, so this one has to bring the result.
    """

    granted_run_id: str
    turn: int = Field(ge=1)
    ceiling_tokens: int = Field(0, ge=0)
    closing: bool = False


class DesignTurn(FundedTurn):
    """One turn of the designer."""

    request: CycleRequest


class AssessTurn(FundedTurn):
    """One turn of the assessor; the status holds the results and gates that it judges."""

    status: CycleStatus


class Answer(Frozen):
    """What every answer tells. usage: what was billed. None is of a turn without a ceiling; any other
    that does not tell is charged with its ceiling.
    """

    usage: CallUsage | None = None


class DesignAnswer(Answer):
    """What the designer answered: in the end a saved, valid strategy, with the memory it was made from."""

    strategy: StrategyRef | None = None
    hypothesis: str | None = Field(None, max_length=1000)
    memory_snapshot: str | None = None


class AssessAnswer(Answer):
    """What the assessor answered: in the end an assessment."""

    assessment: Assessment | None = None
