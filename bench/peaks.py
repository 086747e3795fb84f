"""P5M: how much memory a trip of a large value takes, in each process of a peer.

Linux keeps the highest resident size of each process and can be told to begin anew.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import psutil

_HIGHEST = re.compile(r"^VmHWM:\s*(\d+) kB", re.MULTILINE)
_NOW = re.compile(r"^VmRSS:\s*(\d+) kB", re.MULTILINE)


def growth(work: Callable[[], object]) -> int:
    """Bytes that the process of ours or below us which grew most took at its highest, during `work`.

    RuntimeError where the system does not tell.
    """
    if not Path("/proc/self/clear_refs").exists():
        raise RuntimeError("only Linux tells how large a process was at its highest")
    family = [os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))]
    before: dict[int, int] = {}
    for pid in family:
        # One that ended meanwhile is left out.
        with contextlib.suppress(OSError, IndexError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")
            before[pid] = _kilobytes(_NOW, pid)
    work()
    grown = [0]
    for pid, kilobytes in before.items():
        with contextlib.suppress(OSError, IndexError):
            grown.append(_kilobytes(_HIGHEST, pid) - kilobytes)
    return 1024 * max(grown)


def _kilobytes(which: re.Pattern[str], pid: int) -> int:
    return int(which.findall(Path(f"/proc/{pid}/status").read_text())[0])
