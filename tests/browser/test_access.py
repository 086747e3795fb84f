"""Keys, focus, names, contrast: the page for everybody."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import pytest

from dispycos.httpd.files import PACKAGED
from tests.browser.conftest import Stage
from tests.helpers import ROOT, wait_until

# Machado, Oliveira, Fernandes 2009, full severity, for linear RGB.
SIGHTS = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
}
STATES = ("running", "idle", "suspended", "zombie", "failed", "ended")


def colours(theme: str) -> dict[str, str]:
    """The custom properties of a theme, from the style sheet itself."""
    text = (PACKAGED / "monitor.css").read_text(encoding="utf-8")
    start = ":root {" if theme == "dark" else "@media (prefers-color-scheme: light) {\n  :root {"
    block = text[text.index(start) :].partition("}")[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def linear(colour: str) -> list[float]:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(one: str, other: str) -> float:
    """Of two colours, as WCAG 2 has it."""
    light = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear(one), linear(other)))
    return (light[1] + 0.05) / (light[0] + 0.05)


def lab(colour: str, sight: str) -> tuple[float, float, float]:
    rgb = linear(colour)
    seen = [min(1.0, max(0.0, sum(a * b for a, b in zip(row, rgb, strict=True)))) for row in SIGHTS[sight]]
    white = (0.9505, 1.0, 1.089)
    rows = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(a * b for a, b in zip(row, seen, strict=True)) / w for row, w in zip(rows, white, strict=True)]
    f = [value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in xyz]
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


@pytest.mark.row("MO-47")
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_and_marks_stand_out(theme: str) -> None:
    own = colours(theme)
    for ground in ("ground", "panel", "raised"):
        for text in ("text", "quiet", "bad"):
            assert contrast(own[text], own[ground]) >= 4.5, (text, ground)
    for mark in (*STATES, "accent", "edge"):
        assert contrast(own[mark], own["panel"]) >= 3.0, mark
    assert contrast(own["on-accent"], own["accent"]) >= 4.5


@pytest.mark.row("MO-47")
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("sight", list(SIGHTS))
def test_the_six_states_stay_apart(theme: str, sight: str) -> None:
    own = colours(theme)
    for one, other in itertools.combinations(STATES, 2):
        away = (
            sum((a - b) ** 2 for a, b in zip(lab(own[one], sight), lab(own[other], sight), strict=True))
            ** 0.5
        )
        assert away >= 14, (one, other, round(away, 1))


@pytest.mark.row("MO-47", "MO-45")
def test_a_theme_that_is_chosen_goes_before_the_systems(stage: Stage) -> None:
    page = stage.open(color_scheme="dark")
    ground = "getComputedStyle(document.documentElement).getPropertyValue('--ground')"
    for system in ("dark", "light"):
        page.emulate_media(color_scheme=system)
        assert page.evaluate(ground) == colours(system)["ground"]
        for theme in ("light", "dark", "system"):
            page.get_by_role("button", name="Theme").click()
            page.get_by_role("button", name=f"Theme: {theme}").wait_for()
            assert page.evaluate(ground) == colours(system if theme == "system" else theme)["ground"]


@pytest.mark.row("MO-07", "MO-38", "MO-41")
def test_the_page_is_small_plain_and_its_own() -> None:
    modules = sorted(PACKAGED.glob("*.js"))
    for module in modules:
        lines = module.read_text(encoding="utf-8").splitlines()
        assert len(lines) < 400, module.name
        source = "\n".join(lines)
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source
        ), module
        assert "://" not in source.replace("http://www.w3.org/2000/svg", "").replace(
            "chrome://tracing", ""
        ), module
    pictures = ("canvas.js", "chart.js", "grid.js", "timeline.js")
    drawn = [line.strip() for name in pictures for line in (PACKAGED / name).read_text().splitlines()]
    assert (
        len([line for line in drawn if line and not line.startswith(("/*", "*", "//", "import", "}"))]) < 800
    )
    index = (PACKAGED / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(.*?)>", index) == [' type="module" src="main.js"']


@pytest.mark.row("MO-76")
def test_what_the_page_needs_of_a_browser_is_documented() -> None:
    table = (ROOT / "docs" / "monitor-wire.md").read_text(encoding="utf-8").partition("## The page")[2]
    features = re.findall(r"^\| `(.+?)` \| [\d.]+ \|", table, re.MULTILINE)
    source = "".join(path.read_text(encoding="utf-8") for path in PACKAGED.glob("*.js"))
    assert len(features) >= 7
    assert [name for name in features if name not in source] == []
    # Newer than those of the table, or of one engine only.
    newer = r"toSorted|toReversed|groupBy\(|withResolvers|fromAsync|structuredClone|startViewTransition|\bwebkit|\bmoz[A-Z]|chrome\."
    assert re.findall(newer, source) == []


@pytest.mark.row("MO-07")
def test_the_first_view_takes_few_requests_and_bytes(stage: Stage) -> None:
    page = stage.looking.blank()
    asked: list[str] = []
    sizes: list[int] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.goto(stage.link)
    page.locator("tbody tr[data-id]").first.wait_for()
    # The rest is fetched when the first view stands.
    later = {
        f"{name}.js"
        for name in (
            "places",
            "tasks",
            "timeline",
            "records",
            "lending",
            "why",
            "report",
            "help",
            "dialog",
            "actions",
        )
    }
    first = [url for url in asked if url.rpartition("/")[2] not in later]
    assert len(first) < 20, first
    for url in first:
        path = PACKAGED / (url.removeprefix(stage.origin).strip("/") or "index.html")
        if path.is_file():
            sizes.append(path.stat().st_size)
    assert len(sizes) >= 15
    assert sum(sizes) < 150_000


@pytest.mark.row("MO-51", "MO-72")
def test_everything_is_reached_by_keys(stage: Stage) -> None:
    page = stage.open()
    page.locator("tbody tr[data-id]").nth(1).wait_for()
    focused = "document.activeElement.closest('tr')?.dataset.id ?? ''"
    page.keyboard.press("j")
    first = page.evaluate(focused)
    page.keyboard.press("j")
    second = page.evaluate(focused)
    assert first and second and first != second
    page.keyboard.press("k")
    assert page.evaluate(focused) == first
    page.keyboard.press("Enter")
    page.locator("h1", has_text="Node 10.").wait_for()
    for key, heading in (
        ("s", "Server"),
        ("t", "Tasks"),
        ("l", "Timeline"),
        ("e", "Events"),
        ("n", "Node"),
        ("c", "Cluster"),
    ):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.get_by_role("heading", level=1, name=heading, exact=True).wait_for()
    page.keyboard.press("/")
    page.keyboard.type("10.0.0.1")  # keys are off in inputs
    page.keyboard.press("Enter")
    page.locator("h1", has_text="Node 10.0.0.1").wait_for()
    page.keyboard.press("p")
    assert page.get_by_role("button", name="Paused").get_attribute("aria-pressed") == "true"
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys and meanings").wait_for()
    page.get_by_label("Keys are on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    assert page.get_by_role("button", name="Paused").get_attribute("aria-pressed") == "true"


@pytest.mark.row("MO-50", "MO-51", "MO-72")
def test_each_control_has_a_name_and_a_visible_focus(stage: Stage) -> None:
    stage.source.submit("compute")
    page = stage.open()
    nameless = """() => [...document.querySelectorAll('button,a[href],input,select,canvas,summary')].filter(one =>
        one.checkVisibility() && !(one.innerText?.trim() || one.getAttribute('aria-label') || one.labels?.length)).map(one => one.outerHTML)"""
    focused = """() => { const one = document.activeElement; if (one === document.body) return 'body';
        const style = getComputedStyle(one); return style.outlineStyle !== 'none' || one.matches('dialog,main') ? '' : one.outerHTML }"""

    def walk() -> None:
        """From where the focus is to the end of the page."""
        for _ in range(100):
            page.keyboard.press("Tab")
            seen = page.evaluate(focused)
            if seen == "body":
                return
            assert seen == "", (path, seen)
        pytest.fail(f"{path} has no last control")

    for path in ("cluster", "node/n1", "server/s1", "tasks", "timeline", "events"):
        page.goto(f"{stage.origin}/#/{path}")
        page.locator(f".page[data-page={path.partition('/')[0]}] *").first.wait_for()
        wait_until(lambda: page.evaluate(nameless) == [], what="every control to have a name")
        walk()  # the focus was in the new page's head
    walk()  # what stands before it is the same for all


@pytest.mark.row("MO-39", "MO-43", "MO-52")
def test_rows_stay_the_same_elements_and_their_order_is_held(stages: Callable[..., Stage]) -> None:
    stage = stages(6, 2)
    page = stage.open()
    page.locator("tbody tr[data-id]").nth(5).wait_for()
    page.locator("th[data-column=name] button").click()
    page.evaluate(
        "globalThis.rows = new Map([...document.querySelectorAll('tbody tr[data-id]')].map(row => [row.dataset.id, row]))"
    )
    order = "[...document.querySelectorAll('tbody tr[data-id]')].map(row => row.dataset.id).join()"
    wait_until(lambda: page.evaluate(order) == "n1,n2,n3,n4,n5,n6")
    page.keyboard.press("p")
    page.locator("tr[data-id=n6]").focus()
    stage.source.rename(stage.source.nodes[5], "aardvark")
    page.locator("td", has_text="aardvark").wait_for()  # values go on
    page.locator(".held", has_text="held, press r").wait_for()
    assert page.evaluate(order) == "n1,n2,n3,n4,n5,n6"
    page.keyboard.press("r")
    wait_until(lambda: page.evaluate(order) == "n6,n1,n2,n3,n4,n5")
    assert page.locator(".held").is_hidden()
    assert page.evaluate("document.activeElement.dataset.id") == "n6"
    assert page.evaluate(
        "[...document.querySelectorAll('tbody tr[data-id]')].every(row => rows.get(row.dataset.id) === row)"
    )


@pytest.mark.row("MO-40", "MO-50")
def test_a_long_table_has_few_elements_and_says_how_long_it_is(stage: Stage) -> None:
    for number in range(400):
        stage.source.submit(f"compute_{number}")
    page = stage.open("tasks")
    table = page.locator("table").first
    wait_until(lambda: table.get_attribute("aria-rowcount") == "401")
    assert page.locator("tbody tr[data-id]").count() <= 60
    page.locator(".table-box").evaluate("box => box.scrollTop = box.scrollHeight")
    page.locator("tr[aria-rowindex='401']").wait_for()
    assert page.locator("tbody tr[data-id]").count() <= 61


@pytest.mark.row("MO-40", "MO-75")
def test_many_rows_are_sorted_in_slices(stage: Stage) -> None:
    page = stage.open()
    code = """async () => {
        const { sortInSlices } = await import('./order.js');
        const rows = Array.from({length: 100000}, (_, id) => ({id, key: (id * 7919) % 100003}));
        const slices = sortInSlices(rows, row => row.key, false);
        let count = 0;
        for (;;) { const {done, value} = slices.next(); if (done) return [count, value.every((row, at) => !at || value[at - 1].key <= row.key), value.length]; count += 1; }
    }"""
    slices, right, length = page.evaluate(code)
    assert right and length == 100_000
    assert slices > 20


@pytest.mark.row("MO-75", "MO-20")
def test_filters_and_formats_are_what_they_say(stage: Stage) -> None:
    page = stage.open()
    code = """async () => {
        const { terms, passes, byNumber, compare } = await import('./order.js');
        const { bytes, duration, count, percent, printable } = await import('./format.js');
        const fits = (text, row) => passes(terms(text), row);
        const row = {name: 'resize', state: 'timed out', node: '10.0.0.3:9708', reason: 'No Such'};
        return {
            fits: [fits('state:failed,timed name:size', row), fits('node:10.0.0.3 such', row), fits('"no such"', row), fits('', row)],
            not: [fits('state:out', row), fits('name:foo', row), fits('color:red', row), fits('x state:timed', row)],
            order: ['10.0.0.10', '9.9.9.9', '10.0.0.9'].sort((a, b) => compare(byNumber(a), byNumber(b), 1)),
            last: [3, null, 5].sort((a, b) => compare(a, b, -1)),
            texts: [bytes(1536), bytes(null), duration(0.0012), duration(61), duration(90061), count(1234567), percent(12.6), printable('\\u202e\\u0007')],
        };
    }"""
    said = page.evaluate(code)
    assert said["fits"] == [True] * 4
    assert said["not"] == [False] * 4
    assert said["order"] == ["9.9.9.9", "10.0.0.9", "10.0.0.10"]
    assert said["last"] == [5, 3, None]
    assert said["texts"] == [
        "1.5 KiB",
        "–",
        "1 ms",
        "1 min 01 s",
        "1 d 01 h",
        "1,234,567",
        "13 %",
        "\\u202e\u2407",
    ]


@pytest.mark.row("MO-31", "MO-39", "MO-75")
def test_the_store_applies_differences_and_finds_gaps(stage: Stage) -> None:
    page = stage.open()
    code = """async () => {
        const { Store } = await import('./store.js');
        const store = new Store();
        store.want(['cluster', 'node/n1']);
        const snapshot = {type: 'snapshot', topic: 'cluster', to: 3, columns: {node: ['name', 'state']}, rows: {n1: ['a', 'x'], n2: ['b', 'x']}};
        store.apply(snapshot);
        store.apply({...snapshot, topic: 'node/n1', rows: {n1: ['a', 'x']}});
        const fit = store.apply({type: 'delta', topic: 'cluster', from: 3, to: 5, changes: [{fields: ['state'], rows: {n2: ['y']}}], gone: ['n1']});
        const kept = store.row('n1') !== null;
        store.apply({type: 'tick', seq: 6, time: 0});
        const gap = store.apply({type: 'delta', topic: 'cluster', from: 4, to: 7, changes: []});
        const ignored = store.apply({type: 'delta', topic: 'cluster', from: 7, to: 8, changes: [{fields: ['name'], rows: {n9: ['late']}}]});
        store.want(['cluster']);
        return [fit, kept, store.row('n2').state, gap, ignored, store.row('n9'), store.row('n1'), store.since];
    }"""
    assert page.evaluate(code) == [None, True, "y", "cluster", None, None, None, -1]


@pytest.mark.row("MO-48", "MO-46")
def test_a_narrow_page_has_cards_and_large_targets_and_motion_can_be_off(stage: Stage) -> None:
    page = stage.open(viewport={"width": 320, "height": 900}, reduced_motion="reduce")
    page.locator("tbody tr[data-id]").first.wait_for()
    assert page.locator("tbody tr[data-id]").first.evaluate("row => getComputedStyle(row).display") == "grid"
    small = """() => [...document.querySelectorAll('button,select,input:not([type=checkbox])')].filter(one =>
        one.checkVisibility({visibilityProperty: true}) && one.getBoundingClientRect().width > 1 && one.getBoundingClientRect().height < 44 && !one.closest('thead')).map(one => one.outerHTML)"""
    assert page.evaluate(small) == []
    assert page.locator(".dot").evaluate("dot => getComputedStyle(dot).animationName") == "none"
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Tasks").click()
    page.get_by_role("heading", name="Tasks", level=1).wait_for()


@pytest.mark.row("MO-52")
def test_listeners_hear_of_failures_and_not_of_every_tick(stage: Stage) -> None:
    page = stage.open()
    page.evaluate("""() => { globalThis.heard = []; new MutationObserver(() => heard.push(document.getElementById('polite').textContent))
        .observe(document.getElementById('polite'), {childList: true, characterData: true, subtree: true}) }""")
    short = stage.source.submit("compute", io=True)
    stage.placed(short)
    stage.source.fail(short, "ValueError: no")
    wait_until(lambda: page.evaluate("heard"))
    stage.source.nodes[1].silent_until = float("inf")
    stage.source.nodes[1].state = "zombie"
    page.locator("[data-figure=nodes_zombie]").wait_for()
    assert page.evaluate("heard") == ["1 task failed."]
