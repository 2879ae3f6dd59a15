"""A headless Chromium of the machine, and a tab that notes every message and every request."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is not installed; tox -e browser has it")

from playwright.sync_api import Browser, Page, sync_playwright

PROGRAM = "chromium"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium. Without it the tests are skipped; they fail where BROWNOUT_REQUIRE names it."""
    path = shutil.which(PROGRAM)
    if path is None:
        what = "no chromium on PATH; Debian's package chromium has it"
        if PROGRAM in os.environ.get("BROWNOUT_REQUIRE", "").split(","):
            pytest.fail(what)
        pytest.skip(what)
    with sync_playwright() as playwright:
        # Chromium's own sandbox needs rights that a container, or root, does not have. The pages are our own files.
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@dataclass
class Tab:
    """A tab, what its console said, and the addresses that it asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, file: Path) -> Page:
        """Open a file, and wait until it is loaded."""
        self.page.goto(file.as_uri())
        return self.page


def tab_of(browser: Browser, *, width: int = 1280, **options: object) -> Tab:
    """A new tab with a profile of its own."""
    context = browser.new_context(viewport={"width": width, "height": 800}, **options)  # type: ignore[arg-type]
    tab = Tab(context.new_page())
    tab.page.on("console", lambda message: tab.said.append(f"{message.type}: {message.text}"))
    tab.page.on("pageerror", lambda error: tab.said.append(f"error: {error}"))
    tab.page.on("request", lambda request: tab.asked.append(request.url))
    return tab


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A tab of 1280 pixels; the test fails when its console said anything, or when it asked for anything else."""
    tab = tab_of(browser)
    yield tab
    assert tab.said == []
    assert [url for url in tab.asked if not url.startswith("file:")] == []
    tab.page.context.close()
