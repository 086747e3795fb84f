"""The bench harness measures, names what is missing, and judges nothing."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import cost, harness, ideal, memory, peaks, plot, process, schedule, table, targets
from bench.__main__ import parse
from bench.harness import Plan
from bench.peers.base import CarriesBulk
from bench.results import LIMIT, OURS, Report, Result, add_ratios
from bench.workloads import IDS, LESS, START, WORKERS
from tests.helpers import ROOT, run_main, run_program, wait_until


def result(peer: str, *figures: float, workload: str = "P1") -> Result:
    return Result(workload, "a title", "tasks/s", peer, "", 10, list(figures))


def test_a_ratio_is_the_median_over_the_rounds() -> None:
    # The second round was disturbed for both: the ratio does not notice.
    results = [result(OURS, 100, 10, 100), result("other", 50, 5, 40)]
    add_ratios(results)
    assert results[1].ratio == 2


def test_where_less_is_better_the_ratio_is_turned_round() -> None:
    results = [result(OURS, 0.5), result("other", 2.0)]
    add_ratios(results, less_is_better=True)
    assert results[1].ratio == 4


def test_the_table_names_what_is_missing_and_what_failed() -> None:
    report = Report([result(OURS, 1000), result("other", 10)], ["ray"], {"dask": "start took more than 90 s"})
    add_ratios(report.results)
    text = table.table(report)
    assert text.index("dispycos  ") < text.index("other")
    assert "100.00×" in text
    assert "not installed: ray" in text
    assert "failed: dask: start took more than 90 s" in text
    assert plot.svg(report).count("<rect") == 3


def test_each_aim_stands_beside_what_decides_it() -> None:
    results = [
        *(result(OURS, 100, workload="P5"), result("one", 50, workload="P5")),
        *(result("other", 20, workload="P5"), result(LIMIT, 200, workload="P5")),
    ]
    add_ratios(results)
    own = [result(OURS, 0.4, workload=START), result(OURS, 0.2, workload="P8I")]
    lines = table.table(Report([*results, *own])).splitlines()

    def of(peer: str) -> str:
        return next(line for line in lines if line.lstrip().startswith(peer))

    assert of("one").endswith("2.00×  ≥ 3× missed")  # the best of them
    assert of("other").endswith("5.00×")
    assert of(LIMIT).endswith("0.50×  ≥ 0.35× met")
    assert [line.split("  ")[-1].strip() for line in lines if "≤" in line] == ["≤ 0.5 met", "≤ 0.15 missed"]


def test_every_aim_is_of_a_workload_that_there_is() -> None:
    assert {target.workload for target in targets.TARGETS} <= set(IDS)
    assert {target.workload for target in targets.TARGETS if target.at_most} <= LESS


def test_the_ideal_schedule_leaves_no_worker_idle_while_a_task_waits() -> None:
    assert ideal.seconds([3, 1, 1, 1, 2], workers=2) == 5
    values = ideal.uneven(100)
    assert sorted(values)[89:91] == [0.001, 0.1]
    assert sum(values) / WORKERS <= ideal.seconds(values) <= sum(values) / WORKERS + max(values) / 2


def test_the_picture_of_a_schedule_has_a_bar_for_each_task() -> None:
    picture = schedule.svg([(7, 0.0, 0.1), (8, 0.0, 0.001), (8, 0.002, 0.003)], 0.97)
    assert picture.count('class="long"') == 1
    assert picture.count('class="brief"') == 2
    assert "server 2" in picture and "97 % of the ideal" in picture


def test_memory_that_was_taken_and_given_back_is_seen() -> None:
    grown = peaks.growth(lambda: len(b"x" * (32 << 20)))
    assert 31 << 20 < grown < 40 << 20
    assert memory.servers_below(os.getpid()) == []


def test_a_run_measures_the_peers_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    command = [sys.executable, "-m", "bench", "--only", f"P2,{START}", "--json", str(file)]
    code, out, err = run_program(
        [*command, "--peers", "concurrent_futures,blocking_socket"], cwd=ROOT, timeout=55
    )
    assert code == 0, err
    found = json.loads(file.read_text())
    assert not found["failed"]
    assert {(entry["workload"], entry["peer"]) for entry in found["results"]} == {
        *(("P2", "ProcessPoolExecutor"), ("P2", "limit: blocking socket")),
        *((START, "ProcessPoolExecutor"), (START, "limit: blocking socket")),
    }
    assert all(len(entry["figures"]) == 5 and entry["median"] > 0 for entry in found["results"])
    assert file.with_suffix(".svg").exists()
    assert "P2  submit one, wait for its result" in out


def test_a_restless_peer_takes_turns_with_dispycos_alone() -> None:
    peers = harness.adapters()
    names = [list(group) for group in harness.groups({n: peers[n] for n in ("ours", "rpyc", "ray", "dask")})]
    assert names == [["ours", "rpyc"], ["ours", "ray"], ["ours", "dask"]]


def test_the_cost_of_a_process_is_seen_from_outside() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read(); sum(range(10**6))"], stdin=-1
    ) as process:
        before = cost.used(os.getpid())
        assert process.stdin
        process.stdin.close()
        wait_until(lambda: cost.used(os.getpid()).others[0] > before.others[0] + 1000)
        assert cost.used(process.pid).client[0] > 1000


def test_the_cost_of_messages_is_told_for_client_and_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cost.SIZES, "P3", 200)
    monkeypatch.setitem(cost.COUNTED, "P3", 100)
    code, out, err = run_main(cost.main, "--only", "P3", "--rounds", "1", "--no-strace")
    assert code == 0, err
    figures = [float(word.replace(",", "")) for word in out.splitlines()[2].split() if word[-1].isdigit()]
    assert len(figures) == 8
    assert all(figure > 0 for figure in figures)


def test_a_peer_that_dies_or_hangs_is_named_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = process.Runner("no_such_adapter")
    with pytest.raises(process.Failed, match="its process ended: ModuleNotFoundError"):
        broken.ask(20, do="start")
    broken.close()
    slow = process.Runner("concurrent_futures")
    with pytest.raises(process.Failed, match="start took more than 0 s"):
        slow.ask(0.0001, do="start")
    slow.close()
    monkeypatch.setattr(harness, "START_LIMIT", 20.0)
    report = harness.run(Plan(workloads=(), slow=math.inf), lambda text: None, ["concurrent_futures"])
    assert report.failed == {}


def test_a_peer_that_is_slow_takes_part_once() -> None:
    report = harness.run(Plan(workloads=("P2",), slow=0.0), lambda text: None, ["concurrent_futures"])
    assert [len(result.figures) for result in report.results] == [1]


def test_what_only_a_reference_went_for_did_not_travel() -> None:
    class Copies(CarriesBulk):
        def there_and_back(self, data: Any) -> Any:
            return bytearray(data)

    class Refers(CarriesBulk):
        def there_and_back(self, data: Any) -> Any:
            return data

    Copies().bulk_bytes(1)
    with pytest.raises(AssertionError, match="did not travel"):
        Refers().bulk_bytes(1)


def test_a_name_stands_for_all_its_workloads_and_for_no_others() -> None:
    assert parse(["--only", "p12,P1"]).ids == ("P12G", "P12R", "P12E", "P1")
    assert parse(["--only", "P12R"]).ids == ("P12R",)
    assert {"P5B", "P5C"} <= set(parse(["--only", "P5"]).ids)
    assert set(IDS) - set(parse([]).ids) == {"P5B", "P5C"}, "what takes minutes is of the long set"
    assert set(parse(["--all"]).ids) == set(IDS)


@pytest.mark.parametrize(
    "arguments", [["--repeats", "3"], ["--only", "P99"], ["--only", "P"], ["--peers", "nobody"]]
)
def test_bad_options_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(arguments)
    assert "error: " in capsys.readouterr().err
