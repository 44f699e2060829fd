"""A page that is whole in itself: its style, its plots and the library that draws them are all in the one file.

Nothing in it may load anything: the Content-Security-Policy allows inline styles, and of scripts only those that are
written here, by their hashes. So even markup that had slipped in could neither run nor call anybody.
"""

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from client.exits import CommandError, ExitCode
from client.report_html import Html, joined, tag, text
from client.report_look import PAINT, STYLE


@dataclass(frozen=True)
class Plot:
    """A figure and what it shows, in words for who cannot see it.

    small: several stand side by side on a wide page. narrow: as wide as a page on paper at most.
    """

    figure: Figure
    shows: str
    small: bool = False
    narrow: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a page under its heading."""

    title: str
    parts: tuple[Html | Plot, ...]


@dataclass
class _Figures:
    """The plots of a page in their order; each has its own element."""

    written: list[str] = field(default_factory=list)

    def place(self, plot: Plot) -> Html:
        height = int(plot.figure.layout.height or 300)
        name = f"plot-{len(self.written)}"
        self.written.append(f"{json.dumps(name)}:{plot.figure.to_json()}")
        return Html(
            f'<div id="{name}" class="plot{" narrow" if plot.narrow else ""}" role="img" '
            f'aria-label="{text(plot.shows)}" style="height:{height}px"></div>'
        )

    def as_json(self) -> str:
        """All figures in one object. No character of it can end the script element that holds it."""
        whole = "{" + ",".join(self.written) + "}"
        for character in "<>&\u2028\u2029":
            whole = whole.replace(character, f"\\u{ord(character):04x}")
        return whole


def page(title: str, head: Html, sections: Sequence[Section], foot: str, script: str = "") -> str:
    """The page. head: what stands above the sections; script: of ours, run after the plots are drawn."""
    figures = _Figures()
    body = joined(_section(section, figures) for section in sections)
    scripts = [get_plotlyjs(), PAINT] if figures.written else []
    scripts += [script] if script else []
    allowed = " ".join(_hash(each) for each in scripts) or "'none'"
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{text(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            f"<main>\n{head}",
            "<noscript><p>The plots need JavaScript; all figures stand in the tables too.</p></noscript>",
            f"{body}",
            f"<footer>{text(foot)}</footer>\n</main>",
            f'<script type="application/json" id="figures">{figures.as_json()}</script>',
            *(f"<script>{each}</script>" for each in scripts),
            "</body>",
            "</html>",
            "",
        ]
    )


def _section(section: Section, figures: _Figures) -> Html:
    written: list[Html] = []
    row: list[Html] = []
    for part in (*section.parts, Html("")):
        if isinstance(part, Plot) and part.small:
            row.append(tag("figure", joined([tag("figcaption", text(part.shows)), figures.place(part)])))
            continue
        if row:
            written.append(tag("div", joined(row), "small-plots"))
            row = []
        written.append(figures.place(part) if isinstance(part, Plot) else part)
    return tag("section", joined([tag("h2", text(section.title)), *(each for each in written if each)]))


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


BEGINNING = b"<!doctype html>"


def write(path: Path, content: str) -> int:
    """Write the page to the path, whole or not at all; gives its size in bytes. Folders are made where there are none.

    Errors: CommandError where the path cannot be written, or something else than a page lies there, which stays.
    """
    # Half of a pair that is no character could not be written; nothing that was parsed from JSON holds one otherwise.
    data = content.encode(errors="replace")
    try:
        if path.exists() and not _is_page(path):
            raise FileExistsError("something lies there that is no page")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".new-", suffix=".html", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CommandError(
            ExitCode.FAILED, "file_error", f"cannot write {path}: {why}", "name another file that can be written"
        ) from error
    return len(data)


def _is_page(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(BEGINNING)).lower() == BEGINNING
