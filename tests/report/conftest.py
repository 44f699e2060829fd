"""A home with cycles, the command on it, and a browser that reaches nothing but the page itself."""

import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from client.main import run
from tests.client.conftest import Ran
from tests.report.cycles import House, house

if TYPE_CHECKING:
    from playwright.async_api import ConsoleMessage, Page, Route

Command = Callable[..., Ran]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> House:
    """The recorded cycles, for all tests of the room: one of them was really trained."""
    return house(tmp_path_factory.mktemp("reports"))


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
    """A page, what it asked for beside itself, and what went wrong on it."""

    page: "Page"
    elsewhere: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    async def open(self, path: Path, width: int) -> None:
        """Show a file at this width, and wait until its plots are drawn."""
        await self.page.set_viewport_size({"width": width, "height": 900})
        await self.page.goto(path.as_uri())
        await self.page.wait_for_function(
            "[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg'))"
        )

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

    @property
    def trouble(self) -> list[str]:
        """Everything that should not have happened."""
        return [*self.elsewhere, *self.errors, *self.dialogs]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[object]:
    """A real browser without a window."""
    api = pytest.importorskip("playwright.async_api")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium is on PATH")
    quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    quiet += ["--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND"]
    async with api.async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=program, args=quiet, chromium_sandbox=False)
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(chromium) -> AsyncIterator[Browser]:
    """A fresh window of it."""
    context = await chromium.new_context(locale="en-US", timezone_id="UTC", color_scheme="light")
    page = await context.new_page()
    opened = Browser(page)

    async def itself_alone(route: "Route") -> None:
        if route.request.is_navigation_request() and route.request.url.startswith("file:"):
            await route.continue_()
        else:
            opened.elsewhere.append(route.request.url)
            await route.abort()

    def heard(message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            opened.errors.append(message.text)

    await context.route("**/*", itself_alone)
    page.on("console", heard)
    page.on("pageerror", lambda error: opened.errors.append(str(error)))
    page.on("dialog", lambda dialog: opened.dialogs.append(dialog.message))
    yield opened
    await context.close()
