"""The pages as a real browser shows them: nothing is asked of anybody, nothing fails, and every plot has data."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from client.report import report
from client.report_data import gather
from client.report_page import write
from settings import PROJECT

from .conftest import Browser, Command
from .cycles import House

WIDTHS = (360, 900, 1400)
PLOTS = {"cycle-real": 9, "cycle-service": 4}
"""Of the whole one: equity, trades, months, Sharpe, two gates, learning, a fuzzy set, tokens."""

TEXT_OF_THE_PAGE = (
    "plots.every(plot => plot.layout.font.color === "
    "getComputedStyle(document.documentElement).getPropertyValue('--text').trim())"
)


async def test_a_whole_report_fits_every_width_and_its_plots_have_data(
    pages: dict[str, Path], browser: Browser, home: House, tmp_path: Path, request: pytest.FixtureRequest
):
    await browser.open(pages["cycle-real"], WIDTHS[0])
    for width in WIDTHS:
        await browser.resize(width)
        assert await browser.overflow() == 0, width

    points = await browser.points()
    assert len(points) == PLOTS["cycle-real"]
    assert min(points) > 0
    assert browser.trouble == []
    if request.config.getoption("keep_screenshots"):
        await keep_picture(home, browser, tmp_path)


async def keep_picture(home: House, browser: Browser, folder: Path) -> None:
    """The beginning of the same report, of a cycle whose brief is one that people have."""
    material = await gather(home.settings, "cycle-real")
    asked = material.cycle.request.model_copy(update={"brief": "Does the direction of the last bars hold?"})
    told = {"cycle_id": "cycle-20260301-120000-ab12", "tokens": 0, "usage": {}, "cost_usd": Decimal(0)}
    cycle = material.cycle.model_copy(update={"request": asked, **told})
    shown = replace(material, view=material.view.model_copy(update={"cycle": cycle}))
    write(folder / "report.html", report(shown))
    await browser.page.emulate_media(media="screen", color_scheme="light")
    await browser.open(folder / "report.html", 1000)
    await browser.page.screenshot(
        path=PROJECT / "docs" / "report.png", clip={"x": 0, "y": 0, "width": 1000, "height": 2520}, full_page=True
    )


async def test_a_report_of_parts_has_their_plots_and_follows_the_readers_colours_and_paper(
    pages: dict[str, Path], browser: Browser
):
    await browser.open(pages["cycle-service"], WIDTHS[0])

    points = await browser.points()
    assert len(points) == PLOTS["cycle-service"]
    assert min(points) > 0
    assert await browser.overflow() == 0
    await browser.page.emulate_media(color_scheme="dark")
    await browser.until(TEXT_OF_THE_PAGE)
    assert await browser.page.evaluate("document.querySelector('.plot').layout.font.color") == "#e6e9ed"
    await browser.page.emulate_media(media="print")
    await browser.until(TEXT_OF_THE_PAGE)
    assert await browser.page.evaluate("document.querySelector('.plot').layout.font.color") == "#1b1f24"
    await browser.resize(794)
    assert await browser.overflow() == 0
    assert browser.trouble == []


async def test_a_report_without_plots_is_quiet(pages: dict[str, Path], browser: Browser):
    await browser.open(pages["cycle-cancelled"], WIDTHS[0])

    assert await browser.points() == []
    assert await browser.overflow() == 0
    assert browser.trouble == []


async def test_the_leaderboard_sorts_and_leads_to_the_reports(
    pages: dict[str, Path], command: Command, browser: Browser, tmp_path: Path
):
    board = tmp_path / "board.html"
    assert command("leaderboard", "--sort", "sharpe", "--html", str(board)).code == 0

    await browser.open(board, WIDTHS[0])
    assert await browser.overflow() == 0
    assert all(await browser.points())
    cycles = browser.page.locator("tbody td:last-child")
    assert await cycles.all_inner_texts() == ["cycle-real", "cycle-service"]
    sharpe = browser.page.get_by_role("button", name="Sharpe")
    await sharpe.click()
    await sharpe.click()
    assert await cycles.all_inner_texts() == ["cycle-service", "cycle-real"]

    link = await cycles.locator("a").first.evaluate("link => link.href")
    assert link == pages["cycle-service"].as_uri()
    assert browser.trouble == []
