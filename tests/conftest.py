"""What holds for every test: validation on, own home, nothing left behind, skips counted."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from tests import helpers

# No test asserts how long anything took: machines pause when they please.
hypothesis.settings.register_profile("dispycos", deadline=None)
hypothesis.settings.load_profile("dispycos")

# Before any test imports dispycos. Each machine checks its invariants after each event.
os.environ["DISPYCOS_VALIDATE"] = "1"
os.environ[helpers.RUN_MARK] = uuid.uuid4().hex

# Tests never see the user's key or settings, and leave none.
_home = tempfile.mkdtemp(prefix="dispycos-test-home-")
os.environ["XDG_CONFIG_HOME"] = os.path.join(_home, "config")
for _name in [name for name in os.environ if name.startswith(("DISPYCOS_SECRET", "DISPYCOS_CHAOS"))]:
    del os.environ[_name]

# Folders whose tests hold real descriptors, threads and processes.
_CHECKED = {"io", "process", "chaos", "netns", "browser"}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("dispycos")
    group.addoption("--long", action="store_true", help="also run the tests marked long")
    group.addoption("--repeat", type=int, default=1, metavar="N", help="run each test N times (R-66)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    count = metafunc.config.getoption("--repeat")
    if count > 1:
        metafunc.fixturenames.append("_repetition")
        metafunc.parametrize("_repetition", range(count))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # What looks at every file of ours reads them once, if one worker has it all: that of the first tests.
    items.sort(key=lambda item: item.path.parent != helpers.ROOT / "tests")
    if config.getoption("--long"):
        return
    for item in items:
        if mark := item.get_closest_marker("long"):
            if len(mark.args) != 1:
                raise pytest.UsageError(f"{item.nodeid} is marked long without a reason: say long(why)")
            item.add_marker(pytest.mark.skip(reason=f"long: {mark.args[0]}; --long runs it"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without the collector of garbage: thousands of tests are made, and none of them is garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        # Nor does any later collection look at them, which a good part of the tests force.
        gc.freeze()
        gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    # uvloop keeps one pipe for signals as long as the process lives: not the first test's leftover.
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.new_event_loop().close()


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(_home, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:  # pragma: no cover - typed loosely, pytest calls it
    report = yield
    # However a test skips: what DISPYCOS_REQUIRE names may not be missing.
    if report.skipped and not hasattr(report, "wasxfail"):
        word = _reason(report).partition(":")[0]
        if word in helpers.required():
            report.outcome = "failed"
            report.longrepr = f"required by DISPYCOS_REQUIRE, but skipped: {_reason(report)}"
    return report


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line that counts what was skipped and why (R-60)."""
    skipped = terminalreporter.stats.get("skipped", [])
    counts = Counter(_reason(report) for report in skipped)
    reasons = "; ".join(f"{count} {reason}" for reason, count in counts.most_common())
    terminalreporter.write_line(f"skipped {len(skipped)} in all: {reasons}" if counts else "skipped none")


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No thread, process, descriptor or socket more than before the test (R-64)."""
    if not _CHECKED & set(request.node.path.parts[len(helpers.ROOT.parts) : -1]):
        yield
        return
    before = helpers.census()
    yield
    for when in ("setup", "call"):
        for record in caplog.get_records(when):
            # What was logged is kept until the test is over, and tasks and tracebacks lead to everything.
            record.msg, record.args, record.exc_info = record.getMessage(), None, None
    left = helpers.leftovers(before)
    if left:
        pytest.fail("the test left behind: " + "; ".join(left), pytrace=False)


@pytest.fixture
def run_python() -> Callable[..., helpers.Finished]:
    """`code, out, err = run_python("file.py" or "source\\n", *args, timeout=, env=, cwd=, input=)`."""
    return helpers.run_python
