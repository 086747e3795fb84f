"""Processors: how many this process may keep busy, its container's limit included.

A container with two processors' worth of time on a machine of 64 sees all 64; its limit stands
in its control group. Both versions of these are read, and the groups around it: the least counts.

I/O half. Layer 5. Row DN-02.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

Read = Callable[[str], str]  # the text of a file, or OSError


def processors() -> int:
    """The processors that this process may use; at least 1."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = quota(_read)
    return here if share is None else max(1, min(here, math.ceil(share)))


def server_count(cpus: int) -> int:
    """How many servers `--cpus N` means here (DN-02). ValueError: none would be left."""
    here = processors()
    if cpus > 0:
        return cpus
    if here + cpus < 1:
        raise ValueError(f"--cpus {cpus} leaves no processor: there are {here} here")
    return here + cpus


def quota(read: Read) -> float | None:
    """The processors' worth of time that control groups leave to this process; None: any."""
    shares = [share for folder in _folders(read) if (share := _share(folder, read)) is not None]
    return min(shares, default=None)


def _folders(read: Read) -> Iterator[PurePosixPath]:
    """The folders of this process's groups that may limit its processors, and of those around them."""
    try:
        groups, mounts = read("/proc/self/cgroup"), read("/proc/self/mountinfo")
    except OSError:
        return  # no Linux, or /proc is hidden
    for mount in mounts.splitlines():
        fields, _, rest = mount.partition(" - ")
        kind, _, options = [*rest.split(), "", "", ""][:3]
        if kind not in ("cgroup", "cgroup2"):
            continue
        root, point = map(PurePosixPath, fields.split()[3:5])
        for line in groups.splitlines():
            _, controllers, path = line.split(":", 2)
            ours = kind == "cgroup2" if not controllers else "cpu" in controllers.split(",")
            if not ours or (controllers and "cpu" not in options.split(",")):
                continue
            group = PurePosixPath(path)
            # A container that does not see the groups around its own sees itself at the root.
            inside = group.relative_to(root) if group.is_relative_to(root) else PurePosixPath()
            for part in (inside, *inside.parents):
                yield point / part


def _share(folder: PurePosixPath, read: Read) -> float | None:
    try:
        limit, period = read(f"{folder}/cpu.max").split()
    except (OSError, ValueError):
        try:
            limit = read(f"{folder}/cpu.cfs_quota_us").strip()
            period = read(f"{folder}/cpu.cfs_period_us").strip()
        except OSError:
            return None
    try:
        share = int(limit) / int(period)
    except (ValueError, ZeroDivisionError):
        return None  # "max": no limit
    return share if share > 0 else None


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
