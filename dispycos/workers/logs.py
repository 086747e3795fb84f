"""Where a pool's programs write: `cmaster.out` and `cworkers.out` in one folder (CW-16).

I/O half. Layer 8.
"""

from __future__ import annotations

import os

MASTER, WORKERS = "cmaster.out", "cworkers.out"

SHOWN = 2000  # bytes of the end of a log that a failure shows


def folder(given: str | None) -> str:
    """The folder of the logs, made if it is missing; None: the working directory."""
    path = os.path.abspath(given or os.curdir)
    os.makedirs(path, exist_ok=True)
    return path


def end_of(path: str, since: int = 0) -> str:
    """What was written at the end of a log, behind so many bytes; "" if nothing was."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since, size - SHOWN))
            return file.read().decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return ""
