"""A desk without a store: what is said at it is short, and its tools do next to nothing."""

from dataclasses import dataclass, field

from pydantic import JsonValue

from claude.desk import Outcome, Tool
from domain.cycle import StrategyRef

STRATEGY = StrategyRef(name="small", sha256="0" * 64, path="small.yaml")


def _tool(name: str) -> Tool:
    schema: dict[str, JsonValue] = {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    }
    return Tool(name=name, description=f"To {name}.", input_schema=schema)


@dataclass
class SmallDesk:
    """used: every use of a tool, in order."""

    opening: str = "Design something."
    system: str = "You design."
    tools: tuple[Tool, ...] = (_tool("look"), _tool("submit"))
    answer: str = "Nothing there."
    used: list[tuple[str, JsonValue]] = field(default_factory=list)

    def use(self, name: str, arguments: JsonValue) -> Outcome:
        """`submit` ends it."""
        self.used.append((name, arguments))
        if name == "submit":
            return Outcome(text="Taken.", strategy=STRATEGY, hypothesis="that it is small")
        return Outcome(text=self.answer)
