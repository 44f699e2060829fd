"""Symbols: what a request, a strategy and a set of bars may call what is traded. One rule, since each meets the others.

A symbol is part of a file's name and of a query: it holds no separator, no quote and no space, and a dot only between
two other characters, so that it neither hides a file nor climbs out of a folder.
"""

import re
from typing import Annotated, Final

from pydantic import Field

MAX_SYMBOL: Final = 32
SYMBOL_PATTERN: Final = r"^[A-Za-z0-9^](\.?[A-Za-z0-9^=_-])*$"

Symbol = Annotated[str, Field(max_length=MAX_SYMBOL, pattern=SYMBOL_PATTERN)]
"""Such as EURUSD, BRK.B, EUR=X, ^GSPC or BTC.PERPETUAL."""


def is_symbol(text: str) -> bool:
    """Whether the text is a symbol, in either case."""
    return len(text) <= MAX_SYMBOL and re.fullmatch(SYMBOL_PATTERN, text) is not None
