"""docs/benchmarks.md, of the sections that were measured."""

from collections.abc import Sequence

from benchmarks.figures import Group, Row, Section, ratio_text

HEAD = """# Benchmarks

Written by `make bench`. Ratios of medians in one run, both sides in turn, on the machine that is named: run it on
yours, beside nothing else that wants the processors. `python -m benchmarks NAME` measures one section anew; `--quick`
shows only that all of it runs. A goal was set before it was measured, and one that is missed says so, with the reason
and what was tried.
"""


def page(sections: Sequence[Section], lacking: Sequence[str] = ()) -> str:
    """The whole page. lacking: the benchmarks that have no figures on it."""
    missed = [(section, row) for section in sections for group in section.groups for row in group.rows if row.missed]
    goals = sum(row.goal is not None for section in sections for group in section.groups for row in group.rows)
    told = f"{goals - len(missed)} of the {goals} goals below are met."
    if lacking:
        told += f" Not yet measured to their end, so without figures here: {', '.join(lacking)}."
    return "\n".join([HEAD, told, *(line for section in sections for line in _section(section))])


def _section(section: Section) -> list[str]:
    versions = ", ".join(f"{name} {number}" for name, number in section.versions.items())
    lines = [
        "",
        f"## {section.name.capitalize()}",
        "",
        f"`python -m benchmarks.{section.name}`, {section.minutes:.1f} minutes; {section.at:%d %B %Y}; "
        f"{section.machine}; {versions}; load {section.load[0]:.1f} before and {section.load[1]:.1f} after.",
    ]
    for group in section.groups:
        lines += ["", f"### {group.title}", "", *_table(group)]
        if said := [*group.notes, *(_missed(row) for row in group.rows if row.missed)]:
            lines += ["", *(f"- {note}" for note in said)]
    return [*lines, ""] if section.groups else lines


def _table(group: Group) -> list[str]:
    return [
        "| | ours | beside | theirs | ratio | goal |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row.what} | {row.ours} | {row.beside} | {row.theirs} | {ratio_text(row)} | {_goal(row)} |"
            for row in group.rows
        ),
    ]


def _goal(row: Row) -> str:
    return row.goal_text.replace("missed", "**missed**")


def _missed(row: Row) -> str:
    return f"**Missed**: {row.what}. {row.why or 'No reason is known yet.'}"
