"""Figures for Prometheus: well formed, bounded, and counters that count."""

from __future__ import annotations

import json
import re

import pytest

from dispycos.httpd import metrics
from dispycos.httpd.events import Changed
from dispycos.httpd.metrics import Tally
from dispycos.httpd.view import View
from dispycos.model import End
from tests.helpers import ROOT
from tests.unit.httpd.test_view import with_servers

# name{labels} value
_LINE = re.compile(r'(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? ([0-9.e+-]+|\+Inf)')


def text(view: View, tally: Tally | None = None) -> str:
    return metrics.text(
        view, {"tally": tally or Tally(), "sessions": {"responsive": 2}}, {"origin": 3}, 1, 100.0
    )


def samples(made: str) -> dict[str, str]:
    """Each line's name with labels, and its value."""
    found = {}
    for line in made.splitlines():
        if not line.startswith("#"):
            match = _LINE.fullmatch(line)
            assert match, line
            found[f"{match[1]}{{{match[2] or ''}}}"] = match[3]
    return found


@pytest.mark.row("MO-35")
def test_the_board_asks_for_metrics_and_labels_that_there_are() -> None:
    tally = Tally()
    tally.ended("work", End.FINISHED, 0.3)
    view = with_servers()
    view.handle(Changed("node", "node0", {"address": "10.0.0.1", "port": 9706, "pulse": 95.5}), 0.0)
    figures = {"tally": tally, "sessions": {"responsive": 2}, "bytes": {"in": 1}, "refused": {"tls": 1}}
    labels: dict[str, set[str]] = {}
    for name, held in re.findall(
        r"^(\w+)(?:\{(.*)\})? ", metrics.text(view, figures, {}, 1, 100.0), re.MULTILINE
    ):
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', held))

    board = json.loads((ROOT / "docs" / "grafana.json").read_text())
    asked = set()
    for panel in board["panels"]:
        for target in panel["targets"]:
            for name, chosen in re.findall(r"(dispycos_\w+)\{([^}]*)\}", target["expr"]):
                asked.add(name)
                wanted = set(re.findall(r"(\w+)[=!~]+\"", chosen)) - {"job"}
                wanted |= set(re.findall(r"by \((\w+)\)", target["expr"]))
                wanted |= set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                assert wanted <= labels[name], (panel["title"], name)
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in labels}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} == families


@pytest.mark.row("MO-35")
def test_each_family_is_there_and_well_formed() -> None:
    view = with_servers()
    view.handle(Changed("node", "node0", {"address": "10.0.0.1", "port": 9706, "pulse": 95.5}), 0.0)
    tally = Tally()
    tally.ended("work", End.FINISHED, 0.3)
    tally.ended("work", End.FAILED, 3.0)
    made = text(view, tally)
    found = samples(made)

    assert found['dispycos_nodes{state="initialized"}'] == "1"
    assert found['dispycos_servers{state="idle"}'] == "2"
    assert found['dispycos_tasks_total{outcome="finished"}'] == "1"
    assert found['dispycos_tasks_total{outcome="failed"}'] == "1"
    assert found['dispycos_task_seconds_bucket{function="work",le="0.5"}'] == "1"
    assert found['dispycos_task_seconds_bucket{function="work",le="+Inf"}'] == "2"
    assert found['dispycos_task_seconds_sum{function="work"}'] == "3.3"
    assert found['dispycos_task_seconds_count{function="work"}'] == "2"
    assert found['dispycos_pulse_age_seconds{node="10.0.0.1:9706"}'] == "4.5"
    assert found['dispycos_refused_total{reason="http_origin"}'] == "3"
    for name in ("queue_seconds_count", "monitor_browsers", "build_info", "sessions", "tasks"):
        assert f"dispycos_{name}" in made
    families = re.findall(r"^# TYPE (\w+) ", made, re.MULTILINE)
    assert len(families) == len(set(families))


@pytest.mark.row("MO-35", "SE-46", "SE-110")
def test_labels_of_functions_are_escaped_and_limited() -> None:
    tally = Tally()
    hostile = [
        'a"b',
        "back\\slash",
        "line\nend",
        "\x1b[31m",
        "\u202e",
        "<img src=x>",
        "${}",
        "\ud800",
        "=1+1",
    ]
    for name in (*hostile, *(f"f{number}" for number in range(300))):
        tally.ended(name, End.FINISHED, 1.0)
    made = text(with_servers(), tally)

    found = samples(made)
    names = {key for key in found if key.startswith("dispycos_task_seconds_count")}
    assert len(names) == metrics.MAX_NAMES + 1
    assert found[f'dispycos_task_seconds_count{{function="{metrics.OTHER}"}}'] == str(
        300 + len(hostile) - metrics.MAX_NAMES
    )
    made.encode("ascii", "strict") if made.isascii() else made.encode("utf-8", "strict")
    assert "\x1b" not in made
    assert "\u202e" not in made


def test_beyond_a_thousand_nodes_no_node_has_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MAX_NODES", 1)
    assert "dispycos_pulse_age_seconds" not in text(with_servers(nodes=2))
