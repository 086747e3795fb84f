"""A real browser, and monitors for it to look at.

Debian's chromium is driven by the playwright package; nothing is downloaded. Whatever a page writes to
the console as an error, throws, is refused by its own policy, asks of another host, or is answered
with an error that the test did not expect, fails the test (MO-67, MO-68).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest

from dispycos.httpd import running
from dispycos.httpd.files import PACKAGED
from dispycos.httpd.running import Running
from tests import helpers
from tests.browser.feed import SyntheticSource
from tests.helpers import unavailable, wait_until

WIDTH, HEIGHT = 1280, 900
TIMEOUT = 30_000  # milliseconds that a page may take for one step
_MODULES = """wanted => performance.getEntriesByType('resource')
    .filter(one => one.name.endsWith('.js') && one.responseEnd).length >= wanted"""


def _installed() -> str | None:
    """Chromium without windows where there is one: it takes a third less of the processor."""
    return shutil.which("chromium-headless-shell") or shutil.which("chromium")


def _missing() -> str:
    """Why there can be no browser here; "" if there can."""
    if _installed() is None:
        return "no chromium on the path (Debian: apt-get install chromium-headless-shell fonts-dejavu-core)"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError as error:
        return f"{error} (pip install playwright)"
    return ""


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """The browser, started once for this folder in each worker."""
    missing = _missing()
    if missing:
        unavailable("browser", missing)
    from playwright.sync_api import sync_playwright

    arguments = [
        "--host-resolver-rules=MAP evil.test 127.0.0.1",
        "--disable-features=SpareRendererForSitePerProcess",
    ]
    if os.getuid() == 0:
        arguments.append("--no-sandbox")  # chromium refuses to run as root with one
    before = psutil.Process().children()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_installed(), args=arguments)
        # When its helper processes come and go is its own affair.
        driver = {child.pid for child in psutil.Process().children() if child not in before}
        helpers.lasting.update(driver)
        yield browser
        browser.close()
    helpers.lasting.difference_update(driver)


@pytest.fixture(scope="package")
def profile(chromium: Any) -> Any:
    """What the first page of each test shares: a page that stays open keeps what the next one needs warm.

    Each monitor has a port of its own, so no page finds what another one stored.
    """
    context = chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    context.set_default_timeout(TIMEOUT)
    context.new_page()
    return context


@dataclass
class Watched:
    """What pages did that they must not do."""

    faults: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)  # parts of texts that are no fault in this test

    def note(self, text: str) -> None:
        if not any(part in text for part in self.expected):
            self.faults.append(text)


@dataclass
class Looking:
    """Opens pages at a monitor, each like a browser of its own."""

    chromium: Any
    profile: Any
    origin: str
    watched: Watched
    contexts: list[Any] = field(default_factory=list)
    pages: list[Any] = field(default_factory=list)  # of the profile

    def open(self, link: str, path: str = "", **options: Any) -> Any:
        """A page that is logged in by that link, at `#/path`, and has something to show."""
        page = self.blank(**options)
        page.goto(link)
        page.locator("body:not(.out)").wait_for()
        # All of its modules are there, too: from now on it needs nothing but the data.
        page.wait_for_function(_MODULES, arg=len(list(PACKAGED.glob("*.js"))))
        if path:
            page.goto(f"{self.origin}/#/{path}")
            page.locator(f".page[data-page={path.partition('/')[0]}]").wait_for()
        return page

    def blank(self, **options: Any) -> Any:
        """A page that has opened nothing yet. With options, or beside another, it is a browser of its own."""
        if options or self.pages:
            context = self.chromium.new_context(**{"viewport": {"width": WIDTH, "height": HEIGHT}, **options})
            context.set_default_timeout(TIMEOUT)
            self.contexts.append(context)
            page = context.new_page()
        else:
            page = self.profile.new_page()
            self.pages.append(page)
        note = self.watched.note
        page.on("console", lambda said: note(f"console: {said.text}") if said.type == "error" else None)
        page.on("pageerror", lambda error: note(f"thrown: {error}"))
        page.on(
            "request",
            lambda request: note(f"request to {request.url}") if self._foreign(request.url) else None,
        )
        page.on(
            "response", lambda answer: note(f"{answer.status} {answer.url}") if answer.status >= 400 else None
        )
        return page

    def close(self) -> None:
        """Close every page."""
        while self.contexts:
            self.contexts.pop().close()
        if self.pages:
            for page in self.profile.pages[1:]:  # and those that were opened from it
                page.close()
            self.pages.clear()

    def _foreign(self, url: str) -> bool:
        here = (self.origin, self.origin.replace("http", "ws", 1), "data:", f"blob:{self.origin}")
        return not url.startswith(here)


@pytest.fixture
def looking(chromium: Any, profile: Any) -> Iterator[Callable[[str], Looking]]:
    """`looking(origin)`: opens pages there; what they did wrong fails the test at its end."""
    made: list[Looking] = []

    def look(origin: str) -> Looking:
        made.append(Looking(chromium, profile, origin, Watched()))
        return made[-1]

    yield look
    for one in made:
        one.close()
    faults = [fault for one in made for fault in one.watched.faults]
    assert not faults, faults


@dataclass
class Stage:
    """A monitor of a cluster that does only what the test says."""

    source: SyntheticSource
    running: Running
    looking: Looking

    @property
    def link(self) -> str:
        return self.running.link

    @property
    def viewer_link(self) -> str:
        return self.running.viewer_link

    @property
    def origin(self) -> str:
        return self.running.binding.url

    def open(self, path: str = "", *, viewer: bool = False, **options: Any) -> Any:
        """A page that is logged in, as operator or viewer, at `#/path`."""
        return self.looking.open(self.viewer_link if viewer else self.link, path, **options)

    def placed(self, short: int) -> str:
        """The location of the server that has that task."""

        def there() -> str:
            tasks = (task for task in list(self.source._live.values()) if task.number & 0xFFFFFFFF == short)
            found = next((task.server for task in tasks if task.server is not None), None)
            return found.location if found else ""

        return wait_until(there, what=f"task {short} to be at a server")


@pytest.fixture
def stages(looking: Callable[[str], Looking]) -> Iterator[Callable[..., Stage]]:
    """`stages(nodes, servers, rate=0)`: a monitor of so many nodes, with so many servers each."""
    made: list[Stage] = []

    def make(nodes: int, servers: int, rate: float = 0.0) -> Stage:
        source = SyntheticSource(nodes, servers, rate, churn=False)
        monitor = running.run(source, host=None, port=0)
        made.append(Stage(source, monitor, looking(monitor.binding.url)))
        return made[-1]

    yield make
    for stage in made:
        # Pages go first: they would say that nobody answers them.
        stage.looking.close()
        stage.running.thread.stop("finished", "", 0.0)


@pytest.fixture
def stage(stages: Callable[..., Stage]) -> Stage:
    """2 nodes of 2 servers; nothing happens by itself but pulses."""
    return stages(2, 2)
