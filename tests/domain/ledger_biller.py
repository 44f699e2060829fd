"""A model provider and its bill: what the ledger's promise is measured against. Knows nothing of our books.

It bills every request that reached it, whether anybody hears the answer or not, on the day that its own clock shows
when the work is done. It goes on with a request that nobody waits for any more, but no longer than GOES_ON.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

GOES_ON = timedelta(minutes=15)


@dataclass
class Request:
    """What one request will cost, and when it will be done, by true time."""

    model: str
    tokens: int
    usd: Decimal
    done_at: datetime


class Biller:
    """The provider. Its clock is off by up to a minute; the times handed in are true."""

    def __init__(self, off: timedelta) -> None:
        self.off = off
        self.working: dict[str, Request] = {}
        self.tokens: dict[date, int] = defaultdict(int)
        self.usd: dict[tuple[date, str], Decimal] = defaultdict(Decimal)

    def asked(self, name: str, request: Request) -> None:
        """A request reaches the provider."""
        self.working[name] = request

    def answers(self, name: str, now: datetime) -> None:
        """The answer is handed over, so the work is done, and billed."""
        if request := self.working.pop(name, None):
            self._bill(request, now)

    def left_alone(self, name: str, now: datetime) -> None:
        """Nobody waits for the answer any more."""
        if request := self.working.get(name):
            request.done_at = min(request.done_at, now + GOES_ON)

    def time_is(self, now: datetime) -> None:
        """Time went on: what got done meanwhile is billed, each at its own time."""
        for name in [name for name, request in self.working.items() if request.done_at <= now]:
            request = self.working.pop(name)
            self._bill(request, request.done_at)

    def _bill(self, request: Request, at: datetime) -> None:
        day = (at + self.off).astimezone(UTC).date()
        self.tokens[day] += request.tokens
        self.usd[day, request.model] += request.usd
