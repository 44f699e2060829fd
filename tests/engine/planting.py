"""What the planted leaks share: what one is, and how it takes the place of a function of the engine."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

# The modules that hold the functions have to be there before: one imported later would keep what took their place.
import engine.backtest
import engine.training

assert engine.backtest
assert engine.training

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Leak:
    """One way to look ahead.

    says: what is used that could not be known. plant: does it until the monkeypatch is undone. asks: changes to the
    strategy of tests/engine/conftest.py (its `strategy_text`, `strategy` or `job`) without which it need not bite.
    """

    name: str
    says: str
    plant: Plant
    asks: Mapping[str, Any] = field(default_factory=dict)


def replace_in_engine(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], by: Callable[..., Any]) -> None:
    """Put `by` wherever a module of the engine that is imported holds the function under its name."""
    name = function.__name__
    holders = [m for key, m in sys.modules.items() if key.startswith("engine.") and vars(m).get(name) is function]
    assert holders, f"no module of the engine holds {name}"
    for module in holders:
        monkeypatch.setattr(module, name, by)


def of_next(values: Any) -> Any:
    """At each position what stands at the next one; the last stays."""
    return np.concatenate((values[1:], values[-1:]))
