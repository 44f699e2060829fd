"""Programs that some tests look with, and the one way to do without them: CI, which installs them, never does."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import BrowserContext, async_playwright

QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def needed(*names: str) -> str:
    """The program's path, by the first of its names. Where there is none the test is skipped, and in CI failed."""
    for name in names:
        if path := shutil.which(name):
            return path
    if os.environ.get("CI"):
        pytest.fail(f"CI installs {names[0]}, and it is not on PATH")
    pytest.skip(f"{names[0]} is not on PATH")


@asynccontextmanager
async def chromium(reached: str | None = None, **options: Any) -> AsyncIterator[BrowserContext]:
    """A real browser without a window on the screen. It finds no host, but for `reached`."""
    program = needed("chromium", "chromium-browser", "google-chrome")
    but = f", EXCLUDE {reached}" if reached else ""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=program,
            args=[*QUIET, f"--host-resolver-rules=MAP * ~NOTFOUND{but}"],
            chromium_sandbox=False,
        )
        yield await started.new_context(locale="en-US", timezone_id="UTC", color_scheme="light", **options)
        await started.close()
