"""When a schedule runs: what was typed becomes checked times, before anything is contacted."""

import re
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AwareDatetime

from client.exits import usage
from domain.results import Frozen

UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
OFTENEST = timedelta(minutes=1)
LONGEST = timedelta(days=366)
MOST_JITTER = timedelta(days=1)
LEAST_CATCH_UP = timedelta(seconds=10)
"""As servers have it: they take a shorter one for this."""

LENGTHS = "as 30m, 6h, 1d or 1h30m"


class Timing(Frozen):
    """When a schedule starts a cycle: at an interval or by a cron line, one of the two.

    An interval is counted from the beginning of 1970 in UTC, so that 6h is 0, 6, 12 and 18 o'clock there.
    jitter: each run is later by so much at the most, drawn anew. catch_up: how late a run may be that the server was
    not there for; a later one is left out. until: no run after it.
    """

    every: timedelta | None = None
    cron: str | None = None
    timezone: str | None = None
    jitter: timedelta | None = None
    until: AwareDatetime | None = None
    catch_up: timedelta

    @property
    def words(self) -> str:
        """In one line: every 6h, or cron 0 18 * * 1-5 in Europe/Berlin."""
        return f"every {written(self.every)}" if self.every else f"cron {self.cron} in {self.timezone}"


def timing_from(
    *,
    every: str | None,
    cron: str | None,
    timezone: str | None,
    jitter: str | None,
    until: date | None,
    catch_up: str,
    now: datetime,
) -> Timing:
    """The times as they were typed. Errors name the option and say how to write it. until: a whole day, in the zone."""
    if (every is None) == (cron is None):
        raise usage("name either --every or --cron", 'as in --every 6h, or --cron "0 18 * * 1-5"')
    if every is not None and timezone is not None:
        raise usage("--timezone is for --cron: an interval has no zone", "leave one of them out")
    zone = _zone(timezone or "UTC")
    interval = None if every is None else length("--every", every, OFTENEST, LONGEST)
    spread = None if jitter is None else length("--jitter", jitter, timedelta(seconds=1), MOST_JITTER)
    if interval and spread and spread >= interval:
        raise usage("--jitter is not shorter than --every", f"give less than {written(interval)}")
    if cron is not None and not (cron.isprintable() and cron.strip()):
        raise usage("--cron is empty, or no line of text", 'write it as in --cron "0 18 * * 1-5"')
    end = None
    if until is not None:
        end = datetime.combine(until + timedelta(days=1), time(), tzinfo=zone) - timedelta(seconds=1)
        if end <= now:
            raise usage(f"--until {until}: that day is over", "name a day to come")
    return Timing(
        every=interval,
        cron=cron.strip() if cron else None,
        timezone=None if cron is None else zone.key,
        jitter=spread,
        until=end.astimezone(UTC) if end else None,
        catch_up=length("--catch-up", catch_up, LEAST_CATCH_UP, LONGEST),
    )


def length(option: str, text: str, least: timedelta, most: timedelta) -> timedelta:
    """A length of time as people type it. Errors name the option."""
    parts = re.findall(r"(\d{1,9})([wdhms])", text.lower())
    if not parts or "".join(number + unit for number, unit in parts) != text.lower():
        raise usage(f"{option} {text[:40]!r}: that is no length of time", f"write it {LENGTHS}")
    try:
        found = sum((int(number) * UNITS[unit] for number, unit in parts), timedelta())
    except OverflowError:
        found = timedelta.max
    if not least <= found <= most:
        raise usage(f"{option} {text[:40]}: give {written(least)} to {written(most)}", f"write it {LENGTHS}")
    return found


def written(value: timedelta) -> str:
    """As people type it: 6h, 1h30m, 10s."""
    text, rest = "", value
    for unit, size in UNITS.items():
        if unit != "w" and (number := rest // size):
            text, rest = f"{text}{number}{unit}", rest % size
    return text or "0s"


def _zone(name: str) -> ZoneInfo:
    known = available_timezones()
    if name not in known:
        nearest = get_close_matches(name, known, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise usage(f"--timezone: there is no zone {name[:64]!r}{hint}", "write it as Europe/Berlin, or UTC")
    return ZoneInfo(name)
