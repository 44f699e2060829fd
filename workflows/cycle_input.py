"""What a cycle's workflow is started with."""

from pydantic import Field

from domain.ceilings import TurnBounds
from domain.cycle import CycleRequest
from domain.ledger import Limits
from domain.pricing import Price
from domain.results import Frozen
from engine.interface import CostOverride
from workflows.policies import Policies


class CycleInput(Frozen):
    """A request, and everything about the house that the cycle must not look up for itself."""

    request: CycleRequest
    engine_queue: str
    limits: Limits = Field(Limits(), description="for the ledger, should this cycle be the one that starts it")
    costs: CostOverride = CostOverride()
    design_token_cap: int = Field(90_000, ge=0)
    assess_token_cap: int = Field(30_000, ge=0)
    turn_bounds: TurnBounds = TurnBounds()
    price: Price | None = Field(None, description="of the request's model when the cycle was started; None: unknown")
    policies: Policies = Policies()
