"""Screenshots of each page, to be looked at before a release, and compared with those looked at last.

They are kept in build/screenshots, or in the folder that DISPYCOS_SCREENSHOTS names. A picture that
is there already is what the new one is compared with: another size, or more than 1 % of other pixels,
fails the test, and the new one is kept beside it as NAME.new.png. To accept new looks, remove the folder.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Stage
from tests.helpers import ROOT, wait_until

pytestmark = [pytest.mark.long("each page at each width, theme and state"), pytest.mark.timeout(300)]

FOLDER = Path(os.environ.get("DISPYCOS_SCREENSHOTS", ROOT / "build" / "screenshots"))
WIDTHS = (320, 1280, 2560)
TOLERATED = 0.01  # share of pixels: times of day differ
PAGES = ("cluster", "node/n1", "server/s1", "tasks", "timeline", "events", "client", "about", "why")

# The share of pixels that differ, and -1 where the sizes do.
_COMPARE = """async ([one, other]) => {
    const pixels = async text => {
        const image = new Image();
        image.src = 'data:image/png;base64,' + text;
        await image.decode();
        const canvas = new OffscreenCanvas(image.width, image.height);
        const pen = canvas.getContext('2d');
        pen.drawImage(image, 0, 0);
        return pen.getImageData(0, 0, image.width, image.height);
    };
    const [a, b] = [await pixels(one), await pixels(other)];
    if (a.width !== b.width || a.height !== b.height) return -1;
    let differ = 0;
    for (let at = 0; at < a.data.length; at += 4) {
        const far = [0, 1, 2].some(part => Math.abs(a.data[at + part] - b.data[at + part]) > 24);
        differ += far ? 1 : 0;
    }
    return differ / (a.width * a.height);
}"""


class Album:
    """Takes pictures and compares them."""

    def __init__(self, compare: Callable[[str, str], float]) -> None:
        self._compare = compare
        self.faults: list[str] = []

    def take(self, page: Any, name: str) -> None:
        """One picture of what the window shows."""
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        made = page.screenshot(animations="disabled")
        path = FOLDER / f"{name.replace('/', '-')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(made)
            return
        texts = (base64.b64encode(data).decode() for data in (path.read_bytes(), made))
        share = self._compare(*texts)
        if not 0 <= share <= TOLERATED:
            path.with_suffix(".new.png").write_bytes(made)
            what = "another size" if share < 0 else f"{100 * share:.1f} % other pixels"
            self.faults.append(f"{path} was looked at; now it has {what}")


@pytest.fixture
def album(chromium: Any) -> Any:
    blank = chromium.new_page()
    made = Album(lambda one, other: blank.evaluate(_COMPARE, [one, other]))
    yield made
    blank.close()
    assert not made.faults, made.faults


@pytest.mark.row("MO-73", "MO-48", "MO-49")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_page_looks_as_it_did(
    stages: Callable[..., Stage], album: Album, theme: str, width: int
) -> None:
    options: dict[str, Any] = {"color_scheme": theme, "viewport": {"width": width, "height": 900}}
    stage = stages(6, 4)
    for number in range(12):
        short = stage.source.submit("compute", args=f"({number}, 'part')", io=number % 5 == 0)
        stage.placed(short)
        if number % 3 == 0:
            stage.source.finish(short)
        elif number == 4:
            stage.source.fail(short, "Traceback (most recent call last):\nValueError: no such row")
    page = stage.open(**options)
    for name in PAGES:
        page.goto(f"{stage.origin}/#/{name}")
        page.locator(f".page[data-page={name.partition('/')[0]}]").wait_for()
        page.wait_for_timeout(700)  # one more update: what is asked for only now is there
        album.take(page, f"{theme}-{width}/small-{name}")
    page.goto(f"{stage.origin}/#/cluster")
    stage.looking.watched.expected.append("ERR_INTERNET_DISCONNECTED")
    page.context.set_offline(True)
    page.locator("#connection-text", has_text="Stale since").wait_for()
    album.take(page, f"{theme}-{width}/stale-cluster")
    page.context.set_offline(False)
    page.locator("#connection[data-state=live]").wait_for()
    stage.running.stop("finished", "", 5.0)
    stage.looking.watched.expected.extend(("ERR_CONNECTION_REFUSED", "WebSocket connection to"))
    page.locator(".banner", has_text="This is its last state.").wait_for()
    album.take(page, f"{theme}-{width}/ended-cluster")

    empty = stages(0, 0)
    page = empty.open(**options)
    album.take(page, f"{theme}-{width}/empty-cluster")
    for name in ("tasks", "timeline"):
        page.goto(f"{empty.origin}/#/{name}")
        page.locator(f".page[data-page={name}]").wait_for()
        album.take(page, f"{theme}-{width}/empty-{name}")

    many = stages(1000, 8)
    page = many.open(**options)
    wait_until(lambda: page.wait_for_timeout(20) or page.locator("tbody tr[data-id]").count() > 10)
    album.take(page, f"{theme}-{width}/many-cluster")


@pytest.mark.row("MO-73", "MO-46", "MO-47", "MO-48")
def test_it_looks_as_it_did_under_forced_colours_without_motion_and_enlarged(
    stages: Callable[..., Stage], album: Album
) -> None:
    stage = stages(3, 2)
    stage.placed(stage.source.submit("compute"))
    views: dict[str, dict[str, Any]] = {
        "forced-colours": {"forced_colors": "active"},
        "reduced-motion": {"reduced_motion": "reduce"},
        # 400 % of a window of 1,280 pixels.
        "zoom-400": {"viewport": {"width": 320, "height": 225}, "device_scale_factor": 4},
    }
    for name, options in views.items():
        page = stage.open(**options)
        page.locator("tbody tr[data-id]").first.wait_for()
        album.take(page, f"other/{name}")
