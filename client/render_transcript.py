"""A conversation as people read it. Pure functions."""

import json
from collections.abc import Mapping

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from client.render_values import clean, count
from client.transcript import Transcript, Turn


def render_transcript(transcript: Transcript) -> RenderableType:
    """Turn by turn: who said what, which tools were called and what they answered."""
    if not any(turn.messages or turn.usage or turn.failure for turn in transcript.turns):
        return Text(f"{transcript.cycle_id} talked to no model", "dim")
    return Group(*(part for turn in transcript.turns for part in _turn(turn)))


def _turn(turn: Turn) -> list[RenderableType]:
    head = f"{turn.phase}, turn {turn.turn}"
    usage = turn.usage
    if usage:
        cached = f", {count(usage.cache_read)} of them from the cache" if usage.cache_read else ""
        head += f"  {usage.model}: {count(usage.prompt)} tokens read{cached}, {count(usage.output)} written"
    parts: list[RenderableType] = [Text(clean(head), "bold")]
    said = [_block(message.role, block) for message in turn.messages for block in message.blocks]
    if turn.failure:
        said.append(Text(clean(turn.failure), "red"))
    if not said and not usage:
        said.append(Text("no answer was recorded", "dim"))
    return [*parts, *(Padding(each, (0, 0, 0, 2), expand=False) for each in said), Text("")]


def _block(role: str, block: Mapping[str, JsonValue]) -> Text:
    kind = block.get("type")
    if kind == "tool_use":
        return Text.assemble((f"calls {clean(str(block.get('name')))}", "cyan"), f"\n{_arguments(block.get('input'))}")
    if kind == "tool_result":
        style = "yellow" if block.get("is_error") else "green"
        return Text.assemble(("is told", style), f"\n{clean(str(block.get('content')))}")
    if kind == "thinking":
        return Text.assemble(("thinks", "dim"), (f"\n{clean(str(block.get('thinking')))}", "dim"))
    if kind == "text":
        return Text.assemble(("Claude" if role == "assistant" else "the laboratory", "bold"), f"\n{_text(block)}")
    return Text(clean(f"({kind})"), "dim")


def _text(block: Mapping[str, JsonValue]) -> str:
    return clean(str(block.get("text")))


def _arguments(told: JsonValue) -> str:
    if not isinstance(told, dict):
        return clean(json.dumps(told, ensure_ascii=False))
    rows = []
    for name, value in told.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append(f"{name}:\n{text}" if "\n" in text else f"{name}: {text}")
    return clean("\n".join(rows))
