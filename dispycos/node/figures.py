"""What a node measures: what it has to spare, and whether memory ran out (best effort).

Everything works without psutil and without a readable cgroup; the figures are None then.

I/O half. Layer 5. Rows DN-37, ST-08; rule R-06.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

from dispycos.messages import Avail
from dispycos.records import record

try:
    import psutil
except ImportError:
    psutil = None  # type: ignore[assignment]  # the node works without it (DN-37)

_CPU_APART = 0.5  # seconds; the cpu figure of a shorter time is noise
_NEARLY_ALL = 0.9  # this share of memory in use makes a lack of it probable
_GIB = 1 << 30

available = psutil is not None


class Figures:
    """Measures on demand, without waiting: the cpu figure is of the time since the last call."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._cpu: float | None = None
        self._cpu_at = time.monotonic()
        if available:
            # The first call has nothing to compare with and answers 0.
            psutil.cpu_percent(None)
            psutil.virtual_memory()

    def measure(self) -> Avail:
        """What this node has to spare now."""
        if not available:
            return Avail()
        now = time.monotonic()
        if self._cpu is None or now - self._cpu_at >= _CPU_APART:
            self._cpu = _idle()
            self._cpu_at = now
        return Avail(self._cpu, _memory(), self._disk(), _swap())

    def _disk(self) -> int | None:
        try:
            return int(psutil.disk_usage(self._path).free)
        except OSError:
            return None


def _idle() -> float | None:
    try:
        return max(0.0, min(100.0, 100.0 - psutil.cpu_percent(None)))
    except (OSError, RuntimeError):
        return None  # as when this process has no descriptor left


def _memory() -> int | None:
    try:
        return int(psutil.virtual_memory().available)
    except (OSError, RuntimeError):
        return None


def _swap() -> int | None:
    try:
        return int(psutil.swap_memory().free)
    except (OSError, RuntimeError):
        return None


def resident_bytes(pid: int) -> int:
    """Memory that a process holds now; 0 if nobody can say."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def cpu_seconds(pid: int) -> float | None:
    """Processor time that a process used so far; None if nobody can say."""
    if not available or not pid:
        return None
    try:
        times = psutil.Process(pid).cpu_times()
    except (psutil.Error, OSError):
        return None
    return float(times.user + times.system)


@record
class _Group:
    """The cgroup that limits our memory."""

    counter: str  # the file with the line `oom_kill N`
    limit: str
    usage: str


class MemoryWatch:
    """Tells whether the kernel killed for memory since the last time it was asked."""

    def __init__(self) -> None:
        self._group = _find_group()
        self._kills = self._count() or 0

    def _count(self) -> int | None:
        if self._group is not None:
            with contextlib.suppress(OSError, ValueError), open(self._group.counter) as file:
                for line in file:
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        return None

    def explain(self, text: str, resident: int) -> str:
        """`text`, and why, if a SIGKILL that nobody here sent looks like lack of memory.

        resident  bytes that the process held when it was last sampled; 0: not known.
        """
        why = self._why_killed(resident)
        return f"{text}, {why}" if why else text

    def _why_killed(self, resident: int) -> str:
        size = f", {_gib(resident)} when last looked at" if resident else ""
        count = self._count()
        if count is not None:
            risen = count > self._kills
            self._kills = count
            if risen:
                return f"out of memory: limit {self._limit()}{size}"
        if available:
            with contextlib.suppress(OSError, RuntimeError):
                memory: Any = psutil.virtual_memory()
                used = memory.total - memory.available
                if used >= _NEARLY_ALL * memory.total:
                    return f"probably out of memory: {_gib(used)} of {_gib(memory.total)} in use{size}"
        return ""

    def _limit(self) -> str:
        assert self._group is not None
        try:
            with open(self._group.limit) as file:
                return _gib(int(file.read()))
        except (OSError, ValueError):
            return "that of the machine"


def _gib(size: int) -> str:
    if size < _GIB // 10:
        return f"{size / (1 << 20):.1f} MB"
    return f"{size / _GIB:.1f} GB"


def _find_group() -> _Group | None:
    """Our cgroup's files: version 2 or the memory controller of version 1."""
    groups = {}
    with contextlib.suppress(OSError), open("/proc/self/cgroup") as file:
        for line in file:
            _number, controllers, path = line.strip().split(":", 2)
            for controller in controllers.split(","):
                groups[controller] = path.lstrip("/")
    candidates = []
    if "" in groups:
        for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            folder = os.path.join(root, groups[""])
            candidates.append(
                _Group(*(os.path.join(folder, f"memory.{name}") for name in ("events", "max", "current")))
            )
    if "memory" in groups:
        # Inside a container the path of the host may not exist: its own root does.
        for path in (groups["memory"], ""):
            folder = os.path.join("/sys/fs/cgroup/memory", path)
            names = ("oom_control", "limit_in_bytes", "usage_in_bytes")
            candidates.append(_Group(*(os.path.join(folder, f"memory.{name}") for name in names)))
    return next((group for group in candidates if os.access(group.counter, os.R_OK)), None)
