"""The processors that a container's limit leaves (node.processors)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dispycos.node.processors import quota
from tests.helpers import run_python

# As in a container with a control-group namespace, on a machine with version 2.
ONE = {
    "/proc/self/cgroup": "0::/\n",
    "/proc/self/mountinfo": "31 24 0:27 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n",
}
# Version 1, the controllers in folders of their own, and the container's group seen from outside.
OLD = {
    "/proc/self/cgroup": "5:memory:/docker/x\n4:cpuset:/docker/x\n3:cpu,cpuacct:/docker/x\n",
    "/proc/self/mountinfo": (
        "33 24 0:28 /docker/x /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n"
        "34 24 0:29 /docker/x /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
    ),
}


def share(files: Mapping[str, str]) -> float | None:
    def read(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]

    return quota(read)


@pytest.mark.row("DN-02")
@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        (ONE, None),
        ({**ONE, "/sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({**ONE, "/sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({**ONE, "/sys/fs/cgroup/cpu.max": "nonsense\n"}, None),
        ({**OLD, "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n"}, None),
        (
            {
                **OLD,
                "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
                "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            2.0,
        ),
    ],
)
def test_the_limit_of_a_container_is_found(files: dict[str, str], found: float | None) -> None:
    assert share(files) == found


@pytest.mark.row("DN-02")
def test_the_least_of_the_groups_around_counts() -> None:
    files = {
        "/proc/self/cgroup": "0::/a/b\n",
        "/proc/self/mountinfo": "31 24 0:27 / /cg rw - cgroup2 cgroup rw\n",
        "/cg/a/b/cpu.max": "400000 100000\n",
        "/cg/a/cpu.max": "250000 100000\n",
        "/cg/cpu.max": "max 100000\n",
    }
    assert share(files) == 2.5


@pytest.fixture
def one_processor() -> Iterator[Path]:
    """A real control group with one processor's worth of time."""
    base = next(
        (Path(p) for p in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct") if Path(p).is_dir()), None
    )
    if base is None or os.geteuid() != 0 or not os.access(base, os.W_OK):
        pytest.skip("no control group of version 1 can be made here")
    group = base / f"dispycos-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cpu.cfs_period_us").write_text("100000")
        (group / "cpu.cfs_quota_us").write_text("100000")
        yield group
    finally:
        group.rmdir()


@pytest.mark.row("DN-02")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is only one processor in any case")
def test_a_real_group_with_one_processor_leaves_one(one_processor: Path) -> None:
    code = f"""
import os
open({str(one_processor / "tasks")!r}, "w").write(str(os.getpid()))
from dispycos.node.processors import processors
print(processors())
"""
    done = run_python(code)
    assert done.out == "1\n", done.err
