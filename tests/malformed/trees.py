"""Values as JSON and YAML have them, and what may be wrong in them: another type, nothing, another place or name."""

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

TIMES = (
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2026-01-01T00:00:00",
    "2026-01-01T00:00:00+23:59",
    "2026-01-01",
)
NUMBERS = (-1, 0, 1, 1.5, 10**30, 10**400, 1e300, 5e-324, float("nan"), float("-inf"), "1")
TEXTS = ("", "x", "../../x", "x" * 9_000, "\0", "\u202e", "\x1b[2J", "1e999999", "1e-9999", "-7", "NaN", "-0")
LEAVES = st.sampled_from([None, True, *NUMBERS, *TEXTS, *TIMES])
NODES = st.recursive(
    LEAVES,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
    max_leaves=6,
)


@st.composite
def changed(draw: st.DrawFn, *trees: Any) -> Any:
    """One of the trees with one to three of its nodes changed."""
    tree = deepcopy(draw(st.sampled_from(trees)))
    for _ in range(draw(st.integers(1, 3))):
        if not tree:
            break
        inside, key = node(draw, tree)
        match draw(st.sampled_from(["other", "other", "like", "like", "gone", "moved", "renamed"])):
            case "gone":
                del inside[key]
            case "moved":
                elsewhere, place = node(draw, draw(st.sampled_from(trees)))
                inside[key] = deepcopy(elsewhere[place])
            case "renamed" if isinstance(inside, dict):
                inside[draw(st.text(max_size=5))] = inside.pop(key)
            case "like":
                inside[key] = draw(like(inside[key]))
            case _:
                inside[key] = draw(NODES)
    return tree


@st.composite
def odd(draw: st.DrawFn, tree: Any) -> Any:
    """The tree with one value in it that is of the type that was there, and makes no sense."""
    tree = deepcopy(tree)
    inside, key = node(draw, tree)
    inside[key] = draw(like(inside[key]))
    return tree


def like(value: Any) -> st.SearchStrategy[Any]:
    """What may stand in the value's place, by its type."""
    if isinstance(value, str):
        return st.sampled_from(TIMES if value[4:5] == "-" else TEXTS)
    if isinstance(value, list):
        return st.sampled_from([[], value[:1], value * 9])
    return st.sampled_from(NUMBERS) if isinstance(value, int | float) else LEAVES


@st.composite
def cut(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with bytes put in, changed, taken out, or cut off."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        rest = draw(st.sampled_from([content[at:], content[at + 1 :], content[at + 20 :], b"", content]))
        content = content[:at] + draw(st.binary(max_size=4)) + rest
    return content


def node(draw: st.DrawFn, tree: Any) -> tuple[Any, Any]:
    """A node below the root, as what it lies in and its key; those near the root as often as the many far from it."""
    inside = tree
    while True:
        key = draw(st.sampled_from(list(inside) if isinstance(inside, dict) else range(len(inside))))
        if not isinstance(inside[key], dict | list) or not inside[key] or draw(st.booleans()):
            return inside, key
        inside = inside[key]
