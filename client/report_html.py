"""HTML by small functions. Whatever is no HTML yet goes through `text`, so that nobody's words become markup."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import NewType

from client.render_values import clean
from client.report_files import Missing

Html = NewType("Html", str)
"""Markup of ours, with everything of others in it escaped."""


def text(words: str) -> Html:
    """Anybody's words, harmless in elements and in quoted attributes."""
    return Html(escape(clean(words), quote=True))


def tag(name: str, content: Html, kind: str = "") -> Html:
    """An element, with a class where one is named."""
    opening = f'{name} class="{escape(kind, quote=True)}"' if kind else name
    return Html(f"<{opening}>{content}</{name}>")


def joined(parts: Iterable[Html]) -> Html:
    """One after the other."""
    return Html("\n".join(parts))


def paragraph(words: str, kind: str = "") -> Html:
    """A paragraph of anybody's words."""
    return tag("p", text(words), kind)


def missing(what: Missing) -> Html:
    """The place of something that is not there: says why."""
    return paragraph(what.why, "missing")


def verbatim(words: str) -> Html:
    """Words with their lines and blanks as they are."""
    return tag("pre", text(words.expandtabs(4)))


def typed(line: str) -> Html:
    """A command line, folded where it is too long for the page."""
    return tag("pre", text(line), "line")


def listing(heading: str, items: Sequence[str]) -> Html:
    """A headed list; nothing where there are no items."""
    if not items:
        return Html("")
    return joined([tag("h3", text(heading)), tag("ul", joined(tag("li", text(item)) for item in items))])


def facts(rows: Iterable[tuple[str, str]]) -> Html:
    """A table of names and values; rows without a value are left out."""
    lines = (Html(f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>') for name, value in rows if value)
    return _scrolling(tag("table", joined(lines), "facts"))


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """A table with a header; the first column are words, the others figures."""
    head = joined(Html(f'<th scope="col">{text(name)}</th>') for name in header)
    lines = [tag("tr", joined(tag("td", text(value)) for value in row)) for row in rows]
    return _scrolling(tag("table", joined([tag("thead", tag("tr", head)), tag("tbody", joined(lines))]), "grid"))


def _scrolling(table: Html) -> Html:
    """A table that is too wide for a phone scrolls by itself, and not the page with it."""
    return tag("div", table, "scrolls")
