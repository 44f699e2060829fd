"""A desk: what one phase's conversation with Claude is about. Whoever talks to the API knows no more of a phase.

A desk is made anew for every turn, from the cycle and the store, and says the same for the same state of both: so that
the conversation can go on in another process, and its beginning is read from the API's cache.
"""

from typing import Protocol

from pydantic import JsonValue

from domain.cycle import StrategyRef
from domain.results import Assessment, Frozen


class Tool(Frozen):
    """A tool as the API is told of it. input_schema: strict JSON schema, every property required, no others."""

    name: str
    description: str
    input_schema: dict[str, JsonValue]


class Outcome(Frozen):
    """What the use of a tool came to. text: what the model is told, bounded.

    The one that ends the conversation has a strategy (with hypothesis and memory_snapshot) or an assessment.
    """

    text: str
    is_error: bool = False
    strategy: StrategyRef | None = None
    hypothesis: str | None = None
    memory_snapshot: str | None = None
    assessment: Assessment | None = None

    @property
    def final(self) -> bool:
        """Whether this ends the conversation."""
        return self.strategy is not None or self.assessment is not None


class Desk(Protocol):
    """One phase's system prompt, first user message and tools."""

    @property
    def system(self) -> str:
        """Stable over cycles, so that it can be read from the API's cache."""

    @property
    def opening(self) -> str:
        """The first user message."""

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Stable over cycles, as `system`."""

    def use(self, name: str, arguments: JsonValue) -> Outcome:
        """Run a tool. Blocks: files and store. What the model sent never raises: it is told back as an error.

        Errors: store_unavailable, data_unavailable.
        """
