"""What an audit compares and what it comes to: the ledger's answers as it gave them, differences, and what nobody can
say. Fractions of nothing: tokens are whole numbers, dollars Decimal, times aware UTC.
"""

from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import AwareDatetime, ConfigDict, Field

from client.audit_calls import Call, Number
from domain.results import Frozen


class _Answer(Frozen):
    """A part of what the ledger answers. It is the one that is audited, so nothing of its own rules checks it."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Booked(_Answer):
    """A call in the ledger's books, or with the state forfeited what it took from an envelope without knowing calls."""

    timestamp: AwareDatetime
    operation_id: str
    run_id: str
    seq: int
    phase: str
    model: str
    state: str
    input_tokens: int
    cache_write_tokens: int
    cache_read_tokens: int
    output_tokens: int
    total_tokens: int
    ceiling: int
    cost: Decimal | None = None
    days: tuple[date, ...]

    @property
    def number(self) -> Number:
        """What the ledger knows the call by."""
        return self.run_id, self.seq


class BookedDay(_Answer):
    """The ledger's entries of a day. Those that it keeps no longer one by one are in the folded sums."""

    day: date
    entries: tuple[Booked, ...] = ()
    folded_calls: int = 0
    folded_settled_tokens: int = 0
    folded_charged_tokens: int = 0

    @property
    def calls(self) -> tuple[Booked, ...]:
        """The entries that are calls."""
        return tuple(entry for entry in self.entries if entry.state != "forfeited")

    @property
    def forfeited(self) -> tuple[Booked, ...]:
        """The entries that are what envelopes lost."""
        return tuple(entry for entry in self.entries if entry.state == "forfeited")


class BookedSums(_Answer):
    """The ledger's sums of a day."""

    day: date
    settled_tokens: int
    charged_tokens: int
    held_tokens: int
    settled_usd: Decimal
    charged_usd: Decimal
    calls: int


class Holder(_Answer):
    """A run with an open envelope."""

    run_id: str


class Standing(_Answer):
    """Who holds what, of the ledger's status; and the sums that it shows for its present day."""

    reset_date: date
    active: tuple[Holder, ...]
    tokens_settled: int
    tokens_charged: int
    invocations_today: int


class LedgerBeginning(Frozen):
    """When the ledger that runs now was started. spent: in place of another, with that day and the one before it
    counted as spent.
    """

    since: AwareDatetime
    spent: bool


class Books(Frozen):
    """All that the ledger says. before: its calls of the day before any history was read; the rest came after it.

    sums: of every day that it keeps, newest first. at_rest: its answers came without a booking between them.
    """

    before: frozenset[Number]
    day: BookedDay
    sums: tuple[BookedSums, ...]
    standing: Standing
    beginning: LedgerBeginning | None
    at_rest: bool


class Difference(Frozen):
    """A call on which histories and ledger don't agree. figures: names of those that differ."""

    kind: Literal["changed", "missing", "invented"]
    cycle_id: str
    run_id: str
    seq: int
    phase: str
    figures: tuple[str, ...] = ()
    history: Call | None = None
    ledger: Booked | None = None
    because: str = ""


class SumDifference(Frozen):
    """A sum of the ledger's that is not what it is made of. made_of: in words."""

    name: str
    made_of: str
    expected: Decimal
    ledger: Decimal


class Unsaid(Frozen):
    """Something that can't be checked, and why."""

    reason: Literal[
        "in_flight",
        "on_its_way",
        "just_booked",
        "forfeited",
        "history_gone",
        "history_unreadable",
        "too_many_cycles",
        "folded",
        "counted_as_spent",
        "no_book",
        "never_at_rest",
    ]
    message: str
    cycle_id: str | None = None
    calls: int | None = None
    tokens: int | None = None


class Audit(Frozen):
    """A day, recomputed from the histories of its cycles and compared with the ledger's books.

    equal: no difference was found. complete: and nothing was left unsaid. calls, *_tokens, *_usd: what the histories
    come to. histories_since: cycles that ended earlier the server no longer knows.
    """

    day: date
    equal: bool
    complete: bool
    runs_read: int
    calls: int
    settled_tokens: int
    charged_tokens: int
    settled_usd: Decimal
    charged_usd: Decimal
    unpriced_tokens: int = Field(description="the part of the tokens of which no price is known")
    ledger: BookedSums | None = Field(description="what the ledger says of the day; None where it has no book of it")
    differences: tuple[Difference, ...]
    sums: tuple[SumDifference, ...]
    unsaid: tuple[Unsaid, ...]
    histories_since: AwareDatetime
