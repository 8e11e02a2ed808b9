"""A real browser for tests of pages: Chromium without a screen, through Playwright.

Screenshots go to the folder that ``DASDIST_SCREENSHOTS`` names, else to that of the test.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Browser", "launched"]

_OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")


class Browser:
    """A browser and a folder for screenshots."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    @contextmanager
    def page(self, url: str) -> Iterator["Page"]:
        """Open a page of a dashboard; what goes wrong in it fails the test when it is left."""
        with self._browser.new_context(viewport={"width": 1400, "height": 1000}) as context:
            page = Page(context.new_page())
            page.tab.goto(url)
            page.settle()
            yield page
            assert page.wrong == []


class Page:
    """A tab, and what went wrong in it."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab
        self.wrong: list[str] = []
        tab.on("console", self._said)
        tab.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        tab.on("response", self._answered)
        tab.on("request", self._asked)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{message.type}: {message.text}")

    def _answered(self, response: Any) -> None:
        if response.status >= 400:
            self.wrong.append(f"{response.status}: {response.url}")

    def _asked(self, request: Any) -> None:
        here = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
        if not request.url.startswith(here):
            self.wrong.append(f"asked for {request.url}")

    def settle(self) -> None:
        """Wait until all is drawn."""
        self.until("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")

    def until(self, condition: str) -> None:
        """Wait until a condition in JavaScript holds."""
        self.tab.wait_for_function(condition, timeout=120_000)

    def say(self, code: str) -> Any:
        """Return what JavaScript says."""
        return self.tab.evaluate(code)

    def point_at(self, plot: str, x: float, y: float) -> None:
        """Move the mouse to a place in the coordinates of a plot."""
        at = self.say(
            f"""(() => {{
                const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name('{plot}'));
                const box = view.canvas_view.el.getBoundingClientRect();
                return [box.x + view.frame.x_scale.compute({x}),
                        box.y + view.frame.y_scale.compute({y})];
            }})()"""
        )
        self.tab.mouse.move(at[0] - 1, at[1])
        self.tab.mouse.move(*at)

    def shoot(self, name: str, folder: Path) -> None:
        """Keep a screenshot."""
        kept = Path(os.environ.get("DASDIST_SCREENSHOTS") or folder)
        kept.mkdir(parents=True, exist_ok=True)
        self.tab.screenshot(path=str(kept / f"{name}.png"), full_page=True)


@contextmanager
def launched() -> Iterator[Browser]:
    """Start the browser, or skip the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=list(_OPTIONS))
        try:
            yield Browser(browser)
        finally:
            browser.close()
