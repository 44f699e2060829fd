"""Settings as people read them. Pure functions."""

import json
from collections.abc import Sequence

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from client.config import Held, Source
from client.render_values import NONE, clean

POLICIES = "policies."


def render_config(found: Sequence[Held], *, everything: bool) -> RenderableType:
    """One row a setting; what somebody has set stands out. Policies that nobody has changed are only counted."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("variable", "value", "from"):
        table.add_column(name, no_wrap=True, overflow="ignore")
    left_out = 0
    for each in found:
        is_set = each.source is not Source.DEFAULT
        if each.name.startswith(POLICIES) and not (everything or is_set):
            left_out += 1
            continue
        style = "bold" if is_set else ""
        table.add_row(each.variable, Text(_as_written(each.value), style), Text(each.source.value, style or "dim"))
    if not left_out:
        return table
    rest = f"and {left_out} policies at their defaults (RESEARCH_POLICIES__...): `research config --all` names them"
    return Group(table, Text(rest, "dim"))


def _as_written(value: JsonValue) -> str:
    """As the variable would have it; what is not set is a dash."""
    if value is None or value == []:
        return NONE
    return clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
