"""Ways to look ahead, each planted in the running engine: what finds leaks has to find every one of them.

A leak takes the place of one function wherever a module of the engine holds it, so that it bites in training and
backtest alike. None of them raises, and none shows in a description of the parts: only what is computed is other than
it would be without the future.
"""

from tests.engine.leaks_inputs import INPUT_LEAKS
from tests.engine.leaks_results import PART_LEAKS, RESULT_LEAKS
from tests.engine.planting import Leak

__all__ = ["LEAKS", "Leak"]

LEAKS: tuple[Leak, ...] = (*INPUT_LEAKS, *PART_LEAKS, *RESULT_LEAKS)
"""Told apart by their names."""
