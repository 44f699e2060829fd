"""A home with cycles, the command on it, and a browser that reaches nothing but the page itself."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import ConsoleMessage, Dialog, Page, Route

from client.main import run
from tests.programs import chromium
from tests.ran import Command, Ran
from tests.report.cycles import House, house


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> House:
    """The recorded cycles, for all tests of the room: one of them was really trained."""
    return house(tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="session")
def pages(home: House) -> dict[str, Path]:
    """The report of each recorded cycle, where the command puts it."""
    return {name: page_of(home, name) for name in home.cycles if home.cycles[name].outcome}


def page_of(home: House, name: str) -> Path:
    assert run([*home.flags, "report", name]) == 0
    return home.settings.home / "reports" / f"{name}.html"


@pytest.fixture
def command(home: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """`research` on that home, where no server can be reached."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)

    def call(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run([*home.flags, *arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@dataclass
class Browser:
    """A page. trouble: what it asked for beside itself, and all else that should not have happened."""

    page: Page
    trouble: list[str] = field(default_factory=list)

    async def open(self, path: Path, width: int) -> None:
        """Show a file at this width, and wait until its plots are drawn."""
        await self.page.set_viewport_size({"width": width, "height": 900})
        await self.page.goto(path.as_uri())
        await self.until("plots.every(plot => plot.querySelector('.main-svg'))")

    async def resize(self, width: int) -> None:
        """Another width, once the plots have followed it."""
        await self.page.set_viewport_size({"width": width, "height": 900})
        follows = "Math.abs(plot.clientWidth - plot.querySelector('.main-svg').clientWidth) < 2"
        await self.until(f"innerWidth === {width} && plots.every(plot => {follows})")

    async def until(self, holds: str) -> None:
        """Wait for a condition on the page and its plots, frame by frame. The page lets nobody evaluate text."""
        plots = "[...document.querySelectorAll('.plot')]"
        frame = "await new Promise(requestAnimationFrame)"
        async with asyncio.timeout(60):
            await self.page.evaluate(f"async () => {{ const plots = {plots}; while (!({holds})) {frame}; }}")

    async def points(self) -> list[int]:
        """How many points each plot has."""
        found: list[int] = await self.page.evaluate(
            """[...document.querySelectorAll('.plot')].map(plot => plot.data
                .flatMap(trace => trace.z ? trace.z.flat() : [...trace.x]).filter(value => value !== null).length)"""
        )
        return found

    async def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        wider: int = await self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return max(wider, 0)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def window() -> AsyncIterator[Browser]:
    """A real browser without a window on the screen, kept for all pages: it knows the plots' library."""
    async with chromium() as context:
        page = await context.new_page()
        opened = Browser(page)

        async def itself_alone(route: Route) -> None:
            if route.request.is_navigation_request() and route.request.url.startswith("file:"):
                await route.continue_()
            else:
                opened.trouble.append(f"asks for {route.request.url}")
                await route.abort()

        async def alerted(dialog: Dialog) -> None:
            opened.trouble.append(f"dialog: {dialog.message}")
            await dialog.dismiss()

        def heard(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                opened.trouble.append(message.text)

        await context.route("**/*", itself_alone)
        page.on("console", heard)
        page.on("pageerror", lambda error: opened.trouble.append(str(error)))
        page.on("dialog", alerted)
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def browser(window: Browser) -> Browser:
    """The browser, in daylight and with nothing held against it."""
    await window.page.emulate_media(media="screen", color_scheme="light")
    window.trouble.clear()
    return window
