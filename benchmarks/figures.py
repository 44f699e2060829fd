"""What every benchmark hands out: rows of figures, their goals, and where and when they were measured.

A goal bounds a ratio. Where it is missed, the table says so, and why: the row brings the words along, and they are
shown only then.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Protocol, Self

from pydantic import Field, model_validator
from rich.console import Console
from rich.table import Table

from domain.results import Frozen


class Row(Frozen):
    """One figure of ours beside another. ours, theirs: with their units, for people. ratio: ours / theirs."""

    what: str
    ours: str
    beside: str = ""
    theirs: str = ""
    ratio: float | None = None
    goal: float | None = None
    goal_is: Literal["at most", "at least"] = "at most"
    why: str = Field("", description="why a missed goal is missed, and what was tried")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.goal is not None and self.ratio is None:
            raise ValueError(f"{self.what!r} has a goal and no ratio to hold against it")
        return self

    @property
    def missed(self) -> bool:
        """Whether there is a goal, and it is not met."""
        if self.goal is None or self.ratio is None:
            return False
        return self.ratio > self.goal if self.goal_is == "at most" else self.ratio < self.goal

    @property
    def goal_text(self) -> str:
        """The goal in words: `<= 1.5`, with `missed` where it is."""
        if self.goal is None:
            return ""
        return f"{'<=' if self.goal_is == 'at most' else '>='} {self.goal:g}{', missed' if self.missed else ''}"


class Group(Frozen):
    """Rows that belong together, under a title. notes: whole sentences, about how it was measured or what is seen."""

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


class Section(Frozen):
    """All that one benchmark found, with its machine. load: the average over a minute, before and after."""

    name: str
    at: datetime
    machine: str
    versions: dict[str, str]
    load: tuple[float, float]
    minutes: float
    quick: bool
    groups: tuple[Group, ...]


class Command(Protocol):
    """A benchmark's `main`."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """The exit code."""


def command(name: str, doc: str, packages: Sequence[str], measured: Callable[[bool], Sequence[Group]]) -> Command:
    """A benchmark's command: measures (quick or in full), prints, and writes a `Section` to `--json FILE`.

    packages: those whose versions are told.
    """

    def run(arguments: Sequence[str] | None = None) -> int:
        parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks.{name}",
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("--quick", action="store_true", help="little of everything: shows only that it runs")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
        options = parser.parse_args(arguments)
        began, load = datetime.now(UTC), os.getloadavg()[0]
        groups = tuple(measured(options.quick))
        section = Section(
            name=name,
            at=began,
            machine=machine(),
            versions={"Python": platform.python_version(), **{package: version(package) for package in packages}},
            load=(load, os.getloadavg()[0]),
            minutes=(datetime.now(UTC) - began).total_seconds() / 60,
            quick=options.quick,
            groups=groups,
        )
        show(section, Console(width=None if sys.stdout.isatty() else 180))
        if options.json:
            options.json.write_text(section.model_dump_json(indent=1) + "\n")
        return 0

    return run


def machine() -> str:
    """Processor, cores and system."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    processor = next(named, platform.processor() or platform.machine())
    return f"{processor}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def show(section: Section, console: Console) -> None:
    """The section as tables in a terminal."""
    versions = ", ".join(f"{name} {number}" for name, number in section.versions.items())
    console.print(
        f"{section.machine}; {versions}; load {section.load[0]:.1f} to {section.load[1]:.1f}", highlight=False
    )
    for group in section.groups:
        table = Table(
            "", "ours", "beside", "theirs", "ratio", "goal", title=group.title, box=None, title_justify="left"
        )
        for row in group.rows:
            table.add_row(row.what, row.ours, row.beside, row.theirs, ratio_text(row), row.goal_text)
        console.print(table)
        for note in (*group.notes, *(f"{row.what}: {row.why}" for row in group.rows if row.missed and row.why)):
            console.print(f"- {note}", highlight=False)


def ratio_text(row: Row) -> str:
    """Three figures of it, as no benchmark here knows more."""
    return "" if row.ratio is None else f"{row.ratio:,.0f}" if row.ratio >= 1000 else f"{row.ratio:.3g}"
