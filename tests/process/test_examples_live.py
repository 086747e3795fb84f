"""Examples of tasks that tell what they find while they run."""

from __future__ import annotations

import re
import statistics
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.process.examples import LOCATION, parsed, run


def collatz_steps(n: int) -> int:
    return 0 if n == 1 else 1 + collatz_steps(3 * n + 1 if n % 2 else n // 2)


@pytest.mark.row("XX-14", "DC-56")
def test_a_search_saves_its_best_when_it_is_interrupted():
    lines = run("dispycos_kbd_int")
    closing = lines.index("closing")
    pattern = rf"update from {LOCATION}: (\d+) takes (\d+) steps"
    updates, saved = parsed(pattern, lines[:closing] + lines[closing + 1 :]), lines[closing + 1 :][-2:]
    # What was found just before may be told just after.
    best = {location: int(steps) for location, _, steps in parsed(pattern, saved)}
    assert len(best) == 2
    for location, n, steps in updates:
        assert collatz_steps(int(n)) == int(steps)
        assert int(steps) <= best[location]


@pytest.mark.row("XX-15")
def test_trends_are_told_while_numbers_are_streamed_and_all_numbers_are_saved(tmp_path: Path):
    *signals, saved, drawn = run("dispycos_live_analytics", env={"TMPDIR": str(tmp_path)})
    ((count, file),) = parsed(r"(\d+) numbers are in (.+)", [saved])
    numbers = [float(line) for line in Path(file).read_text().splitlines()]
    assert len(numbers) == int(count) == 1000
    expected, last = [], ""
    for end in range(50, 1001):
        mean = statistics.fmean(numbers[end - 50 : end])
        signal = "high" if mean > 0.5 else "low" if mean < -0.5 else ""
        if signal not in ("", last):
            expected.append((str(end), signal, mean))
        last = signal
    found = parsed(r"trend signal at (\d+): (high|low) / (\S+)", signals)
    assert [(at, signal, pytest.approx(float(mean))) for at, signal, mean in found] == expected
    assert expected, "numbers that follow a wave have trends"
    ((marked, picture),) = parsed(r"plot of (\d+) signals is in (.+)", [drawn])
    shapes = list(ElementTree.parse(picture).getroot())
    assert len(shapes) == 1 + int(marked) == 1 + len(found)
    assert len(shapes[0].attrib["points"].split()) == 1000


@pytest.mark.row("XX-16", "KE-14", "KE-30")
def test_agents_find_each_other_and_agree():
    found = parsed(r"Update from (\w+): (\S+) / (\S+)", run("dispycos_mas"))
    last: dict[str, tuple[float, float]] = {}
    for name, low, high in found:
        known_low, known_high = last.get(name, (float(low), float(high)))
        assert float(low) <= known_low <= known_high <= float(high)
        last[name] = float(low), float(high)
    assert sorted(last) == ["A0", "A1", "A2"]
    assert len(set(last.values())) == 1
    assert not any(re.search("inf", part) for line in found for part in line)
