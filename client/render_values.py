"""Single values as people read them: percent, times in their zone, money, and untrusted text made harmless."""

import contextlib
from datetime import datetime, timedelta
from decimal import Decimal

NONE = "-"
"""What stands for a figure that is undefined."""


def clean(text: str) -> str:
    """Text from a model, a file or a service, without what could command a terminal. Line ends stay."""
    return "".join(character if character == "\n" or character.isprintable() else "�" for character in text)


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as percent: 0.123 is 12.3 %."""
    return NONE if value is None else f"{value * 100:.{digits}f} %"


def number(value: float | None, digits: int = 2) -> str:
    """A plain figure."""
    return NONE if value is None else f"{value:.{digits}f}"


def count(value: int | None) -> str:
    """A whole number with its thousands apart."""
    return NONE if value is None else f"{value:,}"


def plural(number: int, thing: str) -> str:
    """So many things: 1 call, 2,000 calls."""
    return f"{count(number)} {thing}{'' if number == 1 else 's'}"


def money(value: Decimal | None) -> str:
    """Dollars, in full where they are below a cent."""
    if value is None:
        return NONE
    return f"${value:,.2f}" if value == 0 or abs(value) >= Decimal("0.01") else f"${value.normalize():f}"


def moment(value: datetime | None) -> str:
    """A time in the reader's own zone, to the second; as it is where that zone's calendar does not reach."""
    if value is None:
        return NONE
    with contextlib.suppress(OverflowError):
        value = value.astimezone()
    return value.strftime("%Y-%m-%d %H:%M:%S %Z")


def duration(value: timedelta) -> str:
    """A length of time: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min."""
    return duration_of(value.total_seconds())


def duration_of(seconds: float) -> str:
    """A length of time given in seconds, which may be more of them than a timedelta holds."""
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
